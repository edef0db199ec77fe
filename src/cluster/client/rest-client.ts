import { invariant } from '../../base/invariant.js';
import type { Status } from '../../gen/kube-meta-v1.js';
import type { ResourceType } from '../api/kinds/kind.js';
import { apiVersionOf, type JsonValue, type KubeList, type KubeObject } from '../api/object.js';
import { ApiError, apiError } from '../api/status.js';
import type {
  DeleteOptions,
  KubeClient,
  ListOptions,
  PatchKind,
  ResourceClient,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from './client.js';
import { resourcePath } from './resource-path.js';
import type { ApiAnswer, ApiCall, Transport } from './transport.js';

const PATCH_TYPES: Readonly<Record<PatchKind, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  // JSON is YAML.
  apply: 'application/apply-patch+yaml',
};

/** The client over `transport`, which it owns: closing one closes the other. */
export function restClient(transport: Transport): KubeClient {
  return {
    resource: (type, namespace = '') => new RestResourceClient(transport, type, namespace),
    getPath: (path, options = {}) => {
      const at = path.indexOf('?');
      const query = at === -1 ? {} : { query: new URLSearchParams(path.slice(at + 1)) };
      const bare = at === -1 ? path : path.slice(0, at);
      return answered(
        transport.call({ method: 'GET', path: bare, ...query, ...signalOf(options) }),
      );
    },
    close: () => transport.close(),
  };
}

class RestResourceClient<T extends KubeObject> implements ResourceClient<T> {
  readonly #transport: Transport;
  readonly #type: ResourceType<T>;
  readonly #namespace: string;

  constructor(transport: Transport, type: ResourceType<T>, namespace: string) {
    invariant(
      type.isNamespaced || namespace === '',
      '{} are in no namespace, not in {}',
      type.resource,
      namespace,
    );
    this.#transport = transport;
    this.#type = type;
    this.#namespace = namespace;
  }

  get(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<T> {
    return this.#call({ method: 'GET', path: this.#path(name), ...signalOf(options) });
  }

  async list(options: ListOptions = {}): Promise<KubeList<T>> {
    const query = listQuery(options);
    const list = await this.#call<KubeList<T>>({
      method: 'GET',
      path: this.#path(),
      query,
      ...signalOf(options),
    });
    return { ...list, items: list.items.map((item) => this.#named(item)) };
  }

  async *watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent<T>> {
    const answer = await this.#transport.watch({
      method: 'GET',
      path: this.#path(),
      query: watchQuery(options),
      ...signalOf(options),
    });
    if ('code' in answer) throw refusal(answer);
    for await (const batch of answer) {
      // The server sends objects of the type that was asked for.
      yield* batch as readonly WatchEvent<T>[];
    }
  }

  create(object: T, options: WriteOptions = {}): Promise<T> {
    const path = this.#path();
    invariant(
      this.#type.isNamespaced === (this.#namespace !== ''),
      'the client that creates {} needs a namespace exactly when these have one',
      this.#type.resource,
    );
    return this.#write('POST', path, object, options);
  }

  update(object: T, options: WriteOptions = {}): Promise<T> {
    return this.#write('PUT', this.#path(object.metadata.name ?? ''), object, options);
  }

  updateStatus(object: T, options: WriteOptions = {}): Promise<T> {
    return this.updateSubresource(object.metadata.name ?? '', 'status', object, options);
  }

  patch(name: string, kind: PatchKind, patch: JsonValue, options: WriteOptions = {}): Promise<T> {
    return this.#patch(this.#path(name), kind, patch, options);
  }

  patchStatus(
    name: string,
    kind: PatchKind,
    patch: JsonValue,
    options: WriteOptions = {},
  ): Promise<T> {
    return this.#patch(this.#path(name, 'status'), kind, patch, options);
  }

  delete(name: string, options: DeleteOptions = {}): Promise<T | Status> {
    return this.#call({ method: 'DELETE', path: this.#path(name), ...deletion(options) });
  }

  async deleteCollection(options: DeleteOptions & ListOptions = {}): Promise<void> {
    const query = listQuery(options);
    await this.#call({ method: 'DELETE', path: this.#path(), query, ...deletion(options) });
  }

  createSubresource<R>(
    name: string,
    subresource: string,
    body: object,
    options: WriteOptions = {},
  ): Promise<R> {
    return this.#write('POST', this.#path(name, subresource), body, options);
  }

  getSubresource<R>(
    name: string,
    subresource: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<R> {
    return this.#call({ method: 'GET', path: this.#path(name, subresource), ...signalOf(options) });
  }

  updateSubresource<R>(
    name: string,
    subresource: string,
    body: object,
    options: WriteOptions = {},
  ): Promise<R> {
    return this.#write('PUT', this.#path(name, subresource), body, options);
  }

  #path(name?: string, subresource?: string): string {
    return resourcePath(this.#type, this.#namespace, name, subresource);
  }

  #write<R>(method: 'POST' | 'PUT', path: string, body: object, options: WriteOptions): Promise<R> {
    return this.#call({ method, path, body, ...writing(options) });
  }

  #patch(path: string, kind: PatchKind, body: JsonValue, options: WriteOptions): Promise<T> {
    const contentType = PATCH_TYPES[kind];
    // JSON text may be any value, the body of a patch only an object or a list.
    invariant(typeof body === 'object' && body !== null, 'a patch is an object or a list');
    return this.#call({ method: 'PATCH', path, contentType, body, ...writing(options) });
  }

  #call<R>(call: ApiCall): Promise<R> {
    return answered<R>(this.#transport.call(call));
  }

  /** Items of a list come without their kind. */
  #named(item: T): T {
    if ((item.kind as string | undefined) !== undefined) return item;
    const { group, version, kind } = this.#type;
    return { ...item, apiVersion: apiVersionOf(group, version), kind };
  }
}

