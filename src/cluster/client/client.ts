/**
 * The client of the API server, as every other component has it. One implementation (rest-client.ts)
 * over two transports: HTTPS, and a direct call into an API server of the same process. Methods
 * reject with ApiError for every answer that is a Status, and with TransportError when there was
 * none; what a server may have begun with is never repeated.
 */
import type { Status } from '../../gen/kube-meta-v1.js';
import type { ResourceType } from '../api/kinds/kind.js';
import type { JsonValue, KubeList, KubeObject } from '../api/object.js';

/** No answer: the server cannot be reached, or the connection ended before one came. */
export class TransportError extends Error {
  override name = 'TransportError';
}

export interface ListOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: 'Exact' | 'NotOlderThan';
  readonly limit?: number;
  readonly continue?: string;
  readonly signal?: AbortSignal;
}

export interface WatchOptions extends Omit<ListOptions, 'limit' | 'continue'> {
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
}

export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; readonly object: T }
  | { readonly type: 'ERROR'; readonly object: Status };

export interface WriteOptions {
  readonly fieldManager?: string;
  /** Of an apply patch: takes over fields that others own. */
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply';

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly signal?: AbortSignal;
}

/**
 * One resource, in one namespace or in all. `namespace` is empty for cluster-scoped resources, and
 * for lists and watches over all namespaces. Objects that come back may be shared: never change
 * them in place.
 */
export interface ResourceClient<T extends KubeObject> {
  get(name: string, options?: { readonly signal?: AbortSignal }): Promise<T>;
  list(options?: ListOptions): Promise<KubeList<T>>;
  /** Ends when the server ends the stream; ERROR comes as an event. Rejects as other methods do. */
  watch(options?: WatchOptions): AsyncIterable<WatchEvent<T>>;
  create(object: T, options?: WriteOptions): Promise<T>;
  update(object: T, options?: WriteOptions): Promise<T>;
  updateStatus(object: T, options?: WriteOptions): Promise<T>;
  patch(name: string, kind: PatchKind, patch: JsonValue, options?: WriteOptions): Promise<T>;
  patchStatus(name: string, kind: PatchKind, patch: JsonValue, options?: WriteOptions): Promise<T>;
  /** The object that remains for now, or the Status of the deletion. */
  delete(name: string, options?: DeleteOptions): Promise<T | Status>;
  deleteCollection(options?: DeleteOptions & ListOptions): Promise<void>;
  /** POST to a subresource: binding, token ... */
  createSubresource<R>(
    name: string,
    subresource: string,
    body: object,
    options?: WriteOptions,
  ): Promise<R>;
  getSubresource<R>(
    name: string,
    subresource: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<R>;
  updateSubresource<R>(
    name: string,
    subresource: string,
    body: object,
    options?: WriteOptions,
  ): Promise<R>;
}

export interface KubeClient {
  resource<T extends KubeObject>(type: ResourceType<T>, namespace?: string): ResourceClient<T>;
  /** GET of any path, as JSON: discovery, `/version`. */
  getPath<R>(path: string, options?: { readonly signal?: AbortSignal }): Promise<R>;
  close(): void;
}
