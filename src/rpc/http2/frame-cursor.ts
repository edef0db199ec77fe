/**
 * Walks over the HTTP/2 frames of a byte stream, in the socket's own chunks: only a frame that spans chunks is copied.
 *
 * The cursor stands on one frame at a time; its fields are that frame's until `next` is called
 * again. A frame that spans chunks is assembled in a buffer of its own, which grows with the bytes
 * received. The buffer is never reused, so that views of its payload stay valid for as long as they
 * are held.
 */
import { invariant } from '../../base/invariant.js';
import { ErrorCode, FRAME_HEADER_BYTES, Flag, PREFACE, readStreamId } from './frames.js';
import { MAX_FRAME_BYTES } from './limits.js';

const MIN_ASSEMBLY_BYTES = 1024;
const NO_BYTES: Buffer = Buffer.alloc(0);

/** Fault of bytes that are no HTTP/2 this server accepts; `next` returns no frame after it. */
export interface CursorFault {
  readonly code: ErrorCode;
  readonly reason: string;
}

const BAD_PREFACE: CursorFault = {
  code: ErrorCode.protocolError,
  reason: 'bad connection preface',
};
const TOO_LARGE: CursorFault = { code: ErrorCode.frameSizeError, reason: 'frame too large' };

export class FrameCursor {
  type = 0;
  flags = 0;
  streamId = 0;
  /** The payload is `buffer[start..end)`. */
  buffer = NO_BYTES;
  start = 0;
  end = 0;
  /** Frames stood on so far. */
  framesRead = 0;
  fault: CursorFault | undefined;
  private chunk = NO_BYTES;
  /** Position in `chunk` of what comes next. */
  private at = 0;
  private prefaceMatched = 0;
  private partial: Buffer | undefined;
  private partialFilled = 0;

  /** True when the preface or a frame has begun and is not complete. */
  get isMidFrame(): boolean {
    return this.prefaceMatched < PREFACE.length || this.partialFilled > 0;
  }

  /** No byte is left but those of the frame it stands on. */
  get isAtEnd(): boolean {
    return this.at >= this.chunk.length;
  }

  get length(): number {
    return this.end - this.start;
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** Gives the cursor its next bytes. Requires: `next` has returned false since the chunk before. */
  push(chunk: Buffer): void {
    invariant(this.chunk.length === 0, 'the chunk before was read to its end');
    this.chunk = chunk;
    this.at = 0;
  }

  /** Moves to the next whole frame; false when more bytes are needed, or at a fault. */
  next(): boolean {
    const { chunk } = this;
    if (this.prefaceMatched < PREFACE.length && !this.matchPreface()) return false;
    if (this.partialFilled > 0) return this.completePartial();
    const start = this.at + FRAME_HEADER_BYTES;
    if (start <= chunk.length) {
      const head = chunk.readUInt32BE(this.at);
      const length = head >>> 8;
      if (length > MAX_FRAME_BYTES) return this.stop(TOO_LARGE);
      const end = start + length;
      if (end <= chunk.length) {
        this.type = head & 0xff;
        this.flags = chunk[this.at + 4] ?? 0;
        this.streamId = readStreamId(chunk, this.at + 5);
        if (this.buffer !== chunk) this.buffer = chunk;
        this.start = start;
        this.end = end;
        this.at = end;
        this.framesRead++;
        return true;
      }
    }
    if (this.at < chunk.length) this.append(chunk.length);
    return this.finishChunk();
  }

  /** Takes padding off the payload of a DATA or HEADERS frame; false when there is more of it than payload. */
  dropPadding(): boolean {
    if (!this.has(Flag.padded)) return true;
    const padding = this.buffer[this.start] ?? 0;
    const hasLength = this.start < this.end;
    this.start++;
    this.end -= padding;
    return hasLength && this.start <= this.end;
  }

  /** Lets go of the chunk: an idle connection must not keep it in memory. */
  private finishChunk(): false {
    this.chunk = NO_BYTES;
    this.buffer = NO_BYTES;
    this.at = 0;
    return false;
  }

  private stop(fault: CursorFault): false {
    this.fault = fault;
    return this.finishChunk();
  }

  private matchPreface(): boolean {
    const { chunk, at } = this;
    const from = this.prefaceMatched;
    const compared = Math.min(PREFACE.length - from, chunk.length - at);
    if (chunk.compare(PREFACE, from, from + compared, at, at + compared) !== 0) {
      return this.stop(BAD_PREFACE);
    }
    this.prefaceMatched += compared;
    this.at += compared;
    return this.prefaceMatched === PREFACE.length || this.finishChunk();
  }

  /** Moves to the frame begun in an earlier chunk, if its last byte has come. */
  private completePartial(): boolean {
    if (this.partialFilled < FRAME_HEADER_BYTES) {
      this.append(this.at + FRAME_HEADER_BYTES - this.partialFilled);
      if (this.partialFilled < FRAME_HEADER_BYTES) return this.finishChunk();
    }
    const length = (this.partial?.readUInt32BE(0) ?? 0) >>> 8;
    if (length > MAX_FRAME_BYTES) return this.stop(TOO_LARGE);
    const total = FRAME_HEADER_BYTES + length;
    this.append(this.at + total - this.partialFilled);
    const frame = this.partial;
    if (this.partialFilled < total || frame === undefined) return this.finishChunk();
    this.partial = undefined;
    this.partialFilled = 0;
    this.type = frame[3] ?? 0;
    this.flags = frame[4] ?? 0;
    this.streamId = readStreamId(frame, 5);
    this.buffer = frame;
    this.start = FRAME_HEADER_BYTES;
    this.end = total;
    this.framesRead++;
    return true;
  }

  /** Copies the chunk's bytes up to `end`, or all there are, to the partial frame. */
  private append(end: number): void {
    const { chunk, at } = this;
    const to = Math.min(end, chunk.length);
    const needed = this.partialFilled + to - at;
    let { partial } = this;
    if (partial === undefined || partial.length < needed) {
      const grown = Math.max(needed, MIN_ASSEMBLY_BYTES, (partial?.length ?? 0) * 2);
      const larger = Buffer.allocUnsafeSlow(Math.min(FRAME_HEADER_BYTES + MAX_FRAME_BYTES, grown));
      partial?.copy(larger, 0, 0, this.partialFilled);
      partial = larger;
      this.partial = larger;
    }
    chunk.copy(partial, this.partialFilled, at, to);
    this.partialFilled = needed;
    this.at = to;
  }
}
