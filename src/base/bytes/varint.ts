/**
 * Variable-length integers of protobuf: seven bits a byte, least significant first, the high bit set in all but the last.
 *
 * Writing is minimal. A negative number is written as the 64-bit number of the same bits, in ten bytes. Each writer
 * returns the position after what it wrote. 64-bit numbers are handled as two halves of 32 bits.
 *
 * Ref: https://protobuf.dev/programming-guides/encoding/
 */

import { TWO_32 } from './halves.js';

const asInt64 = new BigInt64Array(1);
const asUint64 = new BigUint64Array(asInt64.buffer);
const halves = new Int32Array(asInt64.buffer);
asUint64[0] = 1n;
const LO = halves[0] === 1 ? 0 : 1;
const HI = 1 - LO;

/** The int64 whose halves these are. */
export function int64Of(lo: number, hi: number): bigint {
  halves[LO] = lo;
  halves[HI] = hi;
  return asInt64[0] as bigint;
}

/** The uint64 whose halves these are. */
export function uint64Of(lo: number, hi: number): bigint {
  halves[LO] = lo;
  halves[HI] = hi;
  return asUint64[0] as bigint;
}

/** Requires: a safe integer. */
export function sizeInt(n: number): number {
  if (n < 0x80) return n < 0 ? 10 : 1;
  if (n < 0x4000) return 2;
  if (n < 0x20_0000) return 3;
  if (n < 0x1000_0000) return 4;
  if (n < 0x8_0000_0000) return 5;
  if (n < 0x400_0000_0000) return 6;
  if (n < 0x2_0000_0000_0000) return 7;
  return 8;
}

/** Of an int64 or a uint64: both have the same encoding. */
export function sizeBig(v: bigint): number {
  asInt64[0] = v;
  const hi = halves[HI] as number;
  const bits = hi === 0 ? 32 - Math.clz32(halves[LO] as number) : 64 - Math.clz32(hi);
  return bits === 0 ? 1 : ((bits + 6) / 7) | 0;
}

/** Requires: a safe integer. */
export function writeInt(buf: Uint8Array, pos: number, n: number): number {
  if (n >= 0 && n < TWO_32) {
    let at = pos;
    let rest = n;
    while (rest > 0x7f) {
      buf[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buf[at++] = rest;
    return at;
  }
  const lo = n >>> 0;
  return writeHalves(buf, pos, lo, Math.floor((n - lo) / TWO_32) >>> 0);
}

export function writeBig(buf: Uint8Array, pos: number, v: bigint): number {
  asInt64[0] = v;
  return writeHalves(buf, pos, (halves[LO] as number) >>> 0, (halves[HI] as number) >>> 0);
}

function writeHalves(buf: Uint8Array, pos: number, low: number, high: number): number {
  let at = pos;
  let lo = low;
  let hi = high;
  while (hi !== 0) {
    buf[at++] = (lo & 0x7f) | 0x80;
    lo = ((lo >>> 7) | (hi << 25)) >>> 0;
    hi >>>= 7;
  }
  while (lo > 0x7f) {
    buf[at++] = (lo & 0x7f) | 0x80;
    lo >>>= 7;
  }
  buf[at++] = lo;
  return at;
}

// Reading of bytes that this program wrote and whose checksum was verified: nothing is checked again. Bytes from
// elsewhere are read by protobuf/runtime.ts.

/** A number below 2^53. */
export function readInt(bytes: Uint8Array, pos: number): number {
  let at = pos;
  let byte = bytes[at++] as number;
  if (byte < 128) return byte;
  let n = byte & 0x7f;
  let scale = 128;
  do {
    byte = bytes[at++] as number;
    n += (byte & 0x7f) * scale;
    scale *= 128;
  } while (byte >= 128);
  return n;
}

/** A number of 64 bits as an int64. */
export function readBig(bytes: Uint8Array, pos: number): bigint {
  let at = pos;
  let v = 0n;
  let shift = 0n;
  let byte: number;
  do {
    byte = bytes[at++] as number;
    v |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
  } while (byte >= 128);
  return BigInt.asIntN(64, v);
}

/** The position after the number at `pos`. */
export function skipInt(bytes: Uint8Array, pos: number): number {
  let at = pos;
  while ((bytes[at++] as number) >= 128);
  return at;
}
