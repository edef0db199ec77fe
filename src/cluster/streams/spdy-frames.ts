/**
 * Frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00, 2.2) as bytes: a reader that is fed in pieces of
 * any size, and writers. Only what Kubernetes' streams use is interpreted.
 */
import { concatBytes, uint32 } from './bytes.js';

export const FrameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

export const RstStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
  streamAlreadyClosed: 9,
} as const;

export const FLAG_FIN = 1;

/** Longest payload of a control frame. Data frames pass in pieces and need no limit. */
const MAX_CONTROL_BYTES = 64 * 1024;

const HEAD_BYTES = 8;
const VERSION = 3;

export interface ControlFrame {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

export interface FrameHandler {
  onControl(frame: ControlFrame): void;
  /** A piece of a data frame. `isLast` marks the piece that ends the stream (FIN); it may be empty. */
  onData(streamId: number, piece: Buffer, isLast: boolean): void;
}

/** Raised for bytes that are no frames; the connection cannot go on. */
export class FrameError extends Error {
  override name = 'FrameError';
}

export class FrameReader {
  private readonly handler: FrameHandler;
  private pending: Buffer = Buffer.alloc(0);
  /** Of the data frame that is being read. */
  private data: { readonly streamId: number; readonly isFin: boolean; left: number } | undefined;

  constructor(handler: FrameHandler) {
    this.handler = handler;
  }

  /** Hands over the frames that are complete, and what there is of a data frame. Throws: FrameError. */
  push(bytes: Uint8Array): void {
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let rest = this.pending.length === 0 ? piece : concatBytes([this.pending, piece]);
    for (;;) {
      const used = this.data === undefined ? this.readFrame(rest) : this.readData(rest);
      if (used === 0) break;
      rest = rest.subarray(used);
    }
    // A copy, so that a few bytes do not keep a whole packet.
    this.pending = Buffer.from(rest);
  }

  /** Reads a control frame or the head of a data frame. Returns how many bytes it used. */
  private readFrame(bytes: Buffer): number {
    if (bytes.length < HEAD_BYTES) return 0;
    const first = bytes.readUInt32BE(0);
    const flags = bytes.readUInt8(4);
    const length = bytes.readUIntBE(5, 3);
    if (first >>> 31 === 0) {
      this.data = { streamId: first, isFin: (flags & FLAG_FIN) !== 0, left: length };
      if (length === 0) this.endData();
      return HEAD_BYTES;
    }
    const version = (first >>> 16) & 0x7fff;
    if (version !== VERSION) throw new FrameError(`version ${version} of SPDY is not spoken`);
    if (length > MAX_CONTROL_BYTES) throw new FrameError(`a control frame of ${length} bytes`);
    if (bytes.length < HEAD_BYTES + length) return 0;
    const payload = bytes.subarray(HEAD_BYTES, HEAD_BYTES + length);
    this.handler.onControl({ type: first & 0xffff, flags, payload });
    return HEAD_BYTES + length;
  }

  private readData(bytes: Buffer): number {
    const { data } = this;
    if (data === undefined || bytes.length === 0) return 0;
    const piece = bytes.subarray(0, data.left);
    data.left -= piece.length;
    if (data.left > 0) this.handler.onData(data.streamId, piece, false);
    else {
      this.data = undefined;
      this.handler.onData(data.streamId, piece, data.isFin);
    }
    return piece.length;
  }

  private endData(): void {
    const { data } = this;
    this.data = undefined;
    if (data !== undefined && data.isFin) this.handler.onData(data.streamId, Buffer.alloc(0), true);
  }
}

export function controlFrame(type: number, flags: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(payload.length, 5, 3);
  return concatBytes([head, payload]);
}

/** `bytes` are at most 2^24 - 1. */
export function dataFrame(streamId: number, bytes: Uint8Array, isFin: boolean): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt8(isFin ? FLAG_FIN : 0, 4);
  head.writeUIntBE(bytes.length, 5, 3);
  return concatBytes([head, bytes]);
}

export function synStream(streamId: number, block: Uint8Array, isFin: boolean): Buffer {
  const payload = concatBytes([uint32(streamId), Buffer.alloc(6), block]);
  return controlFrame(FrameType.synStream, isFin ? FLAG_FIN : 0, payload);
}

export function synReply(streamId: number, block: Uint8Array): Buffer {
  return controlFrame(FrameType.synReply, 0, concatBytes([uint32(streamId), block]));
}

export function rstStream(streamId: number, status: number): Buffer {
  return controlFrame(FrameType.rstStream, 0, concatBytes([uint32(streamId), uint32(status)]));
}

/** `status` 0: a regular end; 1: the other side broke the protocol. */
export function goAway(lastStreamId: number, status: 0 | 1): Buffer {
  return controlFrame(FrameType.goAway, 0, concatBytes([uint32(lastStreamId), uint32(status)]));
}
