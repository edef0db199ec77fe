/**
 * The part of the API server that knows objects, on a real store, without sockets: requests go
 * through the pipeline as they do over HTTPS, and answers come back rendered.
 */
import { loggerTo } from '../../src/base/observe/logger.js';
import { EtcdClient } from '../../src/client/client.js';
import { findResource } from '../../src/cluster/api/kinds/registry.js';
import { ApiError } from '../../src/cluster/api/status.js';
import { render, renderError } from '../../src/cluster/apiserver/answer/render.js';
import { Core, type CoreSetup } from '../../src/cluster/apiserver/core.js';
import type { RenderedAnswer } from '../../src/cluster/apiserver/http/rendered.js';
import type { ApiRequest, Step } from '../../src/cluster/apiserver/pipeline/exchange.js';
import { Pipeline } from '../../src/cluster/apiserver/pipeline/pipeline.js';
import { requestInfo } from '../../src/cluster/apiserver/pipeline/request-info.js';
import type { ClusterEnv } from '../../src/cluster/env.js';
import { systemClusterEnv } from '../../src/cluster/system-env.js';

const ADMIN = { name: 'admin', uid: '', groups: ['system:masters'], extra: {} };

export interface PlainRequest {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Names in any case. */
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or the bytes as text. */
  readonly body?: object | string;
}

export class ApiCore {
  readonly core: Core;
  readonly store: EtcdClient;
  private readonly pipeline: Pipeline;
  private readonly env: ClusterEnv;

  /** `endpoint` is that of a store, as host:port. */
  constructor(
    endpoint: string,
    others: readonly Step[] = [],
    setup: Partial<Pick<CoreSetup, 'env' | 'serviceCidr'>> = {},
  ) {
    const log = loggerTo([], 'error');
    this.env = setup.env ?? systemClusterEnv();
    this.store = new EtcdClient(endpoint);
    this.core = new Core({
      client: this.store,
      env: this.env,
      log,
      serviceCidr: setup.serviceCidr ?? '10.96.0.0/16',
    });
    this.pipeline = new Pipeline([...others, this.core.step(new Map())], log);
  }

  async stop(): Promise<void> {
    this.core.stop();
    await Promise.resolve();
    this.store.close();
  }

  async send(plain: PlainRequest, signal = new AbortController().signal): Promise<RenderedAnswer> {
    const request = requestOf(plain, signal);
    try {
      const info = requestInfo(request.method, request.path, request.query);
      const kind = findResource(info.group, info.version, info.resource);
      const exchange = { request, info, user: ADMIN, kind, warnings: [] };
      const answer = await this.pipeline.run(exchange);
      if (answer instanceof ApiError) return renderError(answer, request);
      if (answer.type === 'upgraded') throw new Error('nothing upgrades here');
      return await render(answer, request, this.env);
    } catch (error) {
      if (error instanceof ApiError) return renderError(error, request);
      throw error;
    }
  }
}

function requestOf(plain: PlainRequest, signal: AbortSignal): ApiRequest {
  const headers = new Map(
    Object.entries(plain.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  );
  if (!headers.has('user-agent')) headers.set('user-agent', 'recorder/1');
  const { body = '' } = plain;
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return {
    method: plain.method,
    path: plain.path,
    query: new URLSearchParams(plain.query),
    header: (name) => headers.get(name),
    headerNames: () => [...headers.keys()],
    body: () => Promise.resolve(bytes),
    certificate: undefined,
    signal,
    upgrade: undefined,
  };
}
