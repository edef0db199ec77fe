/**
 * Bodies longer than one frame, as parts of `PART_BYTES` that other frames may pass between.
 *
 *   part := u8 type of the whole frame, u32 length of the whole body, u32 offset of these bytes, bytes   (little-endian)
 *
 * The parts of one body come in order and without gaps. Bodies of different types may be under way
 * at the same time.
 */
import { invariant } from '../../base/invariant.js';
import type { Frame } from './frames.js';
import { FRAME_HEADER_BYTES, FrameError, FrameType, allocateFrame, sealFrame } from './frames.js';
import { MAX_BODY_BYTES, PART_BYTES } from './limits.js';

const PART_HEADER_BYTES = 9;

/**
 * Cuts one body, given as the pieces it consists of, into frames; copies no more than one part at a
 * time.
 */
export class BodyCutter {
  readonly totalBytes: number;
  private readonly type: FrameType;
  private readonly pieces: readonly Uint8Array[];
  private offset = 0;
  private piece = 0;
  private pieceOffset = 0;

  constructor(type: FrameType, pieces: readonly Uint8Array[]) {
    this.type = type;
    this.pieces = pieces;
    let totalBytes = 0;
    for (const bytes of pieces) totalBytes += bytes.length;
    invariant(totalBytes > 0 && totalBytes <= MAX_BODY_BYTES, 'a body that no peer accepts');
    this.totalBytes = totalBytes;
  }

  get restBytes(): number {
    return this.totalBytes - this.offset;
  }

  /** The next part. Requires: `restBytes` is not 0. */
  next(): Buffer {
    invariant(this.restBytes > 0, 'a part behind the end of a body');
    const count = Math.min(PART_BYTES, this.restBytes);
    const frame = allocateFrame(PART_HEADER_BYTES + count);
    frame[FRAME_HEADER_BYTES] = this.type;
    frame.writeUInt32LE(this.totalBytes, FRAME_HEADER_BYTES + 1);
    frame.writeUInt32LE(this.offset, FRAME_HEADER_BYTES + 5);
    this.copyTo(frame, FRAME_HEADER_BYTES + PART_HEADER_BYTES);
    this.offset += count;
    sealFrame(frame, FrameType.part);
    return frame;
  }

  private copyTo(frame: Buffer, start: number): void {
    let at = start;
    while (at < frame.length) {
      const bytes = this.pieces[this.piece];
      invariant(bytes !== undefined, 'the pieces of a body end before the body');
      const end = Math.min(bytes.length, this.pieceOffset + frame.length - at);
      frame.set(bytes.subarray(this.pieceOffset, end), at);
      at += end - this.pieceOffset;
      this.pieceOffset = end;
      if (end < bytes.length) continue;
      this.piece++;
      this.pieceOffset = 0;
    }
  }
}

interface Assembly {
  readonly bytes: Buffer;
  filled: number;
}

/** Types of frames whose bodies may come in parts. */
const DIVISIBLE: readonly number[] = [FrameType.messages, FrameType.request, FrameType.reply];

/**
 * Puts parts together again. A buffer of the announced length is reserved, but its pages are
 * touched, and so occupy memory, only as the parts arrive.
 */
export class BodyAssembler {
  private readonly assemblies = new Map<number, Assembly>();

  /**
   * The whole frame when `part` completes it, else null.
   *
   * Throws: FrameError when the part does not continue what came before.
   */
  add(part: Buffer): Frame | null {
    if (part.length <= PART_HEADER_BYTES) throw new FrameError('a part without content');
    const type = part[0] as number;
    const totalBytes = part.readUInt32LE(1);
    const offset = part.readUInt32LE(5);
    const content = part.subarray(PART_HEADER_BYTES);
    const assembly = offset === 0 ? this.begin(type, totalBytes) : this.assemblies.get(type);
    if (assembly === undefined || assembly.bytes.length !== totalBytes) {
      throw new FrameError('a part continues a body that was not begun');
    }
    if (assembly.filled !== offset || offset + content.length > totalBytes) {
      throw new FrameError('the parts of a body do not follow one another');
    }
    content.copy(assembly.bytes, offset);
    assembly.filled += content.length;
    if (assembly.filled < totalBytes) return null;
    this.assemblies.delete(type);
    return { type, body: assembly.bytes };
  }

  private begin(type: number, totalBytes: number): Assembly {
    if (!DIVISIBLE.includes(type)) throw new FrameError(`frames of type ${type} come whole`);
    if (this.assemblies.has(type)) throw new FrameError('a body begins before the last one ended');
    if (totalBytes > MAX_BODY_BYTES) {
      throw new FrameError(
        `a body of ${totalBytes} bytes exceeds the limit of ${MAX_BODY_BYTES} bytes`,
      );
    }
    const assembly = { bytes: Buffer.allocUnsafeSlow(totalBytes), filled: 0 };
    this.assemblies.set(type, assembly);
    return assembly;
  }
}
