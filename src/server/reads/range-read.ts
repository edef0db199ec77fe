import type { RangeRequest } from '../../gen/rpc.js';
import type { Backend } from '../../storage/backend.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { bytesOf } from '../../base/collections/interval.js';
import { encodeKeyValue } from '../../mvcc/key-value.js';
import type { Interval } from '../../base/collections/interval.js';
import type { RowRef } from '../../mvcc/types.js';
import type { PartSource, StreamCall, UnaryCall } from '../../rpc/service.js';
import {
  addValue,
  firstRows,
  hasFilters,
  isNaturalOrder,
  isPointRead,
  KVS_FIELD,
  passesFilters,
  rowBytes,
  rowOrder,
  scanLimit,
  sortsByValue,
  writeTrailingFields,
} from './selection.js';
import type { RowValues } from './selection.js';
import { errorOf, errors } from '../contract/errors.js';
import { fieldSize, FieldWriter } from '../../base/bytes/field-writer.js';
import type { Roles } from '../contract/roles.js';
import type { SlicedWork } from '../../base/slices/sliced-work.js';
import { INDEX_ROWS, IndexSource, ListSource, READ_ROWS, RowCursor } from './row-cursor.js';
import type { RowSource } from './row-cursor.js';
import { sortInSlices } from '../../base/slices/sliced-sort.js';

/**
 * Reads for clients: at one fixed revision, in slices that let other work through, and with bounded memory however
 * long the list is.
 *
 * A first pass over the index adds up the sizes of the rows, because gRPC wants the length first; a second one reads the
 * rows. A reply up to WHOLE_BYTES is built as a whole; a longer one is read while the transport drains it.
 */

/** Parts of a member that reads need. */
export type ReadRoles = Pick<Roles, 'headers' | 'lessor' | 'reads'>;

/** Longest reply that is held in memory as a whole. */
const WHOLE_BYTES = 4 * 1024 * 1024;
/** Size of the parts handed to the transport when streaming. */
const PART_BYTES = 64 * 1024;

function canWalkIndex(r: RangeRequest): boolean {
  return !hasFilters(r) && r.sortTarget === 0 && r.sortOrder !== 2;
}

/** Answers a Range whose consistency requirement has been met. */
export function answerRange(
  roles: ReadRoles,
  r: RangeRequest,
  interval: Interval,
  call: UnaryCall,
): void {
  const { store } = roles.reads;
  if (r.revision > 0) {
    const reason = store.checkRevision(r.revision);
    if (reason !== null) return call.fail(errorOf(reason));
  }
  const current = store.currentRevision;
  const revision = r.revision > 0 ? r.revision : current;
  if (isPointRead(r)) {
    call.reply(pointReply(roles, r, interval.start, revision, current));
    return;
  }
  if (r.countOnly) {
    const w = new FieldWriter();
    w.raw(roles.headers.field(current));
    w.number(4, store.count(interval, revision));
    return call.reply(w.finish());
  }
  new RangeRead(roles, r, interval, revision, current).answer(call);
}

/**
 * A row as the request wants it. Without values it comes from the index alone while `revision` is still the newest: the
 * lease a key hangs on changes only with a put of the key.
 */
export function encodedRow(
  roles: ReadRoles,
  r: RangeRequest,
  row: RowRef,
  revision: number,
): Uint8Array {
  if (!r.keysOnly || roles.reads.store.currentRevision !== revision)
    return rowBytes(roles.reads.store, r, row);
  const { createRevision, modRevision, version } = row;
  const lease = roles.lessor.leaseOf(row.key);
  return encodeKeyValue(bytesOf(row.key), createRevision, modRevision, version, NO_VALUE, lease);
}

const NO_VALUE = new Uint8Array(0);

function pointReply(
  roles: ReadRoles,
  r: RangeRequest,
  key: string,
  revision: number,
  current: number,
): Uint8Array {
  const header = roles.headers.field(current);
  const row = emptyRow();
  if (!roles.reads.store.lookup(key, revision, row)) return header;
  const bytes = encodedRow(roles, r, row, revision);
  const w = new FieldWriter(header.length + bytes.length + 16);
  w.raw(header);
  w.bytes(KVS_FIELD, bytes);
  w.number(4, 1);
  return w.finish();
}

