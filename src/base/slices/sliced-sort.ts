import type { Job, SlicedWork } from './sliced-work.js';

/** Rows sorted in one go. Few, because one comparison of long values may take microseconds. */
const RUN_ROWS = 256;
/** Rows merged between two looks at the clock. */
const MERGE_ROWS = 128;

/**
 * Sorts as `rows.sort(compare)` does, in place and with equal rows keeping their order, in slices that let other work
 * through. `done` gets `rows`, within the call when one slice is enough. A sort whose job is over ends without `done`.
 *
 * Requires: `compare` answers the same from the first turn to the last; no row is undefined; `rows` is left alone until `done`.
 * Cost:     n log n comparisons, and a copy of half the rows meanwhile.
 */
export function sortInSlices<T>(
  slices: SlicedWork,
  rows: T[],
  compare: (a: T, b: T) => number,
  job: Job,
  done: (sorted: T[]) => void,
): void {
  const sort = new MergeSort(rows, compare);
  slices.run(
    job,
    () => sort.step(),
    () => done(rows),
  );
}

/**
 * Sorts short runs from front to back, and merges the last two whenever they have become equally
 * long. The rows merged were touched a moment ago. For rows compared far from where they lie, that
 * is twice as fast as pass by pass.
 */
class MergeSort<T> {
  private readonly rows: T[];
  private readonly compare: (a: T, b: T) => number;
  /** Row at which each run begins; one ends where the next begins, the last at `end`. */
  private readonly starts: number[] = [];
  /** Rows before it are in runs. */
  private end = 0;
  /** The left one of the runs being merged, taken out of their way; empty while none are. */
  private left: readonly T[] = [];
  private nextLeft = 0;
  /** The next row of the right run, and where the next merged row goes. */
  private nextRight = 0;
  private nextMerged = 0;

  constructor(rows: T[], compare: (a: T, b: T) => number) {
    this.rows = rows;
    this.compare = compare;
  }

  /** Sorts one run or merges a few rows; true when everything is sorted. */
  step(): boolean {
    if (this.nextLeft < this.left.length) this.merge();
    else if (this.shouldMerge()) this.beginMerge();
    else if (this.end < this.rows.length) this.sortRun();
    else return true;
    return false;
  }

  private sortRun(): void {
    const { rows, end } = this;
    this.starts.push(end);
    this.end = Math.min(rows.length, end + RUN_ROWS);
    const run = rows.slice(end, this.end).sort(this.compare);
    for (let i = 0; i < run.length; i++) rows[end + i] = run[i] as T;
  }

  private shouldMerge(): boolean {
    const { starts, end } = this;
    const last = starts.at(-1) ?? 0;
    const before = starts.at(-2);
    if (before === undefined) return false;
    return end === this.rows.length || end - last >= last - before;
  }

  private beginMerge(): void {
    const { rows, starts } = this;
    const right = starts.pop() ?? 0;
    const left = starts.at(-1) ?? 0;
    if (this.compare(rows[right - 1] as T, rows[right] as T) <= 0) return;
    this.left = rows.slice(left, right);
    this.nextLeft = 0;
    this.nextRight = right;
    this.nextMerged = left;
  }

  /** Of equal rows the left one comes first. The rest of the right run at the end is in its place. */
  private merge(): void {
    const { rows, left, end, compare } = this;
    let { nextLeft, nextRight, nextMerged } = this;
    const until = nextMerged + MERGE_ROWS;
    while (nextMerged < until && nextLeft < left.length) {
      const row = left[nextLeft] as T;
      if (nextRight < end && compare(row, rows[nextRight] as T) > 0) {
        rows[nextMerged++] = rows[nextRight++] as T;
      } else {
        rows[nextMerged++] = row;
        nextLeft++;
      }
    }
    this.nextLeft = nextLeft;
    this.nextRight = nextRight;
    this.nextMerged = nextMerged;
  }
}
