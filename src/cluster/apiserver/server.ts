/**
 * The API server, put together: steps of the pipeline in their order, HTTPS in front of it, and
 * what it does by itself (bootstrap objects, its own endpoints, compaction of the store).
 */
import type { Socket } from 'node:net';
import type { EtcdClient } from '../../client/client.js';
import { mainstayVersion } from '../../base/flags/version.js';
import type { Logger } from '../../base/observe/logger.js';
import type { Node, Pod } from '../../gen/kube-core-v1.js';
import { findResource, KINDS } from '../api/kinds/registry.js';
import type { KubeObject } from '../api/object.js';
import { ApiError, qualified } from '../api/status.js';
import { validateEndpointIp } from '../api/validation/ip.js';
import type { KubeClient } from '../client/client.js';
import { restClient } from '../client/rest-client.js';
import { sleep, type ClusterEnv } from '../env.js';
import { render, renderError } from './answer/render.js';
import { authenticationStep } from './auth/authenticate.js';
import { authorizationStep, fixedAuthorizer } from './auth/authorizer.js';
import { REVIEW_KINDS, reviewsStep } from './auth/reviews.js';
import { ServiceAccountTokens, type TokenObjects } from './auth/service-account-tokens.js';
import { ApiEndpoints } from './bootstrap/api-endpoints.js';
import { Compactor } from './bootstrap/compactor.js';
import { createSystemObjects } from './bootstrap/system-objects.js';
import { Core, served } from './core.js';
import { DirectTransport } from './direct/direct-transport.js';
import { discoveryStep, notFoundStep } from './discovery/discovery-step.js';
import { healthStep, type HealthCheck } from './discovery/health.js';
import { metricsStep } from './discovery/metrics.js';
import { openidStep } from './discovery/openid.js';
import { rootStep } from './discovery/root.js';
import { versionStep } from './discovery/version.js';
import type { RenderedAnswer } from './http/rendered.js';
import { RequestMetrics } from './http/request-metrics.js';
import { HttpServer, type ServerTls } from './http/server.js';
import type {
  Answer,
  ApiRequest,
  ClientCertificate,
  Exchange,
  RequestInfo,
  Step,
} from './pipeline/exchange.js';
import { Pipeline } from './pipeline/pipeline.js';
import { requestInfo } from './pipeline/request-info.js';
import type { SubresourceHandler } from './registry/resource-step.js';
import { connectHandler } from './subresources/connect.js';
import type { KubeletTls } from './subresources/kubelet-link.js';
import { logHandler } from './subresources/log.js';
import type { PodObjects } from './subresources/pod-location.js';
import { tokenHandler } from './subresources/token.js';
import { openapiStep } from './openapi/openapi-step.js';

export interface ApiServerOptions {
  readonly store: EtcdClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly tls: ServerTls;
  /** The API server as a client of kubelets. */
  readonly kubeletTls: KubeletTls;
  /** PEM of the key that signs tokens of service accounts. */
  readonly serviceAccountKey: string;
  /** As 10.96.0.0/16. */
  readonly serviceCidr: string;
  /** Address at which others reach this server, as in the endpoints of default/kubernetes. */
  readonly advertiseAddress: string;
  readonly port: number;
}

const ISSUER = 'https://kubernetes.default.svc.cluster.local';
const NOBODY = { name: '', uid: '', groups: [], extra: {} };
/** Identity of the API server towards its own pipeline. */
const LOOPBACK: ClientCertificate = {
  commonName: 'system:apiserver',
  organizations: ['system:masters'],
};
const BOOTSTRAP_RETRY_MS = 200;

export class ApiServer {
  private readonly options: ApiServerOptions;
  private readonly core: Core;
  private readonly pipeline: Pipeline;
  private readonly http: HttpServer;
  private readonly compactor: Compactor;
  private readonly endpoints: ApiEndpoints;
  private readonly stopping = new AbortController();
  private isReady = false;

