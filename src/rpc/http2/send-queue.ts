/** Output of one stream that could not go out at once: messages or parts, then the end of the stream. */
import type { PartSource } from '../service.js';
import type { GzipQueue } from './gzip.js';
import { MESSAGE_PREFIX_BYTES } from './response-blocks.js';

/** Clock of the queue: the connection. */
export interface QueueClock {
  readonly nowMs: number;
}

/** Consumed pieces are cut off in runs of this many. */
const COMPACT_AT = 64;

export class SendQueue {
  queuedBytes = 0;
  /** The block of the trailers once the stream is to end with them. */
  trailers: Buffer | undefined;
  /** The stream ends with its last data instead of trailers (plain HTTP). */
  endsWithData = false;
  /** In the connection's line of streams that have something to send and a window to send it in. */
  isReady = false;
  /** A write returned false: the handler waits for `onDrain`. */
  wantsDrain = false;
  lastProgressMs: number;
  source: PartSource | undefined;
  /** Messages that are being packed, and will be pushed after what is queued. */
  packing: GzipQueue | undefined;
  private sourceLeft = 0;
  private sourceWaits = false;
  /** Pieces carry the length prefix of a gRPC message. */
  private readonly prefixed: boolean;
  private readonly pieces: Uint8Array[] = [];
  private first = 0;
  /** Position in the first piece; negative within its prefix. */
  private offset: number;
  private readonly clock: QueueClock;
  private readonly wake: () => void;

  /** `wake` is called when a source that had nothing has something. */
  constructor(prefixed: boolean, clock: QueueClock, wake: () => void) {
    this.prefixed = prefixed;
    this.offset = prefixed ? -MESSAGE_PREFIX_BYTES : 0;
    this.lastProgressMs = clock.nowMs;
    this.clock = clock;
    this.wake = wake;
  }

  push(piece: Uint8Array): void {
    const size = piece.length + (this.prefixed ? MESSAGE_PREFIX_BYTES : 0);
    if (size === 0) return;
    // The first item of the queue has just begun to wait, however long nothing was queued before.
    if (this.queuedBytes === 0) this.lastProgressMs = this.clock.nowMs;
    this.pieces.push(piece);
    this.queuedBytes += size;
  }

  /** Sends `totalBytes` from `source` after what is queued. Requires: a queue without prefixes. */
  attach(source: PartSource, totalBytes: number): void {
    this.source = source;
    this.sourceLeft = totalBytes;
  }

  /** Asks the source for its next part when nothing is queued; false when the source broke its promise of size. */
  refill(): boolean {
    while (this.queuedBytes === 0 && this.source !== undefined && !this.sourceWaits) {
      // Set first: a source may resume before it has returned.
      this.sourceWaits = true;
      const part = this.source.next(this.resume);
      if (part === null) continue;
      this.sourceWaits = false;
      if (part === undefined) {
        this.source = undefined;
        return this.sourceLeft === 0;
      } else {
        if (part.length > this.sourceLeft) return false;
        this.sourceLeft -= part.length;
        this.push(part);
      }
    }
    return true;
  }

  /** Everything there will be has been taken. */
  get isDrained(): boolean {
    return this.queuedBytes === 0 && this.source === undefined && this.packing?.isIdle !== false;
  }

  /** There is something to write now, data or the end. */
  get hasWork(): boolean {
    if (this.queuedBytes > 0) return true;
    if (this.source !== undefined) return !this.sourceWaits;
    if (this.packing?.isIdle === false) return false;
    return this.trailers !== undefined || this.endsWithData;
  }

  /** Queued bytes, and those of messages still to be packed. */
  get bufferedBytes(): number {
    return this.queuedBytes + (this.packing?.waitingBytes ?? 0);
  }

  /** Moves `count` queued bytes to `target`. Requires: count <= queuedBytes. */
  take(target: Buffer, at: number, count: number): void {
    let left = count;
    let to = at;
    this.queuedBytes -= count;
    while (left > 0) {
      const piece = this.pieces[this.first];
      if (piece === undefined) return;
      while (left > 0 && this.offset < 0) {
        target[to++] = prefixByte(piece.length, this.offset + MESSAGE_PREFIX_BYTES);
        this.offset++;
        left--;
      }
      if (this.offset < 0) return;
      const copied = Math.min(left, piece.length - this.offset);
      if (this.offset === 0 && copied === piece.length) target.set(piece, to);
      else target.set(piece.subarray(this.offset, this.offset + copied), to);
      to += copied;
      left -= copied;
      this.offset += copied;
      if (this.offset === piece.length) this.dropFirst();
    }
  }

  /** Drops the queue and aborts the source. */
  abort(): void {
    const { source } = this;
    this.source = undefined;
    this.pieces.length = 0;
    this.first = 0;
    this.queuedBytes = 0;
    this.packing?.abort();
    source?.abort();
  }

  private readonly resume = (): void => {
    if (!this.sourceWaits) return;
    this.sourceWaits = false;
    this.wake();
  };

  private dropFirst(): void {
    this.offset = this.prefixed ? -MESSAGE_PREFIX_BYTES : 0;
    this.first++;
    if (this.first === this.pieces.length) {
      this.pieces.length = 0;
      this.first = 0;
    } else if (this.first >= COMPACT_AT) {
      this.pieces.splice(0, this.first);
      this.first = 0;
    }
  }
}

/** Byte `index` of the prefix of an uncompressed message of `size` bytes. */
function prefixByte(size: number, index: number): number {
  return index === 0 ? 0 : (size >>> (8 * (4 - index))) & 0xff;
}