/**
 * Ends a read for which nobody waits any more, or whose rows are gone, which `call` is told; returns whether it did.
 */
export function stopIfOver(
  call: UnaryCall | StreamCall,
  isStateReplaced: boolean,
  unpin: () => void,
): boolean {
  if (!call.cancelled && !isStateReplaced) return false;
  unpin();
  if (!call.cancelled) call.fail(errors.leaderChanged);
  return true;
}

/** One list under way: owns the pin that keeps its revision readable. */
class RangeRead {
  private readonly roles: ReadRoles;
  private readonly r: RangeRequest;
  private readonly interval: Interval;
  private readonly revision: number;
  private readonly header: Uint8Array;
  private readonly count: number;
  private readonly unpin: () => void;
  private readonly state: Backend;
  /** Bytes of all rows as fields of the reply. */
  private rowsBytes = 0;

  constructor(
    roles: ReadRoles,
    r: RangeRequest,
    interval: Interval,
    revision: number,
    currentRevision: number,
  ) {
    this.roles = roles;
    this.r = r;
    this.interval = interval;
    this.revision = revision;
    this.header = roles.headers.field(currentRevision);
    this.unpin = roles.reads.store.pin(revision);
    this.state = roles.reads.store.backend;
    this.count = roles.reads.store.count(interval, revision);
  }

  answer(call: UnaryCall): void {
    const finish = (source: RowSource): void => this.measure(call, source);
    if (canWalkIndex(this.r)) {
      finish(new IndexSource(this.roles.reads, this.interval, this.revision, this.r.limit));
    } else {
      this.collect(call, finish);
    }
  }

  /** Gathers every row to be sorted or filtered, and sorts them, in slices. */
  private collect(call: UnaryCall, done: (source: RowSource) => void): void {
    const { roles, r } = this;
    const rows: RowRef[] = [];
    const cursor = new RowCursor(
      new IndexSource(roles.reads, this.interval, this.revision, scanLimit(r)),
    );
    const endIfOver = (): boolean => this.stopIfOver(call);
    const gather = (): boolean => {
      cursor.look(INDEX_ROWS, Infinity);
      for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
        if (passesFilters(r, row)) rows.push({ ...row });
      }
      return cursor.isAtEnd;
    };
    const finish = (sorted: RowRef[]): void => {
      const selection = firstRows(r, sorted, this.count);
      done(new ListSource(selection.rows, selection.more));
    };
    roles.reads.slices.run(endIfOver, gather, () => {
      if (isNaturalOrder(r)) return finish(rows);
      this.loadValues(rows, endIfOver, (values) => {
        sortInSlices(roles.reads.slices, rows, rowOrder(r, values), endIfOver, finish);
      });
    });
  }

  /** The values of rows to be sorted by them; none for any other order. */
  private loadValues(
    rows: readonly RowRef[],
    endIfOver: () => boolean,
    done: (values: RowValues) => void,
  ): void {
    const { roles } = this;
    const values: RowValues = new Map();
    if (!sortsByValue(this.r)) return done(values);
    let at = 0;
    const step = (): boolean => {
      const row = rows[at++];
      if (row !== undefined) addValue(roles.reads.store, values, row);
      return at >= rows.length;
    };
    roles.reads.slices.run(endIfOver, step, () => done(values));
  }

  /** First pass: how long the reply is. */
  private measure(call: UnaryCall, source: RowSource): void {
    const cursor = new RowCursor(source);
    // Rows without values are not of the size that the index knows.
    const readsRows = this.r.keysOnly;
    const step = (): boolean => {
      if (readsRows) cursor.look(READ_ROWS);
      else cursor.look(INDEX_ROWS, Infinity);
      for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
        this.rowsBytes += fieldSize(this.sizeOf(row));
      }
      return cursor.isAtEnd;
    };
    this.roles.reads.slices.run(
      () => this.stopIfOver(call),
      step,
      () => this.send(call, cursor),
    );
  }

  private sizeOf(row: RowRef): number {
    return this.r.keysOnly ? this.encoded(row).length : row.size;
  }

  private encoded(row: RowRef): Uint8Array {
    return encodedRow(this.roles, this.r, row, this.revision);
  }

  private stopIfOver(call: UnaryCall): boolean {
    return stopIfOver(call, this.isStateReplaced, this.unpin);
  }

  /** A received snapshot took the place of the state this read began on. */
  private get isStateReplaced(): boolean {
    return this.roles.reads.store.backend !== this.state;
  }

  private send(call: UnaryCall, cursor: RowCursor): void {
    const w = new FieldWriter(16);
    writeTrailingFields(w, { more: cursor.more, count: this.count });
    const end = w.finish();
    cursor.restart();
    if (this.rowsBytes > WHOLE_BYTES) this.stream(call, cursor, end);
    else this.replyWhole(call, cursor, end);
  }

  /** Second pass of a short reply. */
  private replyWhole(call: UnaryCall, cursor: RowCursor, end: Uint8Array): void {
    const w = new FieldWriter(this.header.length + this.rowsBytes + end.length + 16);
    w.raw(this.header);
    const step = (): boolean => {
      cursor.look(READ_ROWS);
      for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
        w.bytes(KVS_FIELD, this.encoded(row));
      }
      return cursor.isAtEnd;
    };
    this.roles.reads.slices.run(
      () => this.stopIfOver(call),
      step,
      () => {
        this.unpin();
        w.raw(end);
        call.reply(w.finish());
      },
    );
  }

  /** Second pass of a long reply. */
  private stream(call: UnaryCall, cursor: RowCursor, end: Uint8Array): void {
    const total = this.header.length + this.rowsBytes + end.length;
    call.replyParts(
      total,
      new RowParts({
        slices: this.roles.reads.slices,
        cursor,
        header: this.header,
        encoded: (row) => this.encoded(row),
        end,
        // Too late for an error: a reply that ends too early is one the client does not take for whole.
        isCut: () => this.isStateReplaced,
        release: this.unpin,
      }),
    );
  }
}

