import { readU32, readU64, writeU32, writeU64 } from '../base/bytes/big-endian.js';
import { crc32c } from '../base/bytes/crc32c.js';
import { invariant } from '../base/invariant.js';
import type { RowSum } from './witness.js';

/**
 * Rows of the key bucket as they are stored: several changes in revision order per engine row. A
 * row of its own for each would cost the engine more than the change itself.
 *
 *   block := rows:u32be bytes:u32be headCrc:u32be row{rows}     (headCrc over the engine key and the two numbers;
 *                                                                bytes = size of all rows)
 *   row   := main:u64be sub:u32be size:u32be payload crc:u32be  (size = payload bytes x 2, + 1 for a tombstone;
 *                                                                crc over everything before it)
 *
 * The engine key is the revision key of the first row the block was made with; compaction takes rows out of a block
 * but leaves its key. A row's checksum covers its revision, so rows can be read and verified one by one.
 */

export const BLOCK_HEAD_BYTES = 12;
export const ROW_HEAD_BYTES = 16;
export const CHECKSUM_BYTES = 4;
const SIZE_OFFSET = 12;

/**
 * Completes the row at `start` whose payload ends at `payloadEnd`: head and checksum around it.
 *
 * Returns: the offset after the row.
 */
export function finishRow(
  bytes: Uint8Array,
  start: number,
  payloadEnd: number,
  main: number,
  sub: number,
  tombstone: boolean,
): number {
  const payloadBytes = payloadEnd - start - ROW_HEAD_BYTES;
  writeU64(bytes, start, main);
  writeU32(bytes, start + 8, sub);
  writeU32(bytes, start + SIZE_OFFSET, payloadBytes * 2 + (tombstone ? 1 : 0));
  writeU32(bytes, payloadEnd, crc32c(bytes, 0, start, payloadEnd));
  return payloadEnd + CHECKSUM_BYTES;
}

/** Fills in the head of the block that occupies [start, end). */
export function finishBlock(
  key: Uint8Array,
  bytes: Uint8Array,
  start: number,
  end: number,
  rows: number,
): void {
  writeU32(bytes, start, rows);
  writeU32(bytes, start + 4, end - start - BLOCK_HEAD_BYTES);
  writeU32(bytes, start + 8, crc32c(bytes, crc32c(key), start, start + 8));
}

/** Payload bytes of the row whose payload begins at `payloadStart`. */
export function payloadBytesAt(bytes: Uint8Array, payloadStart: number): number {
  return readU32(bytes, payloadStart - 4) >>> 1;
}

export function isTombstoneAt(bytes: Uint8Array, payloadStart: number): boolean {
  return ((bytes[payloadStart - 1] as number) & 1) === 1;
}

/** Walks over the rows of one block; `next` stands on the following row. */
export class BlockReader {
  bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private rowsLeft = 0;
  /** Offsets of the current row in the block, and its revision: 0.0, which no row has, before the first one. */
  start = 0;
  end = 0;
  main = 0;
  sub = 0;
  tombstone = false;

  /** Begins a block; false when its head is damaged or its length differs from the head's. */
  open(key: Uint8Array, bytes: Uint8Array): boolean {
    if (bytes.length < BLOCK_HEAD_BYTES) return false;
    if (readU32(bytes, 8) !== crc32c(bytes, crc32c(key), 0, 8)) return false;
    if (readU32(bytes, 4) !== bytes.length - BLOCK_HEAD_BYTES) return false;
    this.bytes = bytes;
    this.rowsLeft = readU32(bytes, 0);
    this.at = BLOCK_HEAD_BYTES;
    this.main = 0;
    this.sub = 0;
    return true;
  }

  /** True when the last row has been passed. */
  get isAtEnd(): boolean {
    return this.rowsLeft === 0;
  }

  /** Moves to the following row; false when it is damaged. Requires: not at the end. */
  next(): boolean {
    const { bytes } = this;
    const start = this.at;
    invariant(this.rowsLeft > 0, 'a block was read beyond its last row');
    if (start + ROW_HEAD_BYTES + CHECKSUM_BYTES > bytes.length) return false;
    const size = readU32(bytes, start + SIZE_OFFSET);
    const end = start + ROW_HEAD_BYTES + (size >>> 1) + CHECKSUM_BYTES;
    if (end > bytes.length) return false;
    this.start = start;
    this.end = end;
    this.main = readU64(bytes, start);
    this.sub = readU32(bytes, start + 8);
    this.tombstone = (size & 1) === 1;
    this.at = end;
    this.rowsLeft--;
    return this.rowsLeft > 0 || end === bytes.length;
  }

  get payloadStart(): number {
    return this.start + ROW_HEAD_BYTES;
  }

  get payloadEnd(): number {
    return this.end - CHECKSUM_BYTES;
  }

  /** True when the current row matches its checksum. */
  isIntact(): boolean {
    return this.checksum === crc32c(this.bytes, 0, this.start, this.end - CHECKSUM_BYTES);
  }

  /** The current row's payload, or null when its checksum is wrong. */
  payload(): Uint8Array | null {
    return this.isIntact() ? this.bytes.subarray(this.payloadStart, this.payloadEnd) : null;
  }

  /** The checksum stored with the current row. */
  get checksum(): number {
    return readU32(this.bytes, this.end - CHECKSUM_BYTES);
  }

  /** The current row with head and checksum, as it goes into another block. */
  whole(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }
}

/** Adds the rows of the finished block at `start` to `sum`. */
export function sumChanges(bytes: Uint8Array, start: number, rows: number, sum: RowSum): void {
  let at = start + BLOCK_HEAD_BYTES;
  for (let i = 0; i < rows; i++) {
    const end = at + ROW_HEAD_BYTES + payloadBytesAt(bytes, at + ROW_HEAD_BYTES);
    sum.addChange(readU64(bytes, at), readU32(bytes, at + 8), readU32(bytes, end));
    at = end + CHECKSUM_BYTES;
  }
}

/** A block with the given whole rows. */
export function makeBlock(key: Uint8Array, rows: readonly Uint8Array[]): Uint8Array {
  let bytes = BLOCK_HEAD_BYTES;
  for (const row of rows) bytes += row.length;
  const block = Buffer.allocUnsafe(bytes);
  let at = BLOCK_HEAD_BYTES;
  for (const row of rows) {
    block.set(row, at);
    at += row.length;
  }
  finishBlock(key, block, 0, at, rows.length);
  return block;
}
