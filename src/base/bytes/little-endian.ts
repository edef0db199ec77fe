/** Integers of fixed size, least significant byte first, in a DataView: for formats with many fields in a row. */

import { TWO_32 } from './halves.js';

/** Requires: a safe integer, not negative. */
export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, (value / TWO_32) >>> 0, true);
}

/** Exact up to 2^53 - 1. */
export function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32;
}
