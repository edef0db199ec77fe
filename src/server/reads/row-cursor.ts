import type { Interval } from '../../base/collections/interval.js';
import type { RowRef } from '../../mvcc/types.js';
import type { Reads } from '../contract/roles.js';

/** Rows fetched from the index at once. */
const CHUNK_ROWS = 256;
/** Rows walked in the index between two looks at the clock. */
export const INDEX_ROWS = 64;
/** Rows read, and their bytes, between two looks: a row may have to come from the disk, and the code may be cold. */
export const READ_ROWS = 4;
const READ_BYTES = 256 * 1024;

/** Rows in the order of the reply, a chunk at a time; can be walked twice with the same result. */
export interface RowSource {
  /** Puts the next rows, at most CHUNK_ROWS, in place of those in `rows`; returns how many, 0 at the end. */
  fill(rows: RowRef[]): number;
  restart(): void;
  /** Known only once the end was reached. */
  readonly more: boolean;
}

/** Walks the index itself: no list of the rows is ever held. For answers in key order without filters. */
export class IndexSource implements RowSource {
  more = false;
  private after: string | undefined;
  private taken = 0;
  private isExhausted = false;

  private readonly reads: Pick<Reads, 'store'>;
  private readonly interval: Interval;
  private readonly revision: number;
  private readonly limit: number;

  constructor(reads: Pick<Reads, 'store'>, interval: Interval, revision: number, limit: number) {
    this.reads = reads;
    this.interval = interval;
    this.revision = revision;
    this.limit = limit;
  }

  fill(rows: RowRef[]): number {
    if (this.isExhausted) return 0;
    const { store } = this.reads;
    const left = this.limit > 0 ? this.limit - this.taken : CHUNK_ROWS;
    if (left <= 0) {
      this.more = store.list(this.interval, this.revision, 1, this.after).length > 0;
      return 0;
    }
    const wanted = Math.min(left, CHUNK_ROWS);
    const count = store.listInto(this.interval, this.revision, wanted, this.after, rows);
    this.after = rows[count - 1]?.key ?? this.after;
    this.taken += count;
    this.isExhausted = count < wanted;
    return count;
  }

  restart(): void {
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
 * A row is good until the next one is taken. Row objects are used again and again: those of a long list would outlive
 * young collections, and each dead list would keep others alive until the next full one.
 */
export class RowCursor {
  private readonly source: RowSource;
  private readonly rows: RowRef[] = [];
  private count = 0;
  private at = 0;
  private chunks = 0;
  private isComplete = false;
  private rowsLeft = 0;
  private bytesLeft = 0;

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
  }

  /** The next row; undefined at the end of the look. */
  next(): RowRef | undefined {
    if (this.rowsLeft === 0 || this.bytesLeft <= 0) return undefined;
    const row = this.peek();
    if (row === undefined) return undefined;
    this.at++;
    this.rowsLeft--;
    this.bytesLeft -= row.size;
    return row;
  }

  get isAtEnd(): boolean {
    return this.peek() === undefined;
  }

  /** Requires: the end was reached. */
  restart(): void {
    this.at = 0;
    if (this.chunks <= 1) return;
    this.source.restart();
    this.count = 0;
    this.chunks = 0;
    this.isComplete = false;
  }

  private peek(): RowRef | undefined {
    if (this.at === this.count) {
      if (this.isComplete) return undefined;
      const count = this.source.fill(this.rows);
      if (count === 0) {
        this.isComplete = true;
        return undefined;
      }
      this.count = count;
      this.at = 0;
      this.chunks++;
    }
    return this.rows[this.at];
  }
}
