/**
 * A key: a latin1 string, one character per byte. String order is then byte order, and keys cost little memory.
 */
export type Key = string;

/** The key that the bytes from `start` to `end` spell. */
export function keyFromBytes(bytes: Uint8Array, start = 0, end = bytes.length): Key {
  const buffer = Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString('latin1', start, end);
}

export function bytesOf(key: Key): Uint8Array {
  return Buffer.from(key, 'latin1');
}

/** Half-open key interval [start, end); `end` null means "no upper bound". */
export interface Interval {
  readonly start: Key;
  readonly end: Key | null;
}
