/**
 * The backend's key of one change: the revision that made it.
 *
 *   revision key := main:i64be '_' sub:i64be        (17 bytes)
 *                 | main:i64be '_' sub:i64be 't'    (18 bytes, a tombstone)
 *
 * Byte order is revision order. Ref: etcd contract 14.4.
 */

export interface Revision {
  main: number;
  sub: number;
  tombstone: boolean;
}

export const REVISION_BYTES = 17;
export const TOMBSTONE_BYTES = 18;
const SEPARATOR = 0x5f;
const TOMBSTONE_MARK = 0x74;
const TWO_32 = 0x1_0000_0000;

/** Writes `value` as 8 bytes big-endian. */
export function writeU64(target: Uint8Array, offset: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  const low = value >>> 0;
  target[offset] = high >>> 24;
  target[offset + 1] = high >>> 16;
  target[offset + 2] = high >>> 8;
  target[offset + 3] = high;
  target[offset + 4] = low >>> 24;
  target[offset + 5] = low >>> 16;
  target[offset + 6] = low >>> 8;
  target[offset + 7] = low;
}

/** Reads 8 bytes big-endian; exact up to 2^53 - 1. */
export function readU64(source: Uint8Array, offset: number): number {
  return readU32(source, offset) * TWO_32 + readU32(source, offset + 4);
}

function readU32(source: Uint8Array, offset: number): number {
  return (
    (((source[offset] as number) << 24) |
      ((source[offset + 1] as number) << 16) |
      ((source[offset + 2] as number) << 8) |
      (source[offset + 3] as number)) >>>
    0
  );
}

/** Writes a revision key and returns the offset after it. */
export function writeRevisionKey(
  target: Uint8Array,
  offset: number,
  main: number,
  sub: number,
  tombstone: boolean,
): number {
  writeU64(target, offset, main);
  target[offset + 8] = SEPARATOR;
  writeU64(target, offset + 9, sub);
  if (!tombstone) return offset + REVISION_BYTES;
  target[offset + REVISION_BYTES] = TOMBSTONE_MARK;
  return offset + TOMBSTONE_BYTES;
}

export function encodeRevisionKey(main: number, sub: number, tombstone: boolean): Uint8Array {
  const bytes = new Uint8Array(tombstone ? TOMBSTONE_BYTES : REVISION_BYTES);
  writeRevisionKey(bytes, 0, main, sub, tombstone);
  return bytes;
}

/** Reads a revision key, or returns null when `bytes` is not one. */
export function decodeRevisionKey(bytes: Uint8Array): Revision | null {
  const tombstone = bytes.length === TOMBSTONE_BYTES;
  if (!tombstone && bytes.length !== REVISION_BYTES) return null;
  if (bytes[8] !== SEPARATOR || (tombstone && bytes[REVISION_BYTES] !== TOMBSTONE_MARK))
    return null;
  return { main: readU64(bytes, 0), sub: readU64(bytes, 9), tombstone };
}
