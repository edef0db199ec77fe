import type {
  ApiAnswer,
  ApiCall,
  Transport,
  WatchBatches,
} from '../../../src/cluster/client/transport.js';
import {
  ApiError,
  expired,
  methodNotSupported,
  timeout,
  unknownPath,
} from '../../../src/cluster/api/status.js';
import { TransportError } from '../../../src/cluster/client/client.js';
import type { ClusterEnv } from '../../../src/cluster/env.js';
import type { JsonValue, KubeObject } from '../../../src/cluster/api/object.js';
import type { ResourceType } from '../../../src/cluster/api/kinds/kind.js';
import { resourcePath } from '../../../src/cluster/client/resource-path.js';
import { FakeStore, type Target } from './fake-store.js';
import { FakeWatch } from './fake-watch.js';
import { applyPatch } from './fake-patch.js';
import { selectorOf } from './fake-selectors.js';

/** Answers a call in place of the API server, fails it by throwing, or leaves it alone. */
export type Interceptor = (call: ApiCall) => ApiAnswer | undefined | Promise<ApiAnswer | undefined>;

/**
 * An API server in memory for tests of its clients: revisions, conflicts, status subresource,
 * generations, finalizers, graceful deletion of pods, binding, paged lists, watches with bookmarks.
 * It neither defaults nor validates, knows no kinds, and authorizes everything; every path of a
 * resource works. `restClient(api)` is a client of it.
 */
export class FakeApi implements Transport {
  /** Every call in order, as `POST /api/v1/namespaces/default/pods`. */
  readonly calls: string[] = [];
  readonly store: FakeStore;
  readonly #watches = new Set<FakeWatch>();
  #interceptors: Interceptor[] = [];
  #refusesWatchList = false;

