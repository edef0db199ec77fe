/**
 * Bytes on a connection between members: a preface, then frames.
 *
 *   frame := u32 body length, u8 type, u32 CRC32C of the five bytes before and the body, body     (little-endian)
 *
 * The dialler sends the preface and a hello; everything else waits for the reply to it.
 */
import { crc32c } from '../../base/bytes/crc32c.js';
import { invariant } from '../../base/invariant.js';
import { MAX_FRAME_BYTES, MAX_HELLO_BYTES } from './limits.js';

/** No HTTP method begins like this, and no TLS handshake does. */
export const PREFACE = Buffer.from('mainstay-peer/1\n', 'latin1');
/**
 * Versions of the protocol this member speaks. Version 2 adds parts (parts.ts) and the answer to a
 * ping on the side that dialled; the older of the two members decides.
 */
export const OLDEST_PROTOCOL_VERSION = 1;
export const NEWEST_PROTOCOL_VERSION = 2;

export const FrameType = {
  hello: 1,
  helloReply: 2,
  messages: 3,
  request: 4,
  reply: 5,
  ping: 6,
  pong: 7,
  snapshotBegin: 8,
  snapshotAccept: 9,
  snapshotChunk: 10,
  snapshotEnd: 11,
  snapshotResult: 12,
  part: 13,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const FRAME_HEADER_BYTES = 9;
const CRC_AT = 5;

export class FrameError extends Error {
  override name = 'FrameError';
}

/** A buffer for a frame whose body the caller writes behind the header and then seals. */
export function allocateFrame(bodyBytes: number): Buffer {
  invariant(bodyBytes <= MAX_FRAME_BYTES, 'a frame that no peer accepts');
  return Buffer.allocUnsafe(FRAME_HEADER_BYTES + bodyBytes);
}

/** Fills in the header of the frame that is `bytes[start, end)`. */
export function sealFrame(bytes: Buffer, type: FrameType, start = 0, end = bytes.length): void {
  bytes.writeUInt32LE(end - start - FRAME_HEADER_BYTES, start);
  bytes[start + 4] = type;
  const head = crc32c(bytes, 0, start, start + CRC_AT);
  bytes.writeUInt32LE(crc32c(bytes, head, start + FRAME_HEADER_BYTES, end), start + CRC_AT);
}

export function makeFrame(type: FrameType, body: Uint8Array): Buffer {
  const frame = allocateFrame(body.length);
  frame.set(body, FRAME_HEADER_BYTES);
  sealFrame(frame, type);
  return frame;
}

export interface Frame {
  readonly type: number;
  readonly body: Buffer;
}

/**
 * Cuts received bytes into frames; pulled, so that the owner may stop between two frames.
 *
 * A frame that lies within one received chunk is a view of it. Others are put together once they
 * are complete, so memory grows with the bytes received and not with those a header announces.
 */
export class FrameReader {
  private maxBodyBytes = MAX_HELLO_BYTES;
  private chunks: Buffer[] = [];
  private available = 0;

  /** The hello was accepted: from here on bodies of every length are read. */
  admit(): void {
    this.maxBodyBytes = MAX_FRAME_BYTES;
  }

  get isAdmitted(): boolean {
    return this.maxBodyBytes === MAX_FRAME_BYTES;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.chunks.push(chunk);
    this.available += chunk.length;
  }

  /**
   * Next complete frame, or null.
   *
   * Throws: FrameError for a wrong checksum or a body beyond the bound.
   */
  next(): Frame | null {
    if (this.available < FRAME_HEADER_BYTES) return null;
    const bodyBytes = this.peekU32();
    if (bodyBytes > this.maxBodyBytes) {
      throw new FrameError(
        `a frame of ${bodyBytes} bytes exceeds the limit of ${this.maxBodyBytes}`,
      );
    }
    const total = FRAME_HEADER_BYTES + bodyBytes;
    if (this.available < total) return null;
    const bytes = this.take(total);
    const head = crc32c(bytes, 0, 0, CRC_AT);
    if (crc32c(bytes, head, FRAME_HEADER_BYTES, total) !== bytes.readUInt32LE(CRC_AT)) {
      throw new FrameError('a frame has a wrong checksum');
    }
    return { type: bytes[4] as number, body: bytes.subarray(FRAME_HEADER_BYTES) };
  }

  private peekU32(): number {
    const first = this.chunks[0] as Buffer;
    if (first.length >= 4) return first.readUInt32LE(0);
    // Fewer than four bytes in the first chunk: rare, so simply join.
    this.chunks = [Buffer.concat(this.chunks)];
    return (this.chunks[0] as Buffer).readUInt32LE(0);
  }

  private take(count: number): Buffer {
    this.available -= count;
    const first = this.chunks[0] as Buffer;
    if (first.length > count) {
      this.chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    if (first.length === count) {
      this.chunks.shift();
      return first;
    }
    const taken = Buffer.allocUnsafeSlow(count);
    let filled = 0;
    let used = 0;
    while (filled < count) {
      const chunk = this.chunks[used] as Buffer;
      const part = Math.min(chunk.length, count - filled);
      chunk.copy(taken, filled, 0, part);
      filled += part;
      if (part < chunk.length) this.chunks[used] = chunk.subarray(part);
      else used++;
    }
    this.chunks.splice(0, used);
    return taken;
  }
}
