import type { Server as HttpServer } from 'node:http';
import type { Env } from '../../base/env/env.js';
import type { ServerUrl } from '../../base/flags/url.js';
import type { Logger } from '../../base/observe/logger.js';
import { createHttp1Server } from '../../rpc/http1-server.js';
import { serveMux, type MuxListener } from '../../rpc/port-mux.js';
import type { RpcTransport } from '../../rpc/service.js';
import type { ServerConfig } from '../config/server-config.js';
import {
  clientListener,
  metricsListener,
  type ClusterFacts,
  type MonitoringParts,
} from '../http/listeners.js';
import type { Member } from '../member/member.js';
import { observedTable } from '../metrics/observed-calls.js';
import { SlowCallLog } from '../metrics/slow-calls.js';
import { serviceTable } from '../services/table.js';
import type { BoundPorts } from './bound-ports.js';
import { receiveLimit } from './limit-chain.js';
import type { CreateTransport } from './transport-choice.js';

const STOP_GRACE_MS = 2000;

/** The ports clients talk to: gRPC and HTTP on the client URLs, HTTP alone on the metrics URLs. */
export class ClientPorts {
  private readonly env: Env;
  private readonly http: HttpServer;
  private readonly metricsHttp: HttpServer;
  private readonly transport: RpcTransport;
  private readonly log: Logger;
  private readonly urls: readonly ServerUrl[];
  private readonly listeners: MuxListener[] = [];

  constructor(
    env: Env,
    config: ServerConfig,
    member: Member,
    cluster: ClusterFacts,
    monitoring: MonitoringParts,
    createTransport: CreateTransport,
  ) {
    this.env = env;
    this.log = monitoring.log;
    this.urls = config.listenClientUrls;
    const rules = { cors: config.cors, hostWhitelist: config.hostWhitelist };
    this.http = createHttp1Server(clientListener(monitoring, cluster, rules));
    this.metricsHttp = createHttp1Server(metricsListener(monitoring));
    const table = serviceTable(member.roles, member.machine, {
      maxTxnOps: config.maxTxnOps,
      maxRequestBytes: config.maxRequestBytes,
      watchProgressIntervalMs: config.watchProgressIntervalMs,
      onRange: monitoring.metrics.onRange,
    });
    const limits = {
      maxReceiveBytes: receiveLimit(config.maxRequestBytes),
      maxConcurrentStreams: config.maxConcurrentStreams,
      keepaliveMinTimeMs: config.keepaliveMinTimeMs,
      keepaliveIntervalMs: config.keepaliveIntervalMs,
      keepaliveTimeoutMs: config.keepaliveTimeoutMs,
    };
    const observed = observedTable(table, {
      clock: env.clock,
      clients: monitoring.metrics.clientRequests,
      slow: new SlowCallLog(env.clock, monitoring.log, config.warningUnaryRequestMs),
    });
    this.transport = createTransport({
      table: observed,
      limits,
      env,
      observer: monitoring.metrics,
    });
  }

  /** Serves what has been waiting on the ports and all that comes. */
  serve(ports: BoundPorts): void {
    for (const port of ports.client) {
      this.listeners.push(
        serveMux(port, {
          env: this.env,
          transport: this.transport,
          onHttp: (socket) => this.http.emit('connection', socket),
        }),
      );
    }
    for (const url of this.urls) {
      this.log.info('serving client traffic insecurely; this is strongly discouraged!', {
        traffic: 'grpc+http',
        address: url.port === 0 ? url.host : `${url.host}:${url.port}`,
      });
    }
    for (const port of ports.metrics) {
      port.accept((socket) => this.metricsHttp.emit('connection', socket));
    }
  }

  /** Frees the ports of clients, lets calls that run end, and closes every connection. */
  async close(): Promise<void> {
    await Promise.all(
      this.listeners.map((listener) => new Promise<void>((resolve) => listener.close(resolve))),
    );
    this.http.closeAllConnections();
    this.metricsHttp.closeAllConnections();
    await new Promise<void>((resolve) => this.transport.stop(STOP_GRACE_MS, resolve));
  }
}
