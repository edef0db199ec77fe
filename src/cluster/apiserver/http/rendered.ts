/**
 * An answer as bytes, on its way to a socket. Rendering (answer/) makes it, http/ writes it, with
 * back-pressure, to HTTP/1.1 and HTTP/2 alike.
 */
import type { Readable } from 'node:stream';

/**
 * A body that goes on until one side ends it: a watch. The sender calls `start` once, after the
 * header has left.
 */
export interface WatchBody {
  /**
   * `write` hands over chunks in order. When it returns false the receiver is full: nothing more is
   * to be written until `drained` is called. `end` closes the body after what was written.
   */
  start(write: (chunks: readonly Uint8Array[]) => boolean, end: () => void): void;
  /** The receiver takes more, after a `write` that returned false. */
  drained(): void;
  /** The receiver has gone, or the server stops: nothing may be written from now on. Called at most once. */
  close(): void;
}

export type RenderedBody = Uint8Array | readonly Uint8Array[] | WatchBody | Readable | undefined;

export interface RenderedAnswer {
  readonly status: number;
  /** Names in lower case. Content-Length, Connection and the like belong to the sender. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** Undefined: none. Pieces are sent in order, as one body of known length. */
  readonly body: RenderedBody;
}

export function isWatchBody(body: RenderedBody): body is WatchBody {
  return typeof body === 'object' && 'start' in body && 'drained' in body;
}
