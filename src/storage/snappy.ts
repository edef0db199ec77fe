import { ByteReader } from './byte-reader.js';

/**
 * Uncompresses one block of the Snappy format.
 *
 * Throws: RangeError when the bytes are not of that format.
 * Ref: google/snappy format_description.txt.
 */
export function uncompressSnappy(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  const reader = new ByteReader(bytes, start, end);
  const size = reader.varint();
  // The densest element gives 64 bytes for 3.
  if (size > (end - start) * 32) throw new RangeError('the size is beyond what the bytes can hold');
  const target = new Uint8Array(size);
  let at = 0;
  const little = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++) value += reader.byte() * 2 ** (8 * i);
    return value;
  };
  while (!reader.isAtEnd) {
    const tag = reader.byte();
    const kind = tag & 3;
    let length = (tag >>> 2) + 1;
    if (kind === 0) {
      if (length > 60) length = little(length - 60) + 1;
      if (length > size - at) throw new RangeError('a literal is too long');
      target.set(reader.take(length), at);
      at += length;
      continue;
    }
    let offset: number;
    if (kind === 1) {
      length = ((tag >>> 2) & 7) + 4;
      offset = ((tag >>> 5) << 8) + reader.byte();
    } else {
      offset = little(kind === 2 ? 2 : 4);
    }
    if (offset === 0 || offset > at || length > size - at) {
      throw new RangeError('a copy reaches outside');
    }
    for (const stop = at + length; at < stop; at++) target[at] = target[at - offset] as number;
  }
  if (at !== size) throw new RangeError('bytes are missing');
  return target;
}
