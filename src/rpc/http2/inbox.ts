/**
 * Messages of one stream out of its DATA frames. Reads the length prefixes, assembles messages that
 * span frames, unpacks gzip, and holds whole messages back while the handler is paused.
 *
 * A message is assembled in one buffer that grows with the bytes received. So neither many tiny
 * frames nor a large announced length cost memory. Messages that lie within one frame are passed on
 * as views of it. Packed messages wait packed, and those that take long to unpack are unpacked in
 * the thread pool.
 */
import { Fifo } from '../../base/collections/fifo.js';
import { unpackLater, unpackNow } from './gzip.js';
import type { GzipWorkers, PoolJob } from './gzip.js';
import { RpcError, Status } from '../service.js';
import { messageTooLarge } from '../transport.js';
import { GZIP } from './request-head.js';
import { MESSAGE_PREFIX_BYTES } from './response-blocks.js';

const MIN_ASSEMBLY_BYTES = 1024;
const COMPRESSED = 1;
const FLAG_WITHOUT_ENCODING = new RpcError(
  Status.internal,
  'grpc: compressed flag set with identity or empty encoding',
);

/** Receives whole messages in order. */
export interface MessageSink {
  /** `isView`: the bytes belong to a network buffer, which lives as long as they are kept. */
  onWholeMessage(message: Uint8Array, isView: boolean): void;
  /** A message cannot be unpacked. */
  onBadMessage(refusal: RpcError): void;
  /** The last of the messages that were held back has been handed out. */
  onAllHandedOut(): void;
  /** No message is wanted any more. */
  readonly ended: boolean;
}

interface HeldMessage {
  readonly bytes: Uint8Array;
  readonly isPacked: boolean;
}

export class Inbox implements PoolJob {
  /** No message is handed out while true. */
  paused = false;
  /** Bytes of whole messages held back. */
  private heldBytes = 0;
  private readonly sink: MessageSink;
  private readonly maxBytes: number;
  private readonly encoding: string;
  /** Bytes of the prefix read so far: the flag, then the size. */
  private prefixFilled = 0;
  private flag = 0;
  private size = 0;
  private body: Buffer | undefined;
  private bodyFilled = 0;
  private readonly held = new Fifo<HeldMessage>();
  /** The first of the messages held back is being unpacked in the thread pool. */
  private isUnpacking = false;
  private readonly workers: GzipWorkers;

  constructor(sink: MessageSink, workers: GzipWorkers, maxBytes: number, encoding: string) {
    this.sink = sink;
    this.workers = workers;
    this.maxBytes = maxBytes;
    this.encoding = encoding;
  }

  /** True between the first and the last byte of a message. */
  get isMidMessage(): boolean {
    return this.prefixFilled > 0;
  }

  /** Whole messages wait to be handed out. */
  get holds(): boolean {
    return !this.held.isEmpty;
  }

  /** Bytes kept in memory. */
  get bufferedBytes(): number {
    return this.heldBytes + (this.body?.length ?? 0);
  }

  /** Takes the payload of a DATA frame; returns the refusal that ends the call, if any. */
  push(chunk: Buffer, start: number, end: number): RpcError | undefined {
    let at = start;
    while (at < end) {
      if (this.prefixFilled < MESSAGE_PREFIX_BYTES) {
        at = this.readPrefixBytes(chunk, at, end);
        if (this.prefixFilled < MESSAGE_PREFIX_BYTES) return undefined;
        const refusal = this.checkPrefix();
        if (refusal !== undefined) return refusal;
      }
      const missing = this.size - this.bodyFilled;
      if (this.body === undefined && end - at >= missing) {
        const refusal = this.finish(chunk.subarray(at, at + missing), true);
        if (refusal !== undefined) return refusal;
        at += missing;
        continue;
      }
      const copied = Math.min(missing, end - at);
      const body = this.roomFor(copied);
      chunk.copy(body, this.bodyFilled, at, at + copied);
      this.bodyFilled += copied;
      at += copied;
      if (this.bodyFilled === this.size) {
        const refusal = this.finish(body.subarray(0, this.size), false);
        if (refusal !== undefined) return refusal;
      }
    }
    return undefined;
  }