  constructor(options: ApiServerOptions) {
    this.options = options;
    const { store, env, log, tls, serviceCidr, advertiseAddress, port } = options;
    this.core = new Core({ client: store, env, log, serviceCidr });
    const requests = new RequestMetrics(
      ({ group, version, resource }) => findResource(group, version, resource) !== undefined,
    );
    this.http = new HttpServer({
      env,
      tls,
      handle: (request, info) => this.handle(request, info),
      metrics: requests,
      onMistake: (error) => log.error('a request was not answered', { error }),
    });
    this.pipeline = new Pipeline(this.steps(requests), log);
    this.compactor = new Compactor({ client: store, env, log });
    const client = this.client(LOOPBACK, 'kube-apiserver');
    this.endpoints = new ApiEndpoints({
      store,
      client,
      env,
      log,
      address: advertiseAddress,
      port,
    });
  }

  /** Begins to serve; requests are answered while the caches still fill. Returns the port. */
  async listen(host: string): Promise<number> {
    const port = await this.http.listen(host, this.options.port);
    void this.start();
    return port;
  }

  /** Serves a connection that was accepted elsewhere, as if it had come to the own port. */
  accept(connection: Socket): void {
    this.http.accept(connection);
  }

  /** A client that calls into this server without a network, with the identity of a certificate. */
  client(identity: ClientCertificate, userAgent: string): KubeClient {
    const run = (request: ApiRequest): Promise<Answer | ApiError> => this.run(request);
    return restClient(new DirectTransport(run, identity, userAgent, this.options.env));
  }

  async stop(graceMs: number): Promise<void> {
    this.stopping.abort();
    this.compactor.stop();
    await this.endpoints.stop();
    await this.http.stop(graceMs);
    this.core.stop();
  }

  private async start(): Promise<void> {
    const { env, log, serviceCidr, port, advertiseAddress } = this.options;
    const { signal } = this.stopping;
    await this.core.start();
    while (!signal.aborted) {
      try {
        const client = this.client(LOOPBACK, 'kube-apiserver');
        await createSystemObjects({ client, serviceCidr, apiPort: port });
        break;
      } catch (error) {
        log.warn('objects of the system were not created', { error });
        await sleep(env, BOOTSTRAP_RETRY_MS, signal);
      }
    }
    if (signal.aborted) return;
    this.compactor.start();
    // An address that nobody else reaches is none to tell others.
    if (isReachable(advertiseAddress)) this.endpoints.start();
    this.isReady = true;
    log.info('API server is ready', { port });
  }

  private async run(request: ApiRequest, known?: RequestInfo): Promise<Answer | ApiError> {
    const exchange = this.begin(request, known);
    if (exchange instanceof ApiError) return exchange;
    return this.pipeline.run(exchange);
  }

  private begin(request: ApiRequest, known?: RequestInfo): Exchange | ApiError {
    try {
      const info = known ?? requestInfo(request.method, request.path, request.query);
      const kind = findResource(info.group, info.version, info.resource);
      return { request, info, user: NOBODY, kind, warnings: [] };
    } catch (error) {
      if (error instanceof ApiError) return error;
      throw error;
    }
  }

  /** An answer as it goes to a socket; undefined when the connection became another protocol. */
  async handle(request: ApiRequest, info?: RequestInfo): Promise<RenderedAnswer | undefined> {
    const exchange = this.begin(request, info);
    if (exchange instanceof ApiError) return renderError(exchange, request);
    const answer = await this.pipeline.run(exchange);
    if (answer instanceof ApiError)
      return withWarnings(renderError(answer, request), exchange.warnings);
    if (answer.type === 'upgraded') return undefined;
    try {
      return withWarnings(await render(answer, request, this.options.env), exchange.warnings);
    } catch (error) {
      if (answer.type === 'watch') answer.subscription.close();
      if (error instanceof ApiError) return renderError(error, request);
      throw error;
    }
  }