async function answered<R>(answer: Promise<ApiAnswer>): Promise<R> {
  const { code, body, retryAfterSeconds } = await answer;
  if (code >= 200 && code < 300) return body as R;
  throw refusal({ code, body, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) });
}

/** Any other answer than a Status comes from something between client and API server. */
function refusal({ code, body, retryAfterSeconds }: ApiAnswer): ApiError {
  const retry = retryAfterSeconds === undefined ? undefined : { retryAfterSeconds };
  if (isStatus(body)) {
    const details = retry === undefined ? {} : { details: { ...retry, ...body.details } };
    return new ApiError({ ...body, code: body.code ?? code, ...details });
  }
  const text = typeof body === 'string' ? body.slice(0, 1000).trim() : '';
  const message = text === '' ? `the server answered with code ${code}` : text;
  return apiError(code, '', message, retry);
}

function isStatus(body: unknown): body is Status {
  return typeof body === 'object' && body !== null && 'kind' in body && body.kind === 'Status';
}

function signalOf({ signal }: { readonly signal?: AbortSignal }): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function listQuery(options: ListOptions): URLSearchParams {
  return queryOf({
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    resourceVersion: options.resourceVersion,
    resourceVersionMatch: options.resourceVersionMatch,
    limit: options.limit,
    continue: options.continue,
  });
}

function watchQuery(options: WatchOptions): URLSearchParams {
  return queryOf({
    watch: true,
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    resourceVersion: options.resourceVersion,
    resourceVersionMatch: options.resourceVersionMatch,
    allowWatchBookmarks: options.allowWatchBookmarks,
    sendInitialEvents: options.sendInitialEvents,
    timeoutSeconds: options.timeoutSeconds,
  });
}

function writing(options: WriteOptions): { query: URLSearchParams; signal?: AbortSignal } {
  const dryRun = options.dryRun === true ? 'All' : undefined;
  const { fieldManager, force } = options;
  return { query: queryOf({ fieldManager, force, dryRun }), ...signalOf(options) };
}

function deletion(options: DeleteOptions): { body: object; signal?: AbortSignal } {
  const { gracePeriodSeconds, propagationPolicy, preconditions } = options;
  const body = {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
    ...(preconditions === undefined ? {} : { preconditions }),
  };
  return { body, ...signalOf(options) };
}

function queryOf(
  parameters: Readonly<Record<string, string | number | boolean | undefined>>,
): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.set(name, String(value));
  }
  return query;
}
