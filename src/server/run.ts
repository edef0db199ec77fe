import { createServer, type Server as HttpServer } from 'node:http';
import type { Env } from '../base/env/env.js';
import { createNodeEnv } from '../base/env/node.js';
import { allMethods } from '../gen/services.js';
import { openLevelEngine } from '../storage/level-engine.js';
import { GrpcJsTransport } from '../rpc/grpc-js-server.js';
import { Http2Transport } from '../rpc/http2/http2-transport.js';
import { listenMux, type MuxListener } from '../rpc/port-mux.js';
import type { RpcTransport } from '../rpc/service.js';
import { damageAdvice, WalDamaged, WalForeign } from '../wal/errors.js';
import { Wal } from '../wal/wal.js';
import { refuseIfBootstrapped } from './config/already-bootstrapped.js';
import { AutoCompactor } from './upkeep/auto-compactor.js';
import { bootstrapCluster } from './config/bootstrap.js';
import type { ServerConfig } from './config/server-config.js';
import { dataDirFailure, listenFailure, StartupError } from '../base/flags/startup-error.js';
import type { ServerUrl } from '../base/flags/url.js';
import { ETCD_VERSION } from '../base/flags/version.js';
import { DataDir, SEGMENT_BYTES } from './contract/data-dir.js';
import type { Logger } from '../base/observe/logger.js';
import {
  clientListener,
  metricsListener,
  peerListener,
  type ClusterFacts,
  type MonitoringParts,
} from './http/listeners.js';
import { MemberFacts } from './http/member-facts.js';
import type { Bootstrap } from './contract/bootstrap.js';
import { Member } from './member/member.js';
import { MemberMetrics } from './metrics/metrics.js';
import { MetricsPage } from './metrics/page.js';
import { peerMetrics } from './metrics/peer-metrics.js';
import { TcpPeerTransport } from './peer/tcp-transport.js';
import { serviceTable } from './services/table.js';
import { SlowCallLog } from './metrics/slow-calls.js';

/**
 * One member as a process sees it: real environment, real network, and the ports clients talk to. Opens in the order
 * disk, peers, clients, and closes in the opposite one.
 */
export interface RunningServer {
  readonly member: Member;
  readonly memberId: bigint;
  readonly clientUrls: readonly string[];
  /** Stops gracefully: no new calls, leadership handed over, everything flushed and closed. */
  stop(): Promise<void>;
  /** Settles when the server has stopped, whoever asked for it. */
  readonly closed: Promise<void>;
}

const MAX_APPEND_BYTES = 1024 * 1024;
/** What a request may exceed max-request-bytes by before the transport itself refuses it. */
const GRPC_OVERHEAD_BYTES = 512 * 1024;
const STOP_GRACE_MS = 2000;

/**
 * Starts a member and its ports.
 *
 * Throws: StartupError, which names cause and next step, when something the operator can mend is in the way.
 */
export async function startServer(config: ServerConfig, log: Logger): Promise<RunningServer> {
  const env = createNodeEnv({
    onFatal: (report) => {
      log.fatal(report.what, { next: report.next, cause: report.cause });
      log.flush();
    },
  });
  const metrics = new MemberMetrics({
    methods: allMethods,
    isExtensive: config.metrics === 'extensive',
    slowUnarySeconds: config.warningUnaryRequestMs / 1000,
    onSlowUnary: new SlowCallLog(env.clock, log).onSlowCall,
  });
  const peerHttp = createServer();
  const member = await openMember(env, config, log, metrics, peerHttp);
  const facts = new MemberFacts(member);
  peerHttp.on('request', peerListener(facts));
  const page = new MetricsPage(metrics, () => facts.sample());
  const compactor = new AutoCompactor(member.roles, config.autoCompaction, log);
  const ports = new ClientPorts(env, config, member, facts, { health: facts, metrics, page });
  const stopMember = (): Promise<void> => new Promise((resolve) => member.stop(resolve));
  try {
    await startMember(member, config);
    await ports.listen();
  } catch (error) {
    await ports.close();
    await stopMember();
    throw error;
  }
  compactor.start();
  let markClosed: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => (markClosed = resolve));
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    log.info('stopping', { name: config.name, 'member-id': member.memberId });
    compactor.stop();
    // Watches would otherwise hold the ports open for the whole grace period.
    member.hub.close();
    await ports.close();
    await stopMember();
    log.info('stopped', { name: config.name, 'member-id': member.memberId });
    log.flush();
    markClosed();
  };
  return {
    member,
    memberId: member.memberId,
    clientUrls: ports.urls,
    stop: () => (stopping ??= stop()),
    closed,
  };
}

