import type { Env } from '../../env/env.js';
import { inSlices } from '../in-slices.js';

/** Rows sorted in one go. Few, because one comparison of long values may take microseconds. */
const RUN_ROWS = 256;
/** Rows merged between two looks at the clock. */
const MERGE_ROWS = 128;

/**
 * Sorts as `rows.sort(compare)` does, equal rows keeping their order, in slices that let other work through.
 *
 * Runs are sorted where they are and then merged bottom-up. `done` gets the sorted rows, within the call when one slice is
 * enough. A sort that `isOver` ends without `done`.
 *
 * Requires: `compare` answers the same from the first turn to the last; no row is undefined; `rows` is left alone from now on.
 * Cost:     a second array of the same length; about n log n comparisons, few for rows that come in order.
 */
export function sortInSlices<T>(
  env: Env,
  rows: T[],
  compare: (a: T, b: T) => number,
  sliceMs: number,
  isOver: () => boolean,
  done: (sorted: T[]) => void,
): void {
  const sort = new MergeSort(rows, compare);
  inSlices(
    env,
    sliceMs,
    isOver,
    () => sort.step(),
    () => done(sort.rows),
  );
}

class MergeSort<T> {
  /** Sorted in runs of `width`. */
  rows: T[];
  private readonly compare: (a: T, b: T) => number;
  /** Takes the runs of twice the width. */
  private merged: T[] = [];
  private width = RUN_ROWS;
  /** Rows that are in runs, before the first merge. */
  private sortedRows = 0;
  // The two runs that are being merged: the next row of each, and where it ends.
  private left = 0;
  private leftEnd = 0;
  private right = 0;
  private rightEnd = 0;

  constructor(rows: T[], compare: (a: T, b: T) => number) {
    this.rows = rows;
    this.compare = compare;
  }

  /** Sorts one run or merges a few rows; true when everything is sorted. */
  step(): boolean {
    const { rows } = this;
    const count = rows.length;
    if (this.sortedRows < count) this.sortRun();
    else if (this.width < count) this.merge();
    return this.sortedRows === count && this.width >= count;
  }

  private sortRun(): void {
    const { rows } = this;
    const from = this.sortedRows;
    const to = Math.min(rows.length, from + RUN_ROWS);
    this.sortedRows = to;
    if (from === 0 && to === rows.length) {
      rows.sort(this.compare);
      return;
    }
    const run = rows.slice(from, to).sort(this.compare);
    for (let i = from; i < to; i++) rows[i] = run[i - from] as T;
  }

  private merge(): void {
    const { rows, merged } = this;
    if (this.left === this.leftEnd && this.right === this.rightEnd) this.nextPair();
    const until = Math.min(this.rightEnd, merged.length + MERGE_ROWS);
    while (merged.length < until) {
      merged.push(rows[this.takesLeft() ? this.left++ : this.right++] as T);
    }
    if (merged.length < rows.length) return;
    this.rows = merged;
    this.merged = [];
    this.width *= 2;
    this.rightEnd = 0;
    this.left = this.leftEnd = this.right = 0;
  }

  private nextPair(): void {
    const count = this.rows.length;
    this.left = this.rightEnd;
    this.leftEnd = Math.min(count, this.left + this.width);
    this.right = this.leftEnd;
    this.rightEnd = Math.min(count, this.right + this.width);
    if (this.right < this.rightEnd && this.isInOrder(this.leftEnd - 1, this.right)) {
      this.leftEnd = this.right = this.rightEnd;
    }
  }

  /** Of equal rows the left one comes first. */
  private takesLeft(): boolean {
    if (this.left === this.leftEnd) return false;
    if (this.right === this.rightEnd) return true;
    return this.isInOrder(this.left, this.right);
  }

  private isInOrder(left: number, right: number): boolean {
    return this.compare(this.rows[left] as T, this.rows[right] as T) <= 0;
  }
}