  constructor(env: ClusterEnv) {
    this.store = new FakeStore(env, (change) => {
      for (const watch of this.#watches) watch.show(change);
    });
  }

  /** Puts `object` there as it is, status included, in place of one that is there. */
  put<T extends KubeObject>(type: ResourceType<T>, object: T): T {
    return this.store.put(targetOf(type, object), object) as T;
  }

  /** Takes the object away at once, whatever its finalizers. */
  remove(type: ResourceType, object: KubeObject): void {
    this.store.remove(targetOf(type, object));
  }

  get<T extends KubeObject>(type: ResourceType<T>, namespace: string, name: string): T | undefined {
    return this.store.get({ collection: resourcePath(type, ''), namespace, name }) as T | undefined;
  }

  /** Objects of all namespaces, or of one, by key. */
  list<T extends KubeObject>(type: ResourceType<T>, namespace = ''): T[] {
    return this.store.list(resourcePath(type, ''), namespace) as T[];
  }

  /** `interceptor` sees each later call first, before those added earlier. Returns its removal. */
  intercept(interceptor: Interceptor): () => void {
    this.#interceptors.unshift(interceptor);
    return () => {
      this.#interceptors = this.#interceptors.filter((other) => other !== interceptor);
    };
  }

  /** Answers watches that ask for initial events with 422, as servers without that feature. */
  refuseWatchList(): void {
    this.#refusesWatchList = true;
  }

  /** Sends a bookmark of the current revision to all watches that allow bookmarks. */
  bookmark(): void {
    for (const watch of this.#watches) watch.bookmark(this.store.revision);
  }

  /** Forgets history up to now: watches and lists from older revisions get 410. */
  compact(): void {
    this.store.compact();
  }

  /** Ends all open watches: cleanly, or with an error. */
  endWatches(error?: Error): void {
    for (const watch of [...this.#watches]) watch.end(error);
  }

  /** Sends ERROR with this Status to all open watches, which end after it. */
  failWatches(error: ApiError): void {
    for (const watch of [...this.#watches]) watch.fail(error.status);
  }

  get openWatches(): number {
    return this.#watches.size;
  }

  async call(call: ApiCall): Promise<ApiAnswer> {
    this.calls.push(`${call.method} ${call.path}`);
    try {
      return (await this.#intercepted(call)) ?? this.#answer(call);
    } catch (error) {
      return asAnswer(error);
    }
  }

  async watch(call: ApiCall): Promise<ApiAnswer | WatchBatches> {
    this.calls.push(`WATCH ${call.path}`);
    try {
      return (await this.#intercepted(call)) ?? this.#open(call);
    } catch (error) {
      return asAnswer(error);
    }
  }

  close(): void {
    this.endWatches(new TransportError('the client was closed'));
  }

  async #intercepted(call: ApiCall): Promise<ApiAnswer | undefined> {
    // No answer comes within the turn of its call.
    await Promise.resolve();
    for (const interceptor of this.#interceptors) {
      const answer = await interceptor(call);
      if (answer !== undefined) return answer;
    }
    if (call.signal?.aborted === true) throw new TransportError('the call was aborted');
    return undefined;
  }

  #answer(call: ApiCall): ApiAnswer {
    const { target, subresource } = parsePath(call.path);
    const body = structuredClone(call.body) as KubeObject;
    const isDryRun = call.query?.get('dryRun') === 'All';
    const name = target.name === '' ? 'collection' : subresource === '' ? 'object' : 'subresource';
    switch (`${call.method} ${name}`) {
      case 'GET collection':
        return { code: 200, body: this.#list(target, call.query ?? new URLSearchParams()) };
      case 'POST collection':
        return { code: 201, body: this.store.create(target, body, isDryRun) };
      case 'DELETE collection':
        return { code: 200, body: this.#deleteAll(target, call) };
      case 'GET object':
        return { code: 200, body: this.store.require(target) };
      case 'PUT object':
        return { code: 200, body: this.store.update(target, body, '', isDryRun) };
      case 'PATCH object':
        return { code: 200, body: this.#patch(target, '', call, isDryRun) };
      case 'DELETE object':
        return { code: 200, body: this.store.delete(target, call.body ?? {}) };
      default:
        return this.#answerSubresource(target, subresource, call, body, isDryRun);
    }
  }

  #answerSubresource(
    target: Target,
    subresource: string,
    call: ApiCall,
    body: KubeObject,
    isDryRun: boolean,
  ): ApiAnswer {
    switch (`${call.method} ${subresource}`) {
      case 'GET status':
        return { code: 200, body: this.store.require(target) };
      case 'PUT status':
        return { code: 200, body: this.store.update(target, body, 'status', isDryRun) };
      case 'PATCH status':
        return { code: 200, body: this.#patch(target, 'status', call, isDryRun) };
      case 'POST binding':
        return { code: 201, body: this.store.bind(target, body) };
      case 'PUT finalize':
        return { code: 200, body: this.store.update(target, body, 'finalize', isDryRun) };
      default:
        throw subresource === '' ? methodNotSupported() : unknownPath();
    }
  }

  #patch(target: Target, subresource: string, call: ApiCall, isDryRun: boolean): KubeObject {
    const old = this.store.require(target);
    const patch = structuredClone(call.body) as JsonValue;
    const next = applyPatch(call.contentType ?? '', structuredClone(old), patch);
    return this.store.update(target, next, subresource, isDryRun);
  }

  #list(target: Target, query: URLSearchParams): object {
    const selects = selectorOf(query);
    const asked = Number(query.get('resourceVersion') ?? 0);
    if (asked > this.store.revision) throw timeout(`Too large resource version: ${asked}`);
    const from = query.get('continue') ?? '';
    const [revision, after] = from === '' ? [this.store.revision, ''] : split(from);
    if (revision < this.store.compacted) {
      throw expired('The provided continue parameter is too old');
    }
    const limit = Number(query.get('limit') ?? 0);
    const all = this.store
      .listAt(target.collection, target.namespace, revision)
      .filter((object) => selects(object) && keyOf(object) > after);
    const items = limit > 0 ? all.slice(0, limit) : all;
    const last = items.at(-1);
    const isMore = last !== undefined && items.length < all.length;
    const metadata = {
      resourceVersion: String(revision),
      ...(isMore ? { continue: `${revision} ${keyOf(last)}` } : {}),
    };
    const { apiVersion, kind } = all[0] ?? { apiVersion: 'v1', kind: '' };
    return { apiVersion, kind: `${kind}List`, metadata, items };
  }

  #deleteAll(target: Target, call: ApiCall): object {
    const selects = selectorOf(call.query ?? new URLSearchParams());
    for (const object of this.store.list(target.collection, target.namespace)) {
      if (!selects(object)) continue;
      const { namespace = '', name = '' } = object.metadata;
      this.store.delete({ ...target, namespace, name }, call.body ?? {});
    }
    return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' };
  }

  #open(call: ApiCall): WatchBatches {
    const { target } = parsePath(call.path);
    const query = call.query ?? new URLSearchParams();
    const isList = query.get('sendInitialEvents') === 'true';
    if (isList && this.#refusesWatchList) {
      throw new ApiError({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        reason: 'Invalid',
        message: 'sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch',
        code: 422,
      });
    }
    const from = Number(query.get('resourceVersion') ?? 0);
    const watch = new FakeWatch({
      target,
      selects: selectorOf(query),
      allowsBookmarks: query.get('allowWatchBookmarks') === 'true',
      onEnd: () => this.#watches.delete(watch),
    });
    this.#watches.add(watch);
    if (from !== 0 && !isList) {
      if (from < this.store.compacted) {
        watch.fail(expired(`too old resource version: ${from} (${this.store.compacted})`).status);
      } else {
        for (const change of this.store.changesAfter(from)) watch.show(change);
      }
    } else {
      for (const object of this.store.list(target.collection, target.namespace)) {
        watch.showInitial(object);
      }
      if (isList) watch.endInitial(this.store.revision, this.store.kindOf(target.collection));
    }
    call.signal?.addEventListener('abort', () => watch.end(), { once: true });
    return watch;
  }
}

function targetOf(type: ResourceType, object: KubeObject): Target {
  const { namespace = '', name = '' } = object.metadata;
  return { collection: resourcePath(type, ''), namespace, name };
}

const PATH = /^(\/api\/[^/]+|\/apis\/[^/]+\/[^/]+)((?:\/[^/]+)+)$/;

/** The namespace's own path is read as an object of the cluster scope. */
function parsePath(path: string): { target: Target; subresource: string } {
  const match = PATH.exec(path);
  if (match === null) throw unknownPath();
  const [, root = '', rest = ''] = match;
  const parts = rest.slice(1).split('/').map(decodeURIComponent);
  const isWithin =
    parts[0] === 'namespaces' &&
    parts.length > 2 &&
    !['status', 'finalize'].includes(parts[2] ?? '');
  const namespace = isWithin ? (parts[1] ?? '') : '';
  const [resource = '', name = '', subresource = ''] = isWithin ? parts.slice(2) : parts;
  return { target: { collection: `${root}/${resource}`, namespace, name }, subresource };
}

function split(token: string): [number, string] {
  const at = token.indexOf(' ');
  return [Number(token.slice(0, at)), token.slice(at + 1)];
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
}

function asAnswer(error: unknown): ApiAnswer {
  if (!(error instanceof ApiError)) throw error;
  const seconds = error.status.details?.retryAfterSeconds;
  return {
    code: error.code,
    body: error.status,
    ...(seconds === undefined ? {} : { retryAfterSeconds: seconds }),
  };
}
