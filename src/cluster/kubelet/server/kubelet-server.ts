/**
 * The kubelet's API over HTTPS. Only certificates of the cluster's authority are looked at, and only
 * those of the API server's client may ask: there is nothing here for anybody else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { EXPOSITION_TYPE } from '../../../base/observe/exposition.js';
import type { Logger } from '../../../base/observe/logger.js';
import { send, sendJson, sendPlain } from '../../../base/net/respond.js';
import type { Pod } from '../../../gen/kube-core-v1.js';
import type { ClusterEnv } from '../../env.js';
import type { ContainerRuntime } from '../../runtime/runtime.js';
import type { KubeletConfig, KubeletServerConfig } from '../config.js';
import type { Host } from '../node/host-facts.js';
import { messageOf } from '../pods/start-error.js';
import { configz } from './configz.js';
import { serveLogs } from './container-logs.js';
import { HttpProblem } from './http-problem.js';
import { kubeletMetrics, resourceMetrics } from './metrics.js';
import type { NodeView } from './node-view.js';
import { logRoute, parseTarget, streamRoute } from './routes.js';
import { Stats, summaryOf } from './stats.js';
import { Streams } from './streams.js';

export interface ServerServices {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly runtime: ContainerRuntime;
  readonly host: Host;
  readonly view: NodeView;
  readonly config: KubeletConfig;
  /** Reason for which the kubelet is not healthy; empty if it is. */
  readonly problem: () => string;
}

export interface KubeletServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Resolves when it listens. Rejects when it cannot. */
export async function startServer(
  services: ServerServices,
  server: KubeletServerConfig,
): Promise<KubeletServer> {
  const api = new KubeletApi(services, server.allowedClients);
  const listener = https.createServer({
    cert: server.certificate,
    key: server.privateKey,
    ca: server.clientCa,
    requestCert: true,
    // A client without a certificate gets an answer that says so, not a broken handshake.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
  });
  listener.on('request', (request, response) => void api.answer(request, response));
  listener.on('upgrade', (request, socket, head) => void api.upgrade(request, socket, head));
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(server.port, server.address, resolve);
  });
  const { port } = listener.address() as AddressInfo;
  return {
    port,
    close: () => {
      api.close();
      listener.closeAllConnections();
      return new Promise((resolve) => {
        listener.close(() => resolve());
      });
    },
  };
}

class KubeletApi {
  readonly #services: ServerServices;
  readonly #allowedClients: readonly string[];
  readonly #stats: Stats;
  readonly #streams: Streams;

  constructor(services: ServerServices, allowedClients: readonly string[]) {
    this.#services = services;
    this.#allowedClients = allowedClients;
    this.#stats = new Stats({ ...services, nodeName: services.config.nodeName });
    this.#streams = new Streams(services);
  }

  close(): void {
    this.#streams.close();
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    try {
      this.#authorize(request);
      await this.#route(request, response);
    } catch (error) {
      const { code, message } = problemOf(error);
      if (response.headersSent) response.destroy();
      else sendPlain(response, code, `${message}\n`);
    }
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => undefined);
    try {
      this.#authorize(request);
      const route = streamRoute(parseTarget(request.url ?? '/'));
      if (route === undefined) throw new HttpProblem(404, '404 page not found');
      await this.#streams.serve(route, request, socket, head);
    } catch (error) {
      refuse(socket, problemOf(error));
    }
  }

  /** Throws: HttpProblem 401 or 403. */
  #authorize(request: IncomingMessage): void {
    const { socket } = request;
    if (!(socket instanceof TLSSocket) || !socket.authorized) {
      throw new HttpProblem(401, 'Unauthorized');
    }
    const name = socket.getPeerCertificate().subject.CN;
    const user = typeof name === 'string' ? name : '';
    if (this.#allowedClients.includes(user)) return;
    const verb = request.method === 'GET' ? 'get' : 'create';
    const what = `user=${user}, verb=${verb}, resource=nodes, subresource=proxy`;
    throw new HttpProblem(403, `Forbidden (${what})`);
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = parseTarget(request.url ?? '/');
    const stream = streamRoute(target);
    if (stream !== undefined) {
      throw new HttpProblem(400, 'unable to upgrade: missing upgrade headers in request');
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw new HttpProblem(405, '405: Method Not Allowed');
    }
    const log = logRoute(target);
    if (log !== undefined) return serveLogs(this.#services, log, request, response);
    await this.#page(target.parts.join('/'), response);
  }

  async #page(path: string, response: ServerResponse): Promise<void> {
    const { view, config, problem } = this.#services;
    const { nodeName, version } = config;
    switch (path) {
      case 'healthz':
        if (problem() !== '') throw new HttpProblem(500, problem());
        return sendPlain(response, 200, 'ok');
      case 'pods':
        return sendJson(response, 200, podList(view.pods));
      case 'runningpods':
        return sendJson(response, 200, podList(runningPods(view)));
      case 'configz':
        return sendJson(response, 200, configz(config));
      case 'stats/summary':
        return sendJson(response, 200, summaryOf(await this.#stats.usage()));
      case 'metrics':
        return send(response, 200, EXPOSITION_TYPE, kubeletMetrics({ nodeName, version, view }));
      case 'metrics/resource':
        return send(response, 200, EXPOSITION_TYPE, resourceMetrics(await this.#stats.usage()));
      default:
        throw new HttpProblem(404, '404 page not found');
    }
  }
}

function problemOf(error: unknown): HttpProblem {
  return error instanceof HttpProblem ? error : new HttpProblem(500, messageOf(error));
}

function refuse(socket: Duplex, { code, message }: HttpProblem): void {
  const body = `${message}\n`;
  const head = [
    `HTTP/1.1 ${code} ${code === 401 ? 'Unauthorized' : 'Refused'}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function podList(items: readonly Pod[]): object {
  return { kind: 'PodList', apiVersion: 'v1', metadata: {}, items };
}

/** Pods with running containers in the runtime, also those the API server does not know. */
function runningPods(view: NodeView): Pod[] {
  return [...view.views.values()].flatMap(({ uid, namespace, name, containers }) => {
    const running = containers.filter(({ state }) => state === 'running');
    if (running.length === 0) return [];
    const specs = running.map((one) => ({ name: one.name, image: one.image }));
    const metadata = { name, namespace, uid };
    return [{ apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: specs } }];
  });
}
