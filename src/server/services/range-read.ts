import type { RangeRequest } from '../../gen/rpc.js';
import type { Backend } from '../../mvcc/backend.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { bytesOf, encodeKeyValue } from '../../mvcc/key-value.js';
import type { Interval, RowRef } from '../../mvcc/types.js';
import type { PartSource, StreamCall, UnaryCall } from '../../rpc/service.js';
import { intervalOf } from '../apply/interval.js';
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
} from '../apply/range.js';
import type { RowValues } from '../apply/range.js';
import { errorOf, errors } from '../errors.js';
import { fieldSize, FieldWriter } from '../field-writer.js';
import type { MemberApi } from '../member-api.js';
import type { SlicedWork } from '../sliced-work.js';
import { sortInSlices } from './sliced-sort.js';

/**
 * Reads for clients: at one fixed revision, in slices that let other work through, and with bounded memory however
 * long the list is.
 *
 * A first pass over the index adds up the sizes of the rows, because gRPC wants the length first; a second one reads the
 * rows. A reply up to WHOLE_BYTES is built as a whole; a longer one is read while the transport drains it.
 */

/** Rows fetched from the index at once. */
const CHUNK_ROWS = 256;
/** Rows walked in the index between two looks at the clock. */
const INDEX_ROWS = 64;
/** Rows read, and their bytes, between two looks: a row may have to come from the disk, and the code may be cold. */
const READ_ROWS = 4;
const READ_BYTES = 256 * 1024;
/** The longest reply that is held in memory as a whole. */
const WHOLE_BYTES = 4 * 1024 * 1024;
/** Size of the parts handed to the transport when streaming. */
const PART_BYTES = 64 * 1024;

/** Rows in the order of the reply, a chunk at a time; can be walked twice with the same result. */
interface RowSource {
  /** Puts the next rows, at most CHUNK_ROWS, in place of those in `rows`; returns how many, 0 at the end. */
  fill(rows: RowRef[]): number;
  restart(): void;
  /** Known only once the end was reached. */
  readonly more: boolean;
}

/** Walks the index itself: no list of the rows is ever held. For answers in key order without filters. */
class IndexSource implements RowSource {
  more = false;
  private after: string | undefined;
  private taken = 0;
  private isExhausted = false;

  private readonly api: MemberApi;
  private readonly interval: Interval;
  private readonly revision: number;
  private readonly limit: number;

  constructor(api: MemberApi, interval: Interval, revision: number, limit: number) {
    this.api = api;
    this.interval = interval;
    this.revision = revision;
    this.limit = limit;
  }