  /** Hands out messages held back, until paused again or one takes long to unpack. */
  release(): void {
    while (!this.paused && !this.isUnpacking && !this.sink.ended) {
      const first = this.held.first;
      if (first === undefined) return;
      const message = first.isPacked ? this.unpack(first.bytes) : first.bytes;
      if (message === undefined) {
        this.isUnpacking = true;
        this.workers.enqueue(this);
        return;
      }
      this.dropFirst(first);
      if (message instanceof RpcError) this.sink.onBadMessage(message);
      else this.sink.onWholeMessage(message, message === first.bytes);
      if (!this.holds) this.sink.onAllHandedOut();
    }
  }

  start(done: () => void): boolean {
    const first = this.held.first;
    if (first === undefined || this.sink.ended) return false;
    unpackLater(first.bytes, this.maxBytes, (error, unpacked) => {
      this.isUnpacking = false;
      if (!this.sink.ended) {
        if (error === null) {
          this.held.replaceFirst({ bytes: unpacked, isPacked: false });
          this.heldBytes += unpacked.length - first.bytes.length;
          this.release();
        } else {
          this.sink.onBadMessage(this.refusalFor(error));
        }
      }
      done();
    });
    return true;
  }

  private dropFirst({ bytes }: HeldMessage): void {
    this.held.shift();
    this.heldBytes -= bytes.length;
  }

  private readPrefixBytes(chunk: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.prefixFilled < MESSAGE_PREFIX_BYTES) {
      const byte = chunk[at++] ?? 0;
      if (this.prefixFilled === 0) {
        this.flag = byte;
        this.size = 0;
      } else {
        this.size = this.size * 256 + byte;
      }
      this.prefixFilled++;
    }
    return at;
  }

  private checkPrefix(): RpcError | undefined {
    const { flag } = this;
    if (flag > COMPRESSED) {
      return new RpcError(Status.internal, `grpc: received unexpected payload format ${flag}`);
    }
    if (flag === COMPRESSED && this.encoding !== GZIP) return FLAG_WITHOUT_ENCODING;
    return this.size > this.maxBytes ? messageTooLarge(this.size, this.maxBytes) : undefined;
  }

  private finish(bytes: Uint8Array, isView: boolean): RpcError | undefined {
    const isPacked = this.flag === COMPRESSED;
    this.prefixFilled = 0;
    this.bodyFilled = 0;
    this.body = undefined;
    const mayPass = !this.paused && !this.holds;
    const message = !mayPass ? undefined : isPacked ? this.unpack(bytes) : bytes;
    if (message instanceof RpcError) return message;
    if (message !== undefined) {
      this.sink.onWholeMessage(message, isView && message === bytes);
      return undefined;
    }
    this.held.push({ bytes, isPacked });
    this.heldBytes += bytes.length;
    if (mayPass) this.release();
    return undefined;
  }

  /** Undefined when it takes longer than there is time for now. */
  private unpack(bytes: Uint8Array): Uint8Array | RpcError | undefined {
    try {
      const unpacked = unpackNow(this.workers, bytes);
      if (unpacked === undefined || unpacked.length <= this.maxBytes) return unpacked;
      return this.unpackedTooLarge;
    } catch (error) {
      return this.refusalFor(error);
    }
  }

  private refusalFor(error: unknown): RpcError {
    return error instanceof RangeError
      ? this.unpackedTooLarge
      : new RpcError(Status.internal, 'grpc: failed to decompress the received message');
  }

  private get unpackedTooLarge(): RpcError {
    return new RpcError(
      Status.resourceExhausted,
      `grpc: received message after decompression larger than max ${this.maxBytes}`,
    );
  }

  /** The assembly buffer with room for `more` bytes, doubled as needed up to the announced size. */
  private roomFor(more: number): Buffer {
    const needed = this.bodyFilled + more;
    const { body } = this;
    if (body !== undefined && body.length >= needed) return body;
    const grown = Math.max(needed, MIN_ASSEMBLY_BYTES, (body?.length ?? 0) * 2);
    const larger = Buffer.allocUnsafeSlow(Math.min(this.size, grown));
    body?.copy(larger, 0, 0, this.bodyFilled);
    this.body = larger;
    return larger;
  }
}
