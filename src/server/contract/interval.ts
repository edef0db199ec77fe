import type { Interval, Key } from '../../base/collections/interval.js';

/** Bytes as they came from a client to the store's key form (one character per byte). */
export function keyOf(bytes: Uint8Array): Key {
  const buffer = Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString('latin1');
}

export function bytesOf(key: Key): Uint8Array {
  return Buffer.from(key, 'latin1');
}

/** True for the range_end that means "every key from `key` on". */
function isOpenEnd(rangeEnd: Uint8Array): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0;
}

/**
 * The interval a (key, range_end) pair of a request names; a range_end at or below key gives an empty one.
 *
 * Ref: etcd contract 2.2.
 */
export function intervalOf(key: Uint8Array, rangeEnd: Uint8Array): Interval {
  const start = keyOf(key);
  if (rangeEnd.length === 0) return { start, end: start + '\0' };
  return { start, end: isOpenEnd(rangeEnd) ? null : keyOf(rangeEnd) };
}
