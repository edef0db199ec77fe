/** Limits of one connection, and what happens at them. */

/** Frame payloads this server accepts: the protocol's default and minimum. */
export const MAX_FRAME_BYTES = 16_384;
/** Receive window of a stream; a paused handler holds at most this much back. */
export const STREAM_WINDOW_BYTES = 1024 * 1024;
/** Receive window of a connection, opened again as bytes arrive. */
export const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Compressed header block over all its frames; more ends the connection. */
export const MAX_HEADER_BLOCK_BYTES = 32 * 1024;
/** CONTINUATION frames of one block; more ends the connection. */
export const MAX_CONTINUATIONS = 16;

/**
 * Open calls of one connection when the operator names no bound. Announced to the client, which then waits with further
 * calls, and enforced: about 20 MB of memory. The 4 MiB of MAX_BACKLOG_BYTES hold a refusal of each of them.
 */
export const DEFAULT_MAX_STREAMS = 16_384;
/** The value of --max-concurrent-streams that names no bound, as in etcd. */
export const NO_STREAM_BOUND = 2 ** 32 - 1;

/** Calls a connection may have open where the operator sets `maxConcurrentStreams`. */
export function streamBound(maxConcurrentStreams: number): number {
  return maxConcurrentStreams >= NO_STREAM_BOUND ? DEFAULT_MAX_STREAMS : maxConcurrentStreams;
}

/** Resets by the client, and frames that change nothing: this many at once, refilled at a rate per second. */
export const RESET_BURST = 1000;
export const RESETS_PER_SECOND = 100;
export const IDLE_FRAME_BURST = 1000;
export const IDLE_FRAMES_PER_SECOND = 100;

/** Control frames and trailers a client has not read: more ends the connection. */
export const MAX_BACKLOG_BYTES = 4 * 1024 * 1024;
/**
 * Bytes of requests a connection may have incomplete or held back: the stream that exceeds it is refused. A longer
 * message that the server accepts raises the bound to its length.
 */
export const MAX_RECEIVING_BYTES = 64 * 1024 * 1024;
/** Queued data one connection writes at a stretch, and all connections in one turn of the event loop (under 1 ms). */
export const PUMP_SLICE_BYTES = 128 * 1024;
export const TURN_BYTES = 1024 * 1024;
/** The same in time: replies that are read while they are written may cost more than their bytes. */
export const TURN_MS = 2;

/** Time in one turn of the event loop for frames of all connections; what is left is read in later turns. */
export const READ_TURN_MS = 3;
/** Time one connection reads at a stretch while others wait for theirs. */
export const READ_SHARE_MS = 0.5;
/** Frames read, and streams cancelled, between two looks at the clock. */
export const FRAMES_PER_LOOK = 32;
export const CANCELS_PER_STEP = 16;

/** Shorter messages are not packed: they leave in one packet either way. */
export const GZIP_MIN_BYTES = 1024;
/** The longest message packed on the event loop, and all of them in one turn (1 to 2 ms). */
export const GZIP_NOW_MAX_BYTES = 16 * 1024;
export const GZIP_TURN_BYTES = 64 * 1024;
/** Cost of the beginning of a message, counted as bytes. */
export const GZIP_OVERHEAD_BYTES = 8 * 1024;
/** Messages packed in the thread pool at once: half of its threads, as the disk needs them too. */
export const GZIP_POOL_JOBS = 2;

/** Preface and each started frame or header block must be complete within this time. */
export const FRAME_DEADLINE_MS = 10_000;
/** A started request message must get on within this time. */
export const REQUEST_STALL_MS = 30_000;
/** Queued data must get on within this time. */
export const SEND_STALL_MS = 60_000;
/** After GOAWAY with an error, the client has this long to close its side. */
export const CLOSE_LINGER_MS = 2000;

/** A client may ping too often this many times before the connection is ended. */
export const MAX_PING_STRIKES = 2;
/** Smallest interval between pings of a client that has no call open. */
export const IDLE_PING_INTERVAL_MS = 2 * 3600 * 1000;

/** An allowance that refills with time. */
export class Allowance {
  private left: number;
  private readonly burst: number;
  private readonly perSecond: number;
  private lastMs: number;

  constructor(burst: number, perSecond: number, nowMs: number) {
    this.burst = burst;
    this.left = burst;
    this.perSecond = perSecond;
    this.lastMs = nowMs;
  }

  /** Uses one unit; false when none is left. */
  take(nowMs: number): boolean {
    this.left = Math.min(this.burst, this.left + ((nowMs - this.lastMs) * this.perSecond) / 1000);
    this.lastMs = nowMs;
    if (this.left < 1) return false;
    this.left -= 1;
    return true;
  }
}