async function openMember(
  env: Env,
  config: ServerConfig,
  log: Logger,
  metrics: MemberMetrics,
  peerHttp: HttpServer,
): Promise<Member> {
  const bootstrap = await describeCluster(env, config);
  try {
    return await new Promise<Member>((resolve, reject) => {
      Member.open(
        {
          env,
          log,
          name: config.name,
          dataDir: config.dataDir,
          ...(config.walDir === undefined ? {} : { walDir: config.walDir }),
          bootstrap,
          clientUrls: config.advertiseClientUrls,
          heartbeatMs: config.heartbeatMs,
          electionMs: config.electionMs,
          preVote: config.preVote,
          advanceElection: config.initialElectionTickAdvance,
          snapshotCount: config.snapshotCount,
          snapshotCatchupEntries: config.snapshotCatchupEntries,
          maxRequestBytes: config.maxRequestBytes,
          quotaBytes: config.quotaBytes,
          segmentBytes: SEGMENT_BYTES,
          maxAppendBytes: MAX_APPEND_BYTES,
          noFsync: config.unsafeNoFsync,
          skippedIndexes: new Set(config.unsafeSkipEntries),
          leaseCheckpoint: config.featureGates.LeaseCheckpoint,
          compaction: { sliceRows: config.compactionBatchLimit, pauseMs: config.compactionSleepMs },
          openEngine: openLevelEngine,
          createTransport: (identity) =>
            new TcpPeerTransport({
              env,
              identity,
              listen: config.listenPeerUrls.map(({ host, port }) => ({ host, port })),
              serverVersion: ETCD_VERSION,
              log: (level, msg, fields) => log[level](msg, fields),
              onHttp: (socket) => peerHttp.emit('connection', socket),
              metrics: peerMetrics(metrics),
            }),
          onWalSync: metrics.onWalSync,
          onWalWrite: metrics.onWalWrite,
          onBackendCommit: metrics.onBackendCommit,
          warningApplyMs: config.warningApplyMs,
          onApplySlow: metrics.onApplySlow,
          onSnapshotSent: metrics.onSnapshotSent,
          onSnapshotReceived: metrics.onSnapshotReceived,
        },
        (error, member) => {
          if (member === null) reject(error ?? new Error('the member did not open'));
          else resolve(member);
        },
      );
    });
  } catch (error) {
    throw openFailure(error, config);
  }
}

/** The cluster as the flags describe it; undefined for a member with data whose flags describe none. */
async function describeCluster(env: Env, config: ServerConfig): Promise<Bootstrap | undefined> {
  const dirs = new DataDir(env.disk, config.dataDir, config.walDir);
  const hasData = Wal.exists(env, dirs.walDir);
  try {
    const { memberId, clusterId, members } = await bootstrapCluster(config);
    const bootstrap = {
      memberId,
      clusterId,
      members: members.map((m) => ({ id: m.id, name: m.name, peerURLs: m.peerUrls })),
    };
    if (!hasData) await refuseIfBootstrapped(bootstrap, config.dataDir);
    return bootstrap;
  } catch (error) {
    // With data in place the initial-* flags do not matter, so neither do their mistakes.
    if (hasData) return undefined;
    throw error;
  }
}

