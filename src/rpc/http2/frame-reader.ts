/**
 * Cuts a byte stream into HTTP/2 frames, in the socket's own chunks: only a frame that spans chunks is copied.
 *
 * A frame that spans chunks is assembled in a buffer of its own, which grows with what has arrived and is never
 * reused, so that views of its payload stay valid for as long as somebody holds them.
 */
import { ErrorCode, FRAME_HEADER_BYTES, PREFACE, readStreamId } from './frames.js';
import { MAX_FRAME_BYTES } from './limits.js';

const MIN_ASSEMBLY_BYTES = 1024;

export interface FrameHandler {
  /** False once frames are no longer wanted. */
  readonly isOpen: boolean;
  /** A whole frame; its payload is `buffer[start..end)`. */
  onFrame(
    type: number,
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void;
  /** The bytes are not HTTP/2 as this server accepts it. */
  onFault(code: ErrorCode, reason: string): void;
}

export class FrameReader {
  private readonly handler: FrameHandler;
  /** Frames handed on so far. */
  framesRead = 0;
  private prefaceMatched = 0;
  private partial: Buffer | undefined;
  private partialFilled = 0;

  constructor(handler: FrameHandler) {
    this.handler = handler;
  }

  /** True when the preface or a frame has begun and is not complete. */
  get isMidFrame(): boolean {
    return this.prefaceMatched < PREFACE.length || this.partialFilled > 0;
  }

  push(chunk: Buffer): void {
    const { handler } = this;
    const end = chunk.length;
    let at = 0;
    if (this.prefaceMatched < PREFACE.length) {
      at = this.matchPreface(chunk);
      if (at < 0) return;
    }
    if (this.partialFilled > 0) at = this.completePartial(chunk, at);
    while (handler.isOpen && end - at >= FRAME_HEADER_BYTES) {
      const head = chunk.readUInt32BE(at);
      const length = head >>> 8;
      if (length > MAX_FRAME_BYTES) {
        handler.onFault(ErrorCode.frameSizeError, 'frame too large');
        return;
      }
      const start = at + FRAME_HEADER_BYTES;
      const next = start + length;
      if (next > end) break;
      const streamId = readStreamId(chunk, at + 5);
      this.framesRead++;
      handler.onFrame(head & 0xff, chunk[at + 4] ?? 0, streamId, chunk, start, next);
      at = next;
    }
    if (at < end && handler.isOpen) this.append(chunk, at, end);
  }

  /** Returns the position after the part of the preface in `chunk`, or -1 when it is not one. */
  private matchPreface(chunk: Buffer): number {
    const compared = Math.min(PREFACE.length - this.prefaceMatched, chunk.length);
    const from = this.prefaceMatched;
    if (chunk.compare(PREFACE, from, from + compared, 0, compared) !== 0) {
      this.handler.onFault(ErrorCode.protocolError, 'bad connection preface');
      return -1;
    }
    this.prefaceMatched += compared;
    return compared;
  }

  /** Adds to the frame begun in an earlier chunk; returns the position after what it took. */
  private completePartial(chunk: Buffer, from: number): number {
    let at = from;
    if (this.partialFilled < FRAME_HEADER_BYTES) {
      at += this.append(
        chunk,
        at,
        Math.min(at + FRAME_HEADER_BYTES - this.partialFilled, chunk.length),
      );
      if (this.partialFilled < FRAME_HEADER_BYTES) return at;
    }
    const length = (this.partial?.readUInt32BE(0) ?? 0) >>> 8;
    if (length > MAX_FRAME_BYTES) {
      this.handler.onFault(ErrorCode.frameSizeError, 'frame too large');
      return at;
    }
    const total = FRAME_HEADER_BYTES + length;
    at += this.append(chunk, at, Math.min(at + total - this.partialFilled, chunk.length));
    const frame = this.partial;
    if (this.partialFilled < total || frame === undefined) return at;
    this.partial = undefined;
    this.partialFilled = 0;
    const streamId = readStreamId(frame, 5);
    this.framesRead++;
    this.handler.onFrame(frame[3] ?? 0, frame[4] ?? 0, streamId, frame, FRAME_HEADER_BYTES, total);
    return at;
  }

  private append(chunk: Buffer, start: number, end: number): number {
    const needed = this.partialFilled + end - start;
    let { partial } = this;
    if (partial === undefined || partial.length < needed) {
      const grown = Math.max(needed, MIN_ASSEMBLY_BYTES, (partial?.length ?? 0) * 2);
      const larger = Buffer.allocUnsafeSlow(Math.min(FRAME_HEADER_BYTES + MAX_FRAME_BYTES, grown));
      partial?.copy(larger, 0, 0, this.partialFilled);
      partial = larger;
      this.partial = larger;
    }
    chunk.copy(partial, this.partialFilled, start, end);
    this.partialFilled = needed;
    return end - start;
  }
}
