/**
 * The seam below the client: one request to an API server, and its answer as plain objects. HTTPS
 * is one implementation (https-transport.ts); a call into an API server of the same process is the
 * other, and passes objects without turning them into bytes.
 */
import type { KubeObject } from '../api/object.js';
import type { WatchEvent } from './client.js';

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Percent-encoded, without the query. */
  readonly path: string;
  readonly query?: URLSearchParams;
  /** Of `body`; `application/json` when left out. */
  readonly contentType?: string;
  /** Plain JSON. The transport reads it only, and keeps no part of it. */
  readonly body?: object;
  /** Ends the call: an answer that has not come becomes a TransportError, a watch just ends. */
  readonly signal?: AbortSignal;
}

export interface ApiAnswer {
  /** The HTTP status code. */
  readonly code: number;
  /**
   * The parsed JSON, or the text of any other media type. It may be shared with the server and with
   * other clients, and is frozen then.
   */
  readonly body: unknown;
  /** The header `Retry-After`, when it came as a number. */
  readonly retryAfterSeconds?: number;
}

/**
 * Events of a watch that was accepted, in batches as they arrive. It ends when the server ends it,
 * and when the call's signal aborts; it rejects with TransportError when the connection breaks.
 * Leaving the loop ends the watch. Only one iteration is possible.
 */
export type WatchBatches = AsyncIterable<readonly WatchEvent<KubeObject>[]>;

export interface Transport {
  /** Any status code is an answer. Rejects with TransportError when none came. */
  call(call: ApiCall): Promise<ApiAnswer>;
  /** A call with `watch=true`; an answer instead of events is the server's refusal. */
  watch(call: ApiCall): Promise<ApiAnswer | WatchBatches>;
  /** Ends all calls and watches with TransportError; later ones fail at once. */
  close(): void;
}
