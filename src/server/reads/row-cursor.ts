import { invariant } from '../../base/invariant.js';
import type { Interval, Key } from '../../base/collections/interval.js';
import type { ReadPoint, RowRef } from '../../mvcc/types.js';
import type { Store } from '../../mvcc/store.js';
import { CHUNK_ROWS, LIST_LEAVES, READ_BYTES } from './limits.js';

/** Rows in the order of the reply, a chunk at a time; can be walked twice with the same result. */
export interface RowSource {
  /** Puts the next rows, at most CHUNK_ROWS, in place of those in `rows`; returns how many, 0 also before the end. */
  fill(rows: RowRef[]): number;
  /** Every row was given. */
  readonly isExhausted: boolean;
  restart(): void;
  /** True if the limit left rows out. Valid only once the source is exhausted. */
  readonly more: boolean;
}

/**
 * Walks the index itself: no list of the rows is ever held. For answers in key order without filters. One fill walks a
 * few leaves at most, also where most keys are absent at the point.
 */
export class IndexSource implements RowSource {
  more = false;
  isExhausted = false;
  private readonly store: Store;
  private readonly interval: Interval;
  private readonly point: ReadPoint;
  private readonly limit: number;
  private start: Key;
  private after: Key | undefined;
  private taken = 0;

  /** `limit` 0: all rows. */
  constructor(store: Store, interval: Interval, point: ReadPoint, limit: number) {
    this.store = store;
    this.interval = interval;
    this.point = point;
    this.limit = limit;
    this.start = interval.start;
  }

  fill(rows: RowRef[]): number {
    if (this.isExhausted) return 0;
    const left = this.limit > 0 ? this.limit - this.taken : CHUNK_ROWS;
    if (left <= 0) {
      this.more = this.take(1, []) > 0;
      if (this.more) this.isExhausted = true;
      return 0;
    }
    const count = this.take(Math.min(left, CHUNK_ROWS), rows);
    this.after = rows[count - 1]?.key ?? this.after;
    this.taken += count;
    return count;
  }

  private take(max: number, rows: RowRef[]): number {
    const { store, start, after, point } = this;
    const interval = { start, end: this.interval.end };
    const { revision, subs } = point;
    const count = store.listInto(interval, revision, max, after, rows, {
      subs,
      leaves: LIST_LEAVES,
    });
    if (count < max) {
      const { listCut } = store;
      if (listCut === undefined) this.isExhausted = true;
      else this.start = listCut;
    }
    return count;
  }

  restart(): void {
    this.start = this.interval.start;
    this.after = undefined;
    this.taken = 0;
    this.isExhausted = false;
  }
}

/** Rows that had to be collected first, because they are sorted or filtered. */
export class ListSource implements RowSource {
  readonly more: boolean;
  private readonly list: readonly RowRef[];
  private position = 0;

  constructor(list: readonly RowRef[], more: boolean) {
    this.list = list;
    this.more = more;
  }

  get isExhausted(): boolean {
    return this.position === this.list.length;
  }

  fill(rows: RowRef[]): number {
    let count = 0;
    while (count < CHUNK_ROWS) {
      const row = this.list[this.position];
      if (row === undefined) break;
      rows[count++] = row;
      this.position++;
    }
    return count;
  }

  restart(): void {
    this.position = 0;
  }
}

/**
 * Takes rows from a source one at a time, in looks: few rows, and few bytes of them, between two looks at the clock.
 *
 * A row is good until the next one is taken. Row objects are used again and again. Those of a long
 * list would outlive young collections, and each dead list would keep others alive until the next
 * full one.
 */
export class RowCursor {
  private readonly source: RowSource;
  private readonly rows: RowRef[] = [];
  private count = 0;
  private at = 0;
  private chunks = 0;
  private rowsLeft = 0;
  private bytesLeft = 0;
  /** The source was not asked in this look yet: a chunk of few rows may have cost a long walk. */
  private mayFill = false;

  constructor(source: RowSource) {
    this.source = source;
  }

  get more(): boolean {
    return this.source.more;
  }

  /** Begins a look. */
  look(maxRows: number, maxBytes = READ_BYTES): void {
    this.rowsLeft = maxRows;
    this.bytesLeft = maxBytes;
    this.mayFill = true;
  }

  /** The next row; undefined at the end of the look. */
  next(): RowRef | undefined {
    if (this.rowsLeft === 0 || this.bytesLeft <= 0) return undefined;
    if (this.at === this.count && !this.fill()) return undefined;
    const row = this.rows[this.at++] as RowRef;
    this.rowsLeft--;
    this.bytesLeft -= row.size;
    return row;
  }

  get isAtEnd(): boolean {
    return this.at === this.count && this.source.isExhausted;
  }

  restart(): void {
    invariant(this.isAtEnd, 'rows are walked again before their end');
    this.at = 0;
    // A single chunk is still there.
    if (this.chunks <= 1) return;
    this.source.restart();
    this.count = 0;
    this.chunks = 0;
  }

  /** False when there is nothing yet in this look, or nothing any more. */
  private fill(): boolean {
    if (!this.mayFill) return false;
    this.mayFill = false;
    const count = this.source.fill(this.rows);
    if (count === 0) return false;
    this.count = count;
    this.at = 0;
    this.chunks++;
    return true;
  }
}
