import { readU64, writeU64 } from '../base/bytes/big-endian.js';

/**
 * Key of one change in the backend: the revision that made it.
 *
 *   revision key := main:i64be '_' sub:i64be        (17 bytes)
 *                 | main:i64be '_' sub:i64be 't'    (18 bytes, a tombstone)
 *
 * Byte order is revision order. Ref: etcd server/storage/mvcc/revision.go.
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
