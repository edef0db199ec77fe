/**
 * Recent rows in large slabs, indexed by revision without an object per row.
 *
 * Rows are appended in revision order; a full slab is closed and the oldest slab is dropped as a whole once the
 * budget is exceeded and everything in it has reached the engine. A slab's bytes are never written twice, so a
 * view handed out stays valid for as long as somebody holds it. Each row is followed by its checksum, so that
 * the same bytes go to the engine.
 *
 * Called by store.ts and write-txn.ts.
 */

const SLAB_BYTES_MAX = 1 << 20;
/** A small budget gets small slabs, so that it still holds several. */
const SLABS_MIN = 16;
const FIRST_ROWS = 512;
export const CHECKSUM_BYTES = 4;

class Slab {
  readonly bytes: Buffer;
  /** Per row: main, sub, where it ends and whether it is a tombstone (start of row i = end of row i - 1). */
  mains = new Float64Array(FIRST_ROWS);
  subs = new Uint32Array(FIRST_ROWS);
  /** End offset of the row's checksum times two, plus one for a tombstone. */
  ends = new Float64Array(FIRST_ROWS);
  rows = 0;
  used = 0;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  start(row: number): number {
    return row === 0 ? 0 : Math.floor((this.ends[row - 1] as number) / 2);
  }

  end(row: number): number {
    return Math.floor((this.ends[row] as number) / 2) - CHECKSUM_BYTES;
  }

  isTombstone(row: number): boolean {
    return (this.ends[row] as number) % 2 === 1;
  }

  /** The first row at or after (main, sub). */
  lowerBound(main: number, sub: number): number {
    let low = 0;
    let high = this.rows;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const m = this.mains[middle] as number;
      if (m < main || (m === main && (this.subs[middle] as number) < sub)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** One cached row, as `scan` shows it. */
export interface CachedRow {
  main: number;
  sub: number;
  tombstone: boolean;
  payload: Uint8Array;
}

export class ValueCache {
  private readonly slabs: Slab[] = [];
  private readonly budgetBytes: number;
  private readonly slabBytes: number;
  private slab: Slab;
  /** Bytes of slabs, full or not. */
  sizeBytes: number;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
    this.slabBytes = Math.min(SLAB_BYTES_MAX, Math.floor(budgetBytes / SLABS_MIN));
    this.slab = new Slab(0);
    this.sizeBytes = 0;
  }

  /** The bytes to write the next row into, at `offset`; room for `sizeBytes` and a checksum is there. */
  reserve(sizeBytes: number): Buffer {
    const needed = sizeBytes + CHECKSUM_BYTES;
    if (this.slab.used + needed > this.slab.bytes.length)
      this.open(Math.max(this.slabBytes, needed));
    return this.slab.bytes;
  }

  get offset(): number {
    return this.slab.used;
  }

  private open(sizeBytes: number): void {
    this.slab = new Slab(sizeBytes);
    this.slabs.push(this.slab);
    this.sizeBytes += sizeBytes;
  }

  /**
   * Makes the bytes from `offset` to `end` (checksum included) the row of (main, sub).
   *
   * Requires: (main, sub) above every row before.
   */
  commit(main: number, sub: number, tombstone: boolean, end: number): void {
    const slab = this.slab;
    const row = slab.rows;
    if (row === slab.mains.length) grow(slab);
    slab.mains[row] = main;
    slab.subs[row] = sub;
    slab.ends[row] = end * 2 + (tombstone ? 1 : 0);
    slab.rows = row + 1;
    slab.used = end;
  }

  /** Drops the oldest slabs over the budget, but none with a row above main revision `writtenMain`. */
  trim(writtenMain: number): void {
    let dropped = 0;
    while (this.sizeBytes > this.budgetBytes && dropped < this.slabs.length - 1) {
      const slab = this.slabs[dropped] as Slab;
      if ((slab.mains[slab.rows - 1] as number) > writtenMain) break;
      this.sizeBytes -= slab.bytes.length;
      dropped++;
    }
    if (dropped > 0) this.slabs.splice(0, dropped);
  }

  /** The encoded row of (main, sub), or undefined when it is not cached. */
  find(main: number, sub: number): Uint8Array | undefined {
    const slab = this.slabFor(main, sub);
    if (slab === undefined) return undefined;
    const row = slab.lowerBound(main, sub);
    if (row === slab.rows || slab.mains[row] !== main || slab.subs[row] !== sub) return undefined;
    return slab.bytes.subarray(slab.start(row), slab.end(row));
  }

  /** The last slab that begins at or before (main, sub). */
  private slabFor(main: number, sub: number): Slab | undefined {
    const slabs = this.slabs;
    let low = 0;
    let high = slabs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const slab = slabs[middle] as Slab;
      const first = slab.mains[0] as number;
      if (first < main || (first === main && (slab.subs[0] as number) <= sub)) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : slabs[low - 1];
  }

  /** Every revision from here on is cached completely; Infinity when nothing is cached. */
  get completeFrom(): number {
    const first = this.slabs[0];
    if (first === undefined || first.rows === 0) return Infinity;
    return first.subs[0] === 0 ? (first.mains[0] as number) : (first.mains[0] as number) + 1;
  }

  /** Shows rows from revision `fromMain` on in order until `visit` returns false. */
  scan(fromMain: number, visit: (row: CachedRow) => boolean): void {
    for (const slab of this.slabs) {
      if (slab.rows === 0 || (slab.mains[slab.rows - 1] as number) < fromMain) continue;
      for (let i = slab.lowerBound(fromMain, 0); i < slab.rows; i++) {
        const row = {
          main: slab.mains[i] as number,
          sub: slab.subs[i] as number,
          tombstone: slab.isTombstone(i),
          payload: slab.bytes.subarray(slab.start(i), slab.end(i)),
        };
        if (!visit(row)) return;
      }
    }
  }

  clear(): void {
    this.slabs.length = 0;
    this.slab = new Slab(0);
    this.sizeBytes = 0;
  }
}

function grow(slab: Slab): void {
  const rows = slab.rows * 2;
  const mains = new Float64Array(rows);
  const subs = new Uint32Array(rows);
  const ends = new Float64Array(rows);
  mains.set(slab.mains);
  subs.set(slab.subs);
  ends.set(slab.ends);
  slab.mains = mains;
  slab.subs = subs;
  slab.ends = ends;
}