function openFailure(error: unknown, config: ServerConfig): unknown {
  if (error instanceof WalDamaged) {
    return new StartupError(
      error.message,
      damageAdvice(config.dataDir, config.cluster.members.length).join('\n    '),
      { cause: error },
    );
  }
  if (error instanceof WalForeign) {
    return new StartupError(error.message, 'point --data-dir at the data of this member', {
      cause: error,
    });
  }
  return dataDirFailure(config.dataDir, error);
}

function startMember(member: Member, config: ServerConfig): Promise<void> {
  return new Promise((resolve, reject) => {
    member.start((error) => {
      if (error === null) return resolve();
      const urls = config.listenPeerUrls.map((u) => u.text).join(',');
      reject(listenFailure(urls, 'listen-peer-urls', error));
    });
  });
}

/** The ports clients talk to: gRPC and HTTP on the client URLs, HTTP alone on the metrics URLs. */
class ClientPorts {
  readonly urls: string[] = [];
  private readonly env: Env;
  private readonly config: ServerConfig;
  private readonly http: HttpServer;
  private readonly metricsHttp: HttpServer;
  private readonly transport: RpcTransport;
  private readonly listeners: MuxListener[] = [];

  constructor(
    env: Env,
    config: ServerConfig,
    member: Member,
    cluster: ClusterFacts,
    monitoring: MonitoringParts,
  ) {
    this.env = env;
    this.config = config;
    const rules = { cors: config.cors, hostWhitelist: config.hostWhitelist };
    this.http = createServer(clientListener(monitoring, cluster, rules));
    this.metricsHttp = createServer(metricsListener(monitoring));
    const table = serviceTable(member.roles, member.machine, {
      maxTxnOps: config.maxTxnOps,
      maxRequestBytes: config.maxRequestBytes,
      watchProgressIntervalMs: config.watchProgressIntervalMs,
    });
    const limits = {
      maxReceiveBytes: config.maxRequestBytes + GRPC_OVERHEAD_BYTES,
      maxConcurrentStreams: config.maxConcurrentStreams,
      keepaliveMinTimeMs: config.keepaliveMinTimeMs,
      keepaliveIntervalMs: config.keepaliveIntervalMs,
      keepaliveTimeoutMs: config.keepaliveTimeoutMs,
    };
    const setup = { table, limits, env, observer: monitoring.metrics };
    this.transport =
      config.rpcTransport === 'http2' ? new Http2Transport(setup) : new GrpcJsTransport(setup);
  }

  async listen(): Promise<void> {
    for (const url of this.config.listenClientUrls) await this.open(url, 'listen-client-urls');
    for (const url of this.config.listenMetricsUrls) await this.openMetrics(url);
  }

  private openMetrics(url: ServerUrl): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = (error: Error): void => {
        reject(listenFailure(url.text, 'listen-metrics-urls', error));
      };
      this.metricsHttp.once('error', refuse);
      this.metricsHttp.listen(addressOf(url), () => {
        this.metricsHttp.removeListener('error', refuse);
        resolve();
      });
    });
  }

  private open(url: ServerUrl, flag: string): Promise<void> {
    return new Promise((resolve, reject) => {
      listenMux(
        {
          env: this.env,
          listen: addressOf(url),
          transport: this.transport,
          onHttp: (socket) => this.http.emit('connection', socket),
        },
        (error, listener) => {
          if (listener === null) return reject(listenFailure(url.text, flag, error));
          this.listeners.push(listener);
          this.urls.push(url.text);
          resolve();
        },
      );
    });
  }

  async close(): Promise<void> {
    await Promise.all(
      this.listeners.map((listener) => new Promise<void>((resolve) => listener.close(resolve))),
    );
    this.http.closeAllConnections();
    this.metricsHttp.close();
    this.metricsHttp.closeAllConnections();
    await new Promise<void>((resolve) => this.transport.stop(STOP_GRACE_MS, resolve));
  }
}

function addressOf(url: ServerUrl): { path: string } | { host: string; port: number } {
  return url.scheme === 'unix' || url.scheme === 'unixs'
    ? { path: url.host }
    : { host: url.host, port: url.port };
}