  fill(rows: RowRef[]): number {
    if (this.isExhausted) return 0;
    const { store } = this.api;
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
class ListSource implements RowSource {
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
class RowCursor {
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

function canWalkIndex(r: RangeRequest): boolean {
  return !hasFilters(r) && r.sortTarget === 0 && r.sortOrder !== 2;
}

/** Answers a Range whose consistency requirement has been met. */
export function answerRange(
  api: MemberApi,
  r: RangeRequest,
  interval: Interval,
  call: UnaryCall,
): void {
  const { store } = api;
  if (r.revision > 0) {
    const reason = store.checkRevision(r.revision);
    if (reason !== null) return call.fail(errorOf(reason));
  }
  const current = store.currentRevision;
  const revision = r.revision > 0 ? r.revision : current;
  if (isPointRead(r)) {
    call.reply(pointReply(api, r, interval.start, revision, current));
    return;
  }
  if (r.countOnly) {
    const w = new FieldWriter();
    w.raw(api.headerField(current));
    w.number(4, store.count(interval, revision));
    return call.reply(w.finish());
  }
  new RangeRead(api, r, interval, revision, current).answer(call);
}

/**
 * A row as the request wants it. Without values it comes from the index alone while `revision` is still the newest: the
 * lease a key hangs on changes only with a put of the key.
 */
function encodedRow(api: MemberApi, r: RangeRequest, row: RowRef, revision: number): Uint8Array {
  if (!r.keysOnly || api.store.currentRevision !== revision) return rowBytes(api.store, r, row);
  const { createRevision, modRevision, version } = row;
  const lease = api.lessor.leaseOf(row.key);
  return encodeKeyValue(bytesOf(row.key), createRevision, modRevision, version, NO_VALUE, lease);
}

const NO_VALUE = new Uint8Array(0);

function pointReply(
  api: MemberApi,
  r: RangeRequest,
  key: string,
  revision: number,
  current: number,
): Uint8Array {
  const header = api.headerField(current);
  const row = emptyRow();
  if (!api.store.lookup(key, revision, row)) return header;
  const bytes = encodedRow(api, r, row, revision);
  const w = new FieldWriter(header.length + bytes.length + 16);
  w.raw(header);
  w.bytes(KVS_FIELD, bytes);
  w.number(4, 1);
  return w.finish();
}

/** True when nobody waits any more, or when the rows to read are gone: then `call` has been told. */
function hasEnded(
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
  private readonly api: MemberApi;
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
    api: MemberApi,
    r: RangeRequest,
    interval: Interval,
    revision: number,
    currentRevision: number,
  ) {
    this.api = api;
    this.r = r;
    this.interval = interval;
    this.revision = revision;
    this.header = api.headerField(currentRevision);
    this.unpin = api.store.pin(revision);
    this.state = api.store.backend;
    this.count = api.store.count(interval, revision);
  }

  answer(call: UnaryCall): void {
    const finish = (source: RowSource): void => this.measure(call, source);
    if (canWalkIndex(this.r)) {
      finish(new IndexSource(this.api, this.interval, this.revision, this.r.limit));
    } else {
      this.collect(call, finish);
    }
  }

  /** Gathers every row to be sorted or filtered, and sorts them, in slices. */
  private collect(call: UnaryCall, done: (source: RowSource) => void): void {
    const { api, r } = this;
    const rows: RowRef[] = [];
    const cursor = new RowCursor(new IndexSource(api, this.interval, this.revision, scanLimit(r)));
    const isOver = (): boolean => this.hasEnded(call);
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
    api.slices.run(isOver, gather, () => {
      if (isNaturalOrder(r)) return finish(rows);
      this.loadValues(rows, isOver, (values) => {
        sortInSlices(api.slices, rows, rowOrder(r, values), isOver, finish);
      });
    });
  }

  /** The values of rows to be sorted by them; none for any other order. */
  private loadValues(
    rows: readonly RowRef[],
    isOver: () => boolean,
    done: (values: RowValues) => void,
  ): void {
    const { api } = this;
    const values: RowValues = new Map();
    if (!sortsByValue(this.r)) return done(values);
    let at = 0;
    const step = (): boolean => {
      const row = rows[at++];
      if (row !== undefined) addValue(api.store, values, row);
      return at >= rows.length;
    };
    api.slices.run(isOver, step, () => done(values));
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
    this.api.slices.run(
      () => this.hasEnded(call),
      step,
      () => this.send(call, cursor),
    );
  }

  private sizeOf(row: RowRef): number {
    return this.r.keysOnly ? this.encoded(row).length : row.size;
  }

  private encoded(row: RowRef): Uint8Array {
    return encodedRow(this.api, this.r, row, this.revision);
  }

  private hasEnded(call: UnaryCall): boolean {
    return hasEnded(call, this.isStateReplaced, this.unpin);
  }

  /** A received snapshot took the place of the state this read began on. */
  private get isStateReplaced(): boolean {
    return this.api.store.backend !== this.state;
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
    this.api.slices.run(
      () => this.hasEnded(call),
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
        slices: this.api.slices,
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

// ---- RangeStream ----

const FIRST_CHUNK_KEYS = 10;
/** However small they are: a chunk is held in memory as a whole. */
const MAX_CHUNK_KEYS = 1024;

/**
 * Answers a RangeStream: chunks of rows whose number adapts to their size; header, more and count travel in the last
 * message only.
 *
 * Ref: etcd contract 2.3.
 */
export function answerRangeStream(
  api: MemberApi,
  r: RangeRequest,
  targetBytes: number,
  call: StreamCall,
): void {
  const { store } = api;
  if (r.revision > 0) {
    const reason = store.checkRevision(r.revision);
    if (reason !== null) return call.fail(errorOf(reason));
  }
  new ChunkStream(api, r, targetBytes, call).start();
}

/** One RangeStream under way: owns the pin that keeps its revision readable. */
class ChunkStream {
  private readonly api: MemberApi;
  private readonly r: RangeRequest;
  private readonly targetBytes: number;
  private readonly call: StreamCall;
  private readonly revision: number;
  private readonly header: Uint8Array;
  private readonly count: number;
  private readonly unpin: () => void;
  private readonly state: Backend;
  private readonly cursor: RowCursor;
  private body = new FieldWriter();
  private bodyKeys = 0;
  private chunkKeys = FIRST_CHUNK_KEYS;
  /** Reads on as soon as there is time; otherwise it waits for the client to take what was sent. */
  private isGoing = false;
  private isComplete = false;

  constructor(api: MemberApi, r: RangeRequest, targetBytes: number, call: StreamCall) {
    const { store } = api;
    const interval = intervalOf(r.key, r.rangeEnd);
    const current = store.currentRevision;
    this.api = api;
    this.r = r;
    this.targetBytes = targetBytes;
    this.call = call;
    this.revision = r.revision > 0 ? r.revision : current;
    this.header = api.headerField(current);
    this.count = store.count(interval, this.revision);
    this.unpin = store.pin(this.revision);
    this.state = store.backend;
    this.cursor = new RowCursor(
      r.countOnly
        ? new ListSource([], false)
        : new IndexSource(api, interval, this.revision, r.limit),
    );
  }

  start(): void {
    this.call.onDrain(() => this.go());
    this.call.onCancel(this.unpin);
    this.go();
  }

  private go(): void {
    if (this.isGoing || this.isComplete) return;
    this.isGoing = true;
    this.api.slices.run(
      () => this.hasEnded(),
      () => this.step(),
      () => (this.isGoing = false),
    );
  }

  private hasEnded(): boolean {
    return hasEnded(this.call, this.api.store.backend !== this.state, this.unpin);
  }

  /** Reads some rows; true at the end, or when the client has to take a chunk first. */
  private step(): boolean {
    const { cursor } = this;
    cursor.look(Math.min(READ_ROWS, this.chunkKeys - this.bodyKeys));
    for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
      this.body.bytes(KVS_FIELD, encodedRow(this.api, this.r, row, this.revision));
      this.bodyKeys++;
    }
    if (cursor.isAtEnd) {
      this.sendLast();
      return true;
    }
    return this.bodyKeys === this.chunkKeys && !this.sendChunk();
  }

  private sendChunk(): boolean {
    const { body, targetBytes } = this;
    if (body.length < targetBytes / 2) {
      this.chunkKeys = Math.min(2 * this.chunkKeys, MAX_CHUNK_KEYS);
    } else if (body.length > targetBytes * 2) {
      this.chunkKeys = Math.max(1, Math.floor(this.chunkKeys / 2));
    }
    this.body = new FieldWriter(1024);
    this.bodyKeys = 0;
    return this.call.write(wrapped(body.finish()));
  }

  private sendLast(): void {
    const { header, body, count } = this;
    this.isComplete = true;
    const w = new FieldWriter(header.length + body.length + 32);
    w.raw(header);
    w.raw(body.finish());
    writeTrailingFields(w, { more: this.cursor.more, count });
    this.call.write(wrapped(w.finish()));
    this.unpin();
    this.call.end();
  }
}

/** `RangeStreamResponse { range_response = 1 }`. */
function wrapped(rangeResponse: Uint8Array): Uint8Array {
  const w = new FieldWriter(rangeResponse.length + 12);
  w.bytes(1, rangeResponse);
  return w.finish();
}
