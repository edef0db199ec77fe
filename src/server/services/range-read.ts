import type { RangeRequest } from '../../gen/rpc.js';
import type { Backend } from '../../mvcc/backend.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { bytesOf, encodeKeyValue } from '../../mvcc/key-value.js';
import type { Interval, RowRef } from '../../mvcc/types.js';
import type { RpcError, StreamCall, UnaryCall } from '../../rpc/service.js';
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
import { inSlices } from '../in-slices.js';
import type { MemberApi } from '../member-api.js';
import { sortInSlices } from './sliced-sort.js';

/**
 * Reads for clients: at one fixed revision, in slices that let other work through, and with bounded memory however
 * long the list is.
 *
 * A first pass over the index adds up the sizes of the rows, because gRPC wants the length first; a second one reads the
 * rows. A reply up to WHOLE_BYTES is built as a whole; a longer one is read while the transport drains it.
 */

/** Rows fetched from the index, and rows read, between two looks at the clock. */
const CHUNK_ROWS = 256;
/** Longest time one turn spends on one read. */
const SLICE_MS = 4;
/** Bytes read between two looks at the clock. */
const LOOK_BYTES = 256 * 1024;
/** The longest reply that is held in memory as a whole. */
const WHOLE_BYTES = 4 * 1024 * 1024;
/** Size of the parts handed to the transport when streaming. */
const PART_BYTES = 64 * 1024;

/** Rows in the order of the reply, a chunk at a time; can be walked twice with the same result. */
interface RowSource {
  /** The next rows, at most CHUNK_ROWS; empty at the end. */
  next(): readonly RowRef[];
  restart(): void;
  /** Known only once the end was reached. */
  readonly more: boolean;
}

/** Walks the index itself: no list of the rows is ever held. For answers in key order without filters. */
class IndexSource implements RowSource {
  more = false;
  private after: string | undefined;
  private taken = 0;

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

  next(): readonly RowRef[] {
    const left = this.limit > 0 ? this.limit - this.taken : CHUNK_ROWS;
    if (left <= 0) {
      this.more = this.api.store.list(this.interval, this.revision, 1, this.after).length > 0;
      return [];
    }
    const wanted = Math.min(left, CHUNK_ROWS);
    const rows = this.api.store.list(this.interval, this.revision, wanted, this.after);
    const last = rows.at(-1);
    if (last !== undefined) this.after = last.key;
    this.taken += rows.length;
    return rows;
  }

  restart(): void {
    this.after = undefined;
    this.taken = 0;
  }
}

/** Rows that had to be collected first, because they are sorted or filtered. */
class ListSource implements RowSource {
  readonly more: boolean;
  private readonly rows: readonly RowRef[];
  private position = 0;

  constructor(rows: readonly RowRef[], more: boolean) {
    this.rows = rows;
    this.more = more;
  }

  next(): readonly RowRef[] {
    const chunk = this.rows.slice(this.position, this.position + CHUNK_ROWS);
    this.position += chunk.length;
    return chunk;
  }

