/**
 * Messages of one stream out of its DATA frames: reads the length prefixes, assembles what spans frames, unpacks gzip,
 * and holds whole messages back while the handler is paused.
 *
 * A message is assembled in one buffer that grows with what has arrived, so that neither many tiny frames nor a large
 * announced length cost memory. Messages that lie within one frame are passed on as views of it.
 */
import { gunzipSync } from 'node:zlib';
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
}

export class Inbox {
  /** No message is handed out while true. */
  paused = false;
  /** Bytes of whole messages held back. */
  heldBytes = 0;
  private readonly sink: MessageSink;
  private readonly maxBytes: number;
  private readonly encoding: string;
  /** Bytes of the prefix read so far: the flag, then the size. */
  private prefixFilled = 0;
  private flag = 0;
  private size = 0;
  private body: Buffer | undefined;
  private bodyFilled = 0;
  private held: Uint8Array[] = [];

  constructor(sink: MessageSink, maxBytes: number, encoding: string) {
    this.sink = sink;
    this.maxBytes = maxBytes;
    this.encoding = encoding;
  }

  /** True between the first and the last byte of a message. */
  get isMidMessage(): boolean {
    return this.prefixFilled > 0;
  }

  /** Whole messages wait to be handed out. */
  get holds(): boolean {
    return this.held.length > 0;
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

  /** Hands out what was held back, until paused again. */
  release(): void {
    while (!this.paused && this.held.length > 0) {
      const messages = this.held;
      this.held = [];
      let next = 0;
      while (!this.paused && next < messages.length) {
        const message = messages[next++];
        if (message === undefined) break;
        this.heldBytes -= message.length;
        this.sink.onWholeMessage(message, true);
      }
      if (next < messages.length) this.held = messages.slice(next).concat(this.held);
    }
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
    let message = bytes;
    if (this.flag === COMPRESSED) {
      const unpacked = this.unpack(bytes);
      if (unpacked instanceof RpcError) return unpacked;
      message = unpacked;
    }
    this.prefixFilled = 0;
    this.bodyFilled = 0;
    this.body = undefined;
    if (this.paused || this.held.length > 0) {
      this.held.push(message);
      this.heldBytes += message.length;
    } else {
      this.sink.onWholeMessage(message, isView && message === bytes);
    }
    return undefined;
  }

  private unpack(bytes: Uint8Array): Uint8Array | RpcError {
    try {
      return gunzipSync(bytes, { maxOutputLength: Math.max(this.maxBytes, 1) });
    } catch (error) {
      return error instanceof RangeError
        ? new RpcError(
            Status.resourceExhausted,
            `grpc: received message after decompression larger than max ${this.maxBytes}`,
          )
        : new RpcError(Status.internal, 'grpc: failed to decompress the received message');
    }
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