/** A long reply, read a part at a time, as the transport asks for it. */
class RowParts implements PartSource {
  private readonly reply: RowPartsSetup;
  /** Read and not handed out yet. */
  private part: Uint8Array | undefined;
  private isReading = false;
  private isComplete = false;
  private isAborted = false;

  constructor(setup: RowPartsSetup) {
    this.reply = setup;
    this.part = setup.header;
  }

  next(resume: () => void): Uint8Array | null | undefined {
    const { isCut, release } = this.reply;
    if (!isCut()) {
      if (this.part === undefined && !this.isReading && !this.isComplete) this.read(resume);
      if (this.isReading) return null;
      const { part } = this;
      this.part = undefined;
      if (part !== undefined) return part;
    }
    release();
    return undefined;
  }

  abort(): void {
    this.isAborted = true;
    this.reply.release();
  }

  /** Reads the next part: within the call if the turn has time for it, else `resume` runs once it is there. */
  private read(resume: () => void): void {
    const { slices, cursor, end, isCut, encoded } = this.reply;
    const w = new FieldWriter(PART_BYTES + 1024);
    let isAwaited = false;
    this.isReading = true;
    const step = (): boolean => {
      if (isCut()) return true;
      cursor.look(READ_ROWS, PART_BYTES - w.length);
      for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
        w.bytes(KVS_FIELD, encoded(row));
      }
      this.isComplete = cursor.isAtEnd;
      return this.isComplete || w.length >= PART_BYTES;
    };
    const done = (): void => {
      if (this.isComplete) w.raw(end);
      if (w.length > 0) this.part = w.finish();
      this.isReading = false;
      if (isAwaited) resume();
    };
    slices.run(() => this.isAborted, step, done);
    isAwaited = true;
  }
}

interface RowPartsSetup {
  readonly slices: SlicedWork;
  readonly cursor: RowCursor;
  readonly header: Uint8Array;
  readonly encoded: (row: RowRef) => Uint8Array;
  /** The fields behind the rows. */
  readonly end: Uint8Array;
  /** The rows are gone: the reply ends where it is. */
  readonly isCut: () => boolean;
  readonly release: () => void;
}
