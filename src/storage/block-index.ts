import { invariant } from '../base/invariant.js';

/**
 * First row of each block of the key bucket, in revision order. It gives the block that holds a
 * row, and the blocks that compaction has to look at. Twelve bytes and a mark per block. Called by
 * backend.ts and compaction.ts.
 */

const FIRST_BLOCKS = 1024;
const CLEAN = 0;
const DIRTY = 1;
const GONE = 2;

export class BlockIndex {
  private mains = new Float64Array(FIRST_BLOCKS);
  private subs = new Uint32Array(FIRST_BLOCKS);
  private marks = new Uint8Array(FIRST_BLOCKS);
  size = 0;

  /** Adds a block behind all others. */
  append(main: number, sub: number): void {
    invariant(this.isBehindAll(main, sub), 'a block was added before one that exists');
    if (this.size === this.mains.length) this.grow();
    this.mains[this.size] = main;
    this.subs[this.size] = sub;
    this.marks[this.size] = CLEAN;
    this.size++;
  }

  private isBehindAll(main: number, sub: number): boolean {
    const last = this.size - 1;
    if (last < 0) return true;
    const before = this.mains[last] as number;
    return before < main || (before === main && (this.subs[last] as number) < sub);
  }

  private grow(): void {
    const { mains, subs, marks, size } = this;
    this.mains = new Float64Array(size * 2);
    this.subs = new Uint32Array(size * 2);
    this.marks = new Uint8Array(size * 2);
    this.mains.set(mains);
    this.subs.set(subs);
    this.marks.set(marks);
  }

  main(block: number): number {
    return this.mains[block] as number;
  }

  sub(block: number): number {
    return this.subs[block] as number;
  }

  /** The last block that begins at or before (main, sub), -1 when there is none. */
  find(main: number, sub: number): number {
    const { mains, subs } = this;
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = mains[middle] as number;
      if (first < main || (first === main && (subs[middle] as number) <= sub)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Notes that a row of the block can be removed. */
  markDirty(block: number): void {
    if (block >= 0 && this.marks[block] === CLEAN) this.marks[block] = DIRTY;
  }

  isDirty(block: number): boolean {
    return this.marks[block] === DIRTY;
  }

  markClean(block: number): void {
    this.marks[block] = CLEAN;
  }

  /** The block was removed; it stays listed until `dropGone`, so that positions do not shift. */
  markGone(block: number): void {
    this.marks[block] = GONE;
  }

  dropGone(): void {
    let kept = 0;
    for (let i = 0; i < this.size; i++) {
      if (this.marks[i] === GONE) continue;
      this.mains[kept] = this.mains[i] as number;
      this.subs[kept] = this.subs[i] as number;
      this.marks[kept] = this.marks[i] as number;
      kept++;
    }
    this.size = kept;
  }

  clear(): void {
    this.size = 0;
  }
}
