/**
 * Integers of fixed size, most significant byte first, so that the order of bytes is the order of numbers. Written
 * byte by byte: for a few bytes that is faster than a DataView, and a view need not exist.
 */

import { TWO_32 } from './halves.js';

/** Returns the position after it. */
export function writeU32(target: Uint8Array, at: number, value: number): number {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
  return at + 4;
}

export function readU32(source: Uint8Array, at: number): number {
  return (
    (((source[at] as number) << 24) |
      ((source[at + 1] as number) << 16) |
      ((source[at + 2] as number) << 8) |
      (source[at + 3] as number)) >>>
    0
  );
}

/** Requires: a safe integer, not negative. Returns the position after it. */
export function writeU64(target: Uint8Array, at: number, value: number): number {
  return writeU32(target, writeU32(target, at, Math.floor(value / TWO_32)), value >>> 0);
}

/** Exact up to 2^53 - 1. */
export function readU64(source: Uint8Array, at: number): number {
  return readU32(source, at) * TWO_32 + readU32(source, at + 4);
}
