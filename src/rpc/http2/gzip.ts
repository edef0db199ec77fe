/**
 * gzip for messages from and to clients that compress theirs. Short ones are handled at once, as
 * far as a turn's budget goes, longer ones in Node's thread pool, a few at a time. The messages of
 * a stream keep their order.
 */
import { gunzip, gunzipSync, gzip, gzipSync } from 'node:zlib';
import {
  GZIP_MIN_BYTES,
  GZIP_NOW_MAX_BYTES,
  GZIP_OVERHEAD_BYTES,
  GZIP_POOL_JOBS,
  GZIP_TURN_BYTES,
} from './limits.js';
import { Fifo } from '../../base/collections/fifo.js';
import type { TransportEnv } from '../transport.js';

/** Takes a message on: `body` is packed if `compressed`. */
export type PackedSink = (body: Uint8Array, compressed: boolean) => void;

/** Work for the thread pool. */
export interface PoolJob {
  /** Begins the work, which ends with `done`; false when there is nothing to do any more. */
  start(done: () => void): boolean;
}

/** Shared by the streams of one transport. */
export class GzipWorkers {
  private readonly env: TransportEnv;
  private turnBytes = 0;
  private busy = 0;
  private readonly line = new Fifo<PoolJob>();

  constructor(env: TransportEnv) {
    this.env = env;
  }

  /** Takes time of this turn to pack or unpack so many bytes; false, with nothing taken, when too little is left. */
  takeTime(bytes: number): boolean {
    const cost = bytes + GZIP_OVERHEAD_BYTES;
    if (bytes > GZIP_NOW_MAX_BYTES || this.turnBytes + cost > GZIP_TURN_BYTES) return false;
    if (this.turnBytes === 0) this.env.defer(() => (this.turnBytes = 0));
    this.turnBytes += cost;
    return true;
  }

  /** Starts the job when its turn comes. */
  enqueue(job: PoolJob): void {
    this.line.push(job);
    this.work();
  }

  private work(): void {
    while (this.busy < GZIP_POOL_JOBS) {
      const job = this.line.shift();
      if (job === undefined) return;
      if (job.start(this.onDone)) this.busy++;
    }
  }

  private readonly onDone = (): void => {
    this.busy--;
    this.work();
  };
}

/**
 * Unpacks `bytes` at once; undefined when that could take longer than the turn has time for.
 *
 * Throws: zlib's error when the bytes are not gzip.
 */
export function unpackNow(workers: GzipWorkers, bytes: Uint8Array): Uint8Array | undefined {
  const announced = announcedBytes(bytes);
  if (Math.max(announced, bytes.length) > GZIP_NOW_MAX_BYTES) return undefined;
  if (!workers.takeTime(announced)) return undefined;
  try {
    return gunzipSync(bytes, { maxOutputLength: GZIP_NOW_MAX_BYTES });
  } catch (error) {
    // Longer than announced, which only the thread pool has time to find out.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Unpacks `bytes` in the thread pool; the error is a RangeError when they come to more than `maxBytes`. */
export function unpackLater(
  bytes: Uint8Array,
  maxBytes: number,
  done: (error: Error | null, unpacked: Uint8Array) => void,
): void {
  gunzip(bytes, { maxOutputLength: Math.max(maxBytes, 1) }, done);
}

/** Length of the contents by the trailer of the last member (RFC 1952, 2.3.1), which may be wrong. */
function announcedBytes(bytes: Uint8Array): number {
  const at = bytes.length - 4;
  if (at < 0) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true);
}

/** The messages of one stream on their way through gzip. */
export class GzipQueue implements PoolJob {
  /** Bytes of messages that wait. */
  waitingBytes = 0;
  private readonly workers: GzipWorkers;
  private readonly sink: PackedSink;
  private readonly waiting = new Fifo<Uint8Array>();

  constructor(workers: GzipWorkers, sink: PackedSink) {
    this.workers = workers;
    this.sink = sink;
  }

  /** Every message has been passed on. */
  get isIdle(): boolean {
    return this.waiting.isEmpty;
  }

  /** The message whose turn it is; undefined when none waits. */
  private get first(): Uint8Array | undefined {
    return this.waiting.first;
  }

  push(message: Uint8Array): void {
    if (this.isIdle && this.passAtOnce(message)) return;
    const isFirst = this.isIdle;
    this.waiting.push(message);
    this.waitingBytes += message.length;
    if (isFirst) this.workers.enqueue(this);
  }

  start(done: () => void): boolean {
    const message = this.first;
    // Aborted while it was in line.
    if (message === undefined) return false;
    gzip(message, (error, packed) => {
      this.onPacked(message, error === null ? packed : message);
      done();
    });
    return true;
  }

  /** The result for what was `first`; the message itself when it could not be packed. */
  private onPacked(message: Uint8Array, packed: Uint8Array): void {
    if (this.first !== message) return;
    this.dropFirst();
    this.pass(message, packed);
    for (let next = this.first; next !== undefined; next = this.first) {
      if (!this.passAtOnce(next)) {
        this.workers.enqueue(this);
        return;
      }
      this.dropFirst();
    }
  }

  /** Forgets what waits. */
  abort(): void {
    this.waiting.clear();
    this.waitingBytes = 0;
  }

  private passAtOnce(message: Uint8Array): boolean {
    // A packet carries it either way, and an empty message must not be packed.
    if (message.length < GZIP_MIN_BYTES) this.sink(message, false);
    else if (this.workers.takeTime(message.length)) this.pass(message, gzipSync(message));
    else return false;
    return true;
  }

  private pass(message: Uint8Array, packed: Uint8Array): void {
    if (packed.length < message.length) this.sink(packed, true);
    else this.sink(message, false);
  }

  private dropFirst(): void {
    this.waitingBytes -= this.waiting.shift()?.length ?? 0;
  }
}