  private steps(requests: RequestMetrics): Step[] {
    const { env, serviceAccountKey, advertiseAddress, port } = this.options;
    const tokens = new ServiceAccountTokens(
      env,
      { issuer: ISSUER, signingKey: serviceAccountKey, verifyingKeys: [] },
      this.tokenObjects(),
    );
    const pods = served('', 'Pod');
    const authorize = fixedAuthorizer({
      pod: (namespace, name) => this.core.cached(pods, `${namespace}/${name}`)?.object as Pod,
      podsOn: (node) => this.core.podsOn(node),
    });
    const advertised = `${advertiseAddress}:${port}`;
    const discovered = [...KINDS, ...REVIEW_KINDS];
    const checks = this.checks();
    const objects = this.tokenObjects();
    return [
      authenticationStep(tokens),
      authorizationStep(authorize),
      healthStep(checks),
      versionStep(mainstayVersion()),
      rootStep(discovered, checks),
      discoveryStep(discovered, advertised),
      openidStep(tokens, advertised),
      metricsStep(
        {
          requests,
          inFlight: this.http.inFlight,
          storedObjects: () => this.storedObjects(),
          storeDurations: () => this.core.storeDurations(),
        },
        () => '',
      ),
      reviewsStep({ env, authorize, tokens }),
      openapiStep(env, discovered),
      this.core.step(
        this.subresources(tokenHandler({ env, tokens, objects, admission: this.core.admission })),
      ),
      notFoundStep(discovered),
    ];
  }

  private subresources(token: SubresourceHandler): Map<string, SubresourceHandler> {
    const { kubeletTls } = this.options;
    const objects = this.podObjects();
    return new Map([
      ['serviceaccounts/token', token],
      ['pods/log', logHandler(objects, kubeletTls)],
      ['pods/attach', connectHandler('attach', objects, kubeletTls)],
      ['pods/exec', connectHandler('exec', objects, kubeletTls)],
      ['pods/portforward', connectHandler('portforward', objects, kubeletTls)],
    ]);
  }

  private checks(): HealthCheck[] {
    return [
      { name: 'ping', of: ['healthz', 'livez', 'readyz'], check: () => undefined },
      {
        name: 'etcd',
        of: ['healthz', 'readyz'],
        check: async () => {
          await this.core.ping();
          return undefined;
        },
      },
      {
        name: 'poststarthook/bootstrap-objects',
        of: ['healthz', 'readyz'],
        check: () => (this.isReady ? undefined : 'not finished'),
      },
      {
        name: 'shutdown',
        of: ['readyz'],
        check: () => (this.http.isStopping ? 'process is shutting down' : undefined),
      },
    ];
  }

  private podObjects(): PodObjects {
    const pods = served('', 'Pod');
    const nodes = served('', 'Node');
    return {
      pod: async (namespace, name) =>
        (await this.core.find(pods, `${namespace}/${name}`))?.object as Pod | undefined,
      node: async (name) => (await this.core.find(nodes, name))?.object as Node | undefined,
    };
  }

  private tokenObjects(): TokenObjects {
    const find =
      (kind: string) =>
      async (namespace: string, name: string): Promise<KubeObject | undefined> =>
        (await this.core.find(served('', kind), `${namespace}/${name}`))?.object;
    return {
      serviceAccount: find('ServiceAccount'),
      pod: find('Pod'),
      secret: find('Secret'),
      node: async (name) => (await this.core.find(served('', 'Node'), name))?.object,
    };
  }

  private *storedObjects(): Generator<readonly [string, number]> {
    for (const { kind, objects } of this.core.counts()) yield [qualified(kind), objects];
  }
}

function isReachable(address: string): boolean {
  return validateEndpointIp('', address).length === 0;
}

/** Warnings as clients print them (RFC 7234, code 299). */
function withWarnings(answer: RenderedAnswer, warnings: readonly string[]): RenderedAnswer {
  if (warnings.length === 0) return answer;
  const texts = [...new Set(warnings)].map((text) => `299 - ${JSON.stringify(text)}`);
  return { ...answer, headers: { ...answer.headers, warning: texts.join(', ') } };
}