  restart(): void {
    this.position = 0;
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
  /** The rows, as long as the reply can be built as a whole. */
  private rows: RowRef[] = [];

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
    const walk = new IndexSource(api, this.interval, this.revision, scanLimit(r));
    const isOver = (): boolean => this.hasEnded(call);
    const gather = (): boolean => {
      const chunk = walk.next();
      for (const row of chunk) if (passesFilters(r, row)) rows.push(row);
      return chunk.length === 0;
    };
    const finish = (sorted: RowRef[]): void => {
      const selection = firstRows(r, sorted, this.count);
      done(new ListSource(selection.rows, selection.more));
    };
    inSlices(api.env, SLICE_MS, isOver, gather, () => {
      if (isNaturalOrder(r)) return finish(rows);
      this.loadValues(rows, isOver, (values) => {
        sortInSlices(api.env, rows, rowOrder(r, values), SLICE_MS, isOver, finish);
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
    inSlices(api.env, SLICE_MS, isOver, step, () => done(values));
  }

  /** First pass: how long the reply is. */
  private measure(call: UnaryCall, source: RowSource): void {
    const { api } = this;
    const isOver = (): boolean => this.hasEnded(call);
    const step = (): boolean => {
      const chunk = source.next();
      for (const row of chunk) this.rowsBytes += fieldSize(this.sizeOf(row));
      if (this.rowsBytes > WHOLE_BYTES) this.rows = [];
      else this.rows.push(...chunk);
      return chunk.length === 0;
    };
    inSlices(api.env, SLICE_MS, isOver, step, () => this.send(call, source));
  }

  private sizeOf(row: RowRef): number {
    return this.r.keysOnly ? this.encoded(row).length : row.size;
  }

  private encoded(row: RowRef): Uint8Array {
    return encodedRow(this.api, this.r, row, this.revision);
  }

  /** True when nobody waits any more, or when the rows to read are gone; the call has been told. */
  private hasEnded(call: UnaryCall): boolean {
    if (!call.cancelled && !this.isStateReplaced) return false;
    this.unpin();
    if (!call.cancelled) call.fail(errors.leaderChanged);
    return true;
  }

  /** A received snapshot took the place of the state this read began on. */
  private get isStateReplaced(): boolean {
    return this.api.store.backend !== this.state;
  }

  private send(call: UnaryCall, source: RowSource): void {
    const w = new FieldWriter(16);
    writeTrailingFields(w, { more: source.more, count: this.count });
    const end = w.finish();
    if (this.rowsBytes > WHOLE_BYTES) this.stream(call, source, end);
    else this.replyWhole(call, end);
  }

  /** Second pass of a short reply. */
  private replyWhole(call: UnaryCall, end: Uint8Array): void {
    const { rows } = this;
    const w = new FieldWriter(this.header.length + this.rowsBytes + end.length + 16);
    w.raw(this.header);
    let at = 0;
    const isOver = (): boolean => this.hasEnded(call);
    const step = (): boolean => {
      const look = Math.min(at + CHUNK_ROWS, rows.length);
      const full = w.length + LOOK_BYTES;
      while (at < look && w.length < full) w.bytes(KVS_FIELD, this.encoded(rows[at++] as RowRef));
      return at === rows.length;
    };
    inSlices(this.api.env, SLICE_MS, isOver, step, () => {
      this.unpin();
      w.raw(end);
      call.reply(w.finish());
    });
  }

  /** Second pass of a long reply: reads the rows a part at a time, as the transport asks for them. */
  private stream(call: UnaryCall, source: RowSource, end: Uint8Array): void {
    source.restart();
    let state: 'header' | 'rows' | 'end' | 'done' = 'header';
    let pending: readonly RowRef[] = [];
    let at = 0;
    call.replyParts(this.header.length + this.rowsBytes + end.length, {
      next: () => {
        if (this.isStateReplaced) {
          // Too late for an error: a reply that ends too early is one the client does not take for whole.
          this.unpin();
          return undefined;
        }
        if (state === 'header') {
          state = 'rows';
          return this.header;
        }
        if (state === 'rows') {
          const w = new FieldWriter(PART_BYTES + 1024);
          while (w.length < PART_BYTES) {
            if (at === pending.length) {
              pending = source.next();
              at = 0;
              if (pending.length === 0) {
                state = 'end';
                break;
              }
            }
            w.bytes(KVS_FIELD, this.encoded(pending[at++] as RowRef));
          }
          if (w.length > 0) return w.finish();
        }
        if (state === 'end') {
          state = 'done';
          this.unpin();
          if (end.length > 0) return end;
        }
        return undefined;
      },
      abort: () => this.unpin(),
    });
  }
}

// ---- RangeStream ----

const FIRST_CHUNK_KEYS = 10;
/** More would hold the event loop for too long, however small they are. */
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
  const interval = intervalOf(r.key, r.rangeEnd);
  let problem: RpcError | null = null;
  if (r.revision > 0) {
    const reason = store.checkRevision(r.revision);
    if (reason !== null) problem = errorOf(reason);
  }
  if (problem !== null) return call.fail(problem);
  const current = store.currentRevision;
  const revision = r.revision > 0 ? r.revision : current;
  const count = store.count(interval, revision);
  const header = api.headerField(current);
  const unpin = store.pin(revision);
  const state = store.backend;
  let after: string | undefined;
  let taken = 0;
  let chunkKeys = FIRST_CHUNK_KEYS;
  let ended = false;
  let scheduled = false;
  const finish = (): void => {
    if (ended) return;
    ended = true;
    unpin();
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    api.env.defer(step);
  };
  const step = (): void => {
    scheduled = false;
    if (ended || call.cancelled) return finish();
    if (store.backend !== state) {
      // A received snapshot took the place of the state this read began on.
      finish();
      return call.fail(errors.leaderChanged);
    }
    const left = r.limit > 0 ? r.limit - taken : Number.MAX_SAFE_INTEGER;
    const rows = r.countOnly
      ? []
      : store.list(interval, revision, Math.min(left, chunkKeys), after);
    const body = new FieldWriter(1024);
    for (const row of rows) body.bytes(KVS_FIELD, encodedRow(api, r, row, revision));
    after = rows.at(-1)?.key ?? after;
    taken += rows.length;
    const exhausted = rows.length < Math.min(left, chunkKeys);
    const last = exhausted || rows.length === left;
    if (last) {
      const tail = new FieldWriter(header.length + body.length + 32);
      tail.raw(header);
      tail.raw(body.finish());
      const more = !r.countOnly && r.limit > 0 && !exhausted && taken < count;
      writeTrailingFields(tail, { more, count });
      call.write(wrapped(tail.finish()));
      finish();
      return call.end();
    }
    if (body.length < targetBytes / 2) chunkKeys = Math.min(2 * chunkKeys, MAX_CHUNK_KEYS);
    else if (body.length > targetBytes * 2) chunkKeys = Math.max(1, Math.floor(chunkKeys / 2));
    if (call.write(wrapped(body.finish()))) schedule();
  };
  call.onDrain(schedule);
  call.onCancel(finish);
  step();
}

/** `RangeStreamResponse { range_response = 1 }`. */
function wrapped(rangeResponse: Uint8Array): Uint8Array {
  const w = new FieldWriter(rangeResponse.length + 12);
  w.bytes(1, rangeResponse);
  return w.finish();
}
