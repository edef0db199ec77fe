import type { RangeRequest } from '../../gen/rpc.js';
import type { Interval } from '../../base/collections/interval.js';
import { fieldSize, FieldWriter } from '../../base/bytes/field-writer.js';
import type { Job, SlicedWork } from '../../base/slices/sliced-work.js';
import { sortInSlices } from '../../base/slices/sliced-sort.js';
import { invariant } from '../../base/invariant.js';
import type { ReadPoint, RowRef } from '../../mvcc/types.js';
import { countInSlices } from './count.js';
import { INDEX_ROWS, READ_ROWS } from './limits.js';
import { IndexSource, ListSource, RowCursor, type RowSource } from './row-cursor.js';
import {
  addValue,
  encodedRow,
  firstRows,
  hasFilters,
  isNaturalOrder,
  passesFilters,
  rowOrder,
  scanLimit,
  sortsByValue,
  writeTrailingFields,
  type RowSpace,
  type RowValues,
} from './selection.js';

/** A list of rows as it stands in a reply. */
export interface ListParts {
  readonly space: RowSpace;
  /** Selection, order and limit of rows; its key and range_end are not used. */
  readonly request: RangeRequest;
  readonly interval: Interval;
  readonly point: ReadPoint;
  /** Field number of a row. */
  readonly field: number;
  /** True if `more` and `count` of a RangeResponse follow the rows. */
  readonly hasTrailer: boolean;
}

/**
 * One list of rows in a reply, at a point that the caller keeps pinned.
 *
 * Use: `prepare` passes over the index, counts, collects and sorts as needed, and sets `bytes` to
 * the length of the list. `write` then reads the rows, a few at a time.
 */
export class ListRead {
  private readonly p: ListParts;
  private cursor: RowCursor | undefined;
  private trailer: Uint8Array = NOTHING;
  private rowsBytes = 0;
  private total = 0;
  private isTrailerWritten = false;

  constructor(parts: ListParts) {
    this.p = parts;
  }

  /** Length of the encoded list. Requires: it is prepared. */
  get bytes(): number {
    return this.rowsBytes + this.trailer.length;
  }

  /** `done` runs once the length is set, unless the job is over before. */
  prepare(slices: SlicedWork, job: Job, done: () => void): void {
    const finish = (source: RowSource): void => this.measure(slices, job, source, done);
    const choose = (): void => {
      const { space, request, interval, point } = this.p;
      if (request.countOnly) finish(new ListSource([], false));
      else if (canWalkIndex(request)) {
        finish(new IndexSource(space.store, interval, point, request.limit));
      } else this.collect(slices, job, finish);
    };
    if (!this.p.hasTrailer) return choose();
    countInSlices(slices, job, this.p.space.store, this.p.interval, this.p.point, (total) => {
      this.total = total;
      choose();
    });
  }

  /** Gathers every row to be sorted or filtered, and sorts them, in slices. */
  private collect(slices: SlicedWork, job: Job, done: (source: RowSource) => void): void {
    const { space, request, interval, point } = this.p;
    const rows: RowRef[] = [];
    const cursor = new RowCursor(new IndexSource(space.store, interval, point, scanLimit(request)));
    const gather = (): boolean => {
      cursor.look(INDEX_ROWS, Infinity);
      for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
        if (passesFilters(request, row)) rows.push({ ...row });
      }
      return cursor.isAtEnd;
    };
    const finish = (sorted: RowRef[]): void => {
      const { rows: first, more } = firstRows(request, sorted);
      done(new ListSource(first, more));
    };
    slices.run(job, gather, () => {
      if (isNaturalOrder(request)) return finish(rows);
      this.loadValues(slices, job, rows, (values) => {
        sortInSlices(slices, rows, rowOrder(request, values), job, finish);
      });
    });
  }

  /** The values of rows to be sorted by them; none for any other order. */
  private loadValues(
    slices: SlicedWork,
    job: Job,
    rows: readonly RowRef[],
    done: (values: RowValues) => void,
  ): void {
    const values: RowValues = new Map();
    if (!sortsByValue(this.p.request)) return done(values);
    let at = 0;
    const step = (): boolean => {
      const row = rows[at++];
      if (row !== undefined) addValue(this.p.space.store, values, row);
      return at >= rows.length;
    };
    slices.run(job, step, () => done(values));
  }

  /** First pass: how long the list is. */
  private measure(slices: SlicedWork, job: Job, source: RowSource, done: () => void): void {
    const cursor = new RowCursor(source);
    // Rows without values are not of the size that the index holds.
    const { keysOnly } = this.p.request;
    const step = (): boolean => {
      if (keysOnly) cursor.look(READ_ROWS);
      else cursor.look(INDEX_ROWS, Infinity);
      for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
        this.rowsBytes += fieldSize(keysOnly ? this.encoded(row).length : row.size);
      }
      return cursor.isAtEnd;
    };
    slices.run(job, step, () => {
      if (this.p.hasTrailer) {
        const w = new FieldWriter(16);
        writeTrailingFields(w, { more: cursor.more, count: this.total });
        this.trailer = w.finish();
      }
      cursor.restart();
      this.cursor = cursor;
      done();
    });
  }

  /** Second pass: writes some rows, about `maxBytes` at most; true once the whole list is written. */
  write(w: FieldWriter, maxBytes: number): boolean {
    const { cursor } = this;
    invariant(cursor !== undefined, 'a list is written before it is prepared');
    cursor.look(READ_ROWS, maxBytes);
    for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
      w.bytes(this.p.field, this.encoded(row));
    }
    if (!cursor.isAtEnd) return false;
    invariant(!this.isTrailerWritten, 'a list is written twice');
    this.isTrailerWritten = true;
    w.raw(this.trailer);
    return true;
  }

  private encoded(row: RowRef): Uint8Array {
    const { space, request, point } = this.p;
    return encodedRow(space, request, row, point);
  }
}

const NOTHING = new Uint8Array(0);

/** True when the rows leave in the order of the index, and none is left out. */
function canWalkIndex(r: RangeRequest): boolean {
  return isNaturalOrder(r) && !hasFilters(r);
}
