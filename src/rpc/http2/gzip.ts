/**
 * gzip for messages to clients that compress theirs: short ones at once, as far as a turn's budget goes, longer ones in
 * Node's thread pool, a few at a time; the messages of a stream leave in the order they came in.
 */
import { gzip, gzipSync } from 'node:zlib';
import {
  GZIP_MIN_BYTES,
  GZIP_NOW_MAX_BYTES,
  GZIP_OVERHEAD_BYTES,
  GZIP_POOL_JOBS,
  GZIP_TURN_BYTES,
} from './limits.js';
import type { TransportEnv } from '../transport.js';

/** Takes a message on: `body` is packed if `compressed`. */
export type PackedSink = (body: Uint8Array, compressed: boolean) => void;

/** What the streams of one transport share. */
export class GzipWorkers {
  private readonly env: TransportEnv;
  private turnBytes = 0;
  private busy = 0;
  private readonly line: GzipQueue[] = [];

  constructor(env: TransportEnv) {
    this.env = env;
  }

  /** True if the event loop has time to pack so many bytes in this turn; they count as packed then. */
  mayPackNow(bytes: number): boolean {
    const cost = bytes + GZIP_OVERHEAD_BYTES;
    if (bytes > GZIP_NOW_MAX_BYTES || this.turnBytes + cost > GZIP_TURN_BYTES) return false;
    if (this.turnBytes === 0) this.env.defer(() => (this.turnBytes = 0));
    this.turnBytes += cost;
    return true;
  }

  /** Packs the first message of `queue` in the thread pool, when its turn comes. */
  enqueue(queue: GzipQueue): void {
    this.line.push(queue);
    this.work();
  }

  private work(): void {
    while (this.busy < GZIP_POOL_JOBS && this.line.length > 0) {
      const queue = this.line.shift();
      const message = queue?.first;
      // Aborted while it was in line.
      if (queue === undefined || message === undefined) continue;
      this.busy++;
      gzip(message, (error, packed) => {
        this.busy--;
        queue.onPacked(message, error === null ? packed : message);
        this.work();
      });
    }
  }
}

/** The messages of one stream on their way through gzip. */
export class GzipQueue {
  /** Bytes of messages that wait. */
  waitingBytes = 0;
  private readonly workers: GzipWorkers;
  private readonly sink: PackedSink;
  private waiting: Uint8Array[] = [];

  constructor(workers: GzipWorkers, sink: PackedSink) {
    this.workers = workers;
    this.sink = sink;
  }

  /** Every message has been passed on. */
  get isIdle(): boolean {
    return this.waiting.length === 0;
  }

  /** The message whose turn it is; undefined when none waits. */
  get first(): Uint8Array | undefined {
    return this.waiting[0];
  }

  push(message: Uint8Array): void {
    if (this.isIdle && this.passAtOnce(message)) return;
    this.waiting.push(message);
    this.waitingBytes += message.length;
    if (this.waiting.length === 1) this.workers.enqueue(this);
  }

  /** The result for what was `first`; the message itself when it could not be packed. */
  onPacked(message: Uint8Array, packed: Uint8Array): void {
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
    this.waiting = [];
    this.waitingBytes = 0;
  }

  private passAtOnce(message: Uint8Array): boolean {
    // A packet carries it either way, and an empty message must not be packed.
    if (message.length < GZIP_MIN_BYTES) this.sink(message, false);
    else if (this.workers.mayPackNow(message.length)) this.pass(message, gzipSync(message));
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
