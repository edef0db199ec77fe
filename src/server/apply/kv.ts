import {
  decodeRangeRequest,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type TxnRequest,
} from '../../gen/rpc.js';
import { invariant } from '../../base/invariant.js';
import { FieldWriter } from '../../base/bytes/field-writer.js';
import type { Interval, Key } from '../../base/collections/interval.js';
import type { Lessor } from '../../lease/lessor.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { leaseOf, valueOf } from '../../mvcc/key-value.js';
import type { Store } from '../../mvcc/store.js';
import { ALL_SUBS, NO_LEASE, type LeaseId, type ReadPoint } from '../../mvcc/types.js';
import type { WriteTxn } from '../../mvcc/write-txn.js';
import type { RpcError } from '../../rpc/service.js';
import type { WatchHub } from '../../watch/hub.js';
import { keyFromBytes } from '../../base/collections/interval.js';
import { intervalOf } from '../contract/interval.js';
import type { Headers } from '../contract/roles.js';
import { INLINE_BYTES, INLINE_ROWS } from '../reads/limits.js';
import { ListRead } from '../reads/list-read.js';
import type { LongReply } from '../reads/long-reply.js';
import { PinnedState } from '../reads/pinned-state.js';
import { ReplyWriter } from '../reads/reply-writer.js';
import { COUNT_FIELD, encodedRow, isPointRead, KVS_FIELD } from '../reads/selection.js';
import { pathProblem, putProblem, TxnPath } from './txn.js';

/**
 * Puts, deletions and transactions, alone and inside of transactions.
 *
 * All changes of a command are made in one turn. The rows that it returns are not read there, but
 * for a few small ones. Its reply stores which rows, at which point between its changes, and they
 * are read later, in slices.
 */

const RESPONSE_OP = { range: 1, put: 2, deleteRange: 3, txn: 4 } as const;
const PUT_PREV_FIELD = 2;
const DELETED_FIELD = 2;
const DELETE_PREV_FIELD = 3;
const NO_REPLY = new Uint8Array(0);
/** All rows of an interval in key order. */
const PLAIN_RANGE: RangeRequest = decodeRangeRequest(new Uint8Array(0));

export interface KvParts {
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  readonly headers: Headers;
}

/** Operations since start, for metrics. Ranges outside of transactions are counted by the service that answers them. */
export interface KvCounts {
  puts: number;
  deletes: number;
  ranges: number;
  txns: number;
  putBytes: number;
}

/** The refusal the client must see, or its response; an empty one when none was wanted. */
export type KvResult = RpcError | Uint8Array | LongReply;

/** Reads left for the reply of a command under way, and its allowance for reads at once. */
class ReplyNeeds {
  /** The oldest point that is read later. */
  oldest: ReadPoint | undefined;
  private rowsLeft = INLINE_ROWS;
  private bytesLeft = INLINE_BYTES;

  add(point: ReadPoint): void {
    const { oldest } = this;
    if (oldest === undefined || isBefore(point, oldest)) this.oldest = point;
  }

  /** Takes a row of this size from the allowance; false, with nothing taken, if it has to be read later. */
  takeAllowance(bytes: number): boolean {
    if (this.rowsLeft === 0 || bytes > this.bytesLeft) return false;
    this.rowsLeft--;
    this.bytesLeft -= bytes;
    return true;
  }
}

/** A command under way. */
interface Execution {
  readonly txn: WriteTxn;
  readonly needs: ReplyNeeds;
}

function isBefore(a: ReadPoint, b: ReadPoint): boolean {
  return a.revision < b.revision || (a.revision === b.revision && a.subs < b.subs);
}

export class KvMachine {
  readonly counts: KvCounts = { puts: 0, deletes: 0, ranges: 0, txns: 0, putBytes: 0 };
  private readonly store: Store;
  private readonly lessor: Lessor;
  private readonly hub: WatchHub;
  private readonly headers: Headers;

  constructor(parts: KvParts) {
    this.store = parts.store;
    this.lessor = parts.lessor;
    this.hub = parts.hub;
    this.headers = parts.headers;
  }

  readonly leaseExists = (id: LeaseId): boolean => this.lessor.exists(id);
  private readonly detach = (key: Key): void => this.lessor.detach(key);

  applyPut(r: PutRequest, wantReply: boolean): KvResult {
    const problem = putProblem(this.store, this.leaseExists, r);
    if (problem !== null) return problem;
    const txn = this.store.begin();
    const prev = this.put(txn, r, wantReply && r.prevKv);
    this.commit(txn);
    if (!wantReply) return NO_REPLY;
    const header = this.header();
    if (prev === null || !r.prevKv) return header;
    const w = new FieldWriter(header.length + prev.length + 16);
    w.raw(header);
    w.bytes(PUT_PREV_FIELD, prev);
    return w.finish();
  }

  applyDeleteRange(r: DeleteRangeRequest, wantReply: boolean): KvResult {
    const run = { txn: this.store.begin(), needs: new ReplyNeeds() };
    const body = wantReply ? new ReplyWriter() : null;
    const deleted = this.deleteRange(run, r, body);
    this.commit(run.txn);
    if (body === null) return NO_REPLY;
    const reply = new ReplyWriter();
    reply.raw(this.header());
    reply.number(DELETED_FIELD, deleted);
    reply.append(body);
    return this.finish(run, reply);
  }

  /** The choice that a transaction makes in the newest state; not begun. */
  choosePath(r: TxnRequest): TxnPath {
    const { store, lessor } = this;
    return new TxnPath({ store, point: store.now, leases: lessor }, r);
  }

  /** Requires: `path` is chosen, in this very state. */
  applyTxn(path: TxnPath, wantReply: boolean): KvResult {
    const problem = pathProblem(this.store, this.leaseExists, path);
    if (problem !== null) return problem;
    const run = { txn: this.store.begin(), needs: new ReplyNeeds() };
    const body = wantReply ? new ReplyWriter() : null;
    this.executePath(run, path, body);
    this.commit(run.txn);
    if (body === null) return NO_REPLY;
    const reply = new ReplyWriter();
    reply.raw(this.header());
    reply.append(body);
    return this.finish(run, reply);
  }

  /**
   * The response of a transaction that only reads: `ranges` of the branch that was chosen, at `point`. `state` keeps
   * readable what they read, and is released with the response.
   */
  readOnlyReply(
    succeeded: boolean,
    ranges: readonly RangeRequest[],
    point: ReadPoint,
    state: PinnedState,
  ): Uint8Array | LongReply {
    if (ranges.length > 1) this.counts.txns++;
    this.counts.ranges += ranges.length;
    const needs = new ReplyNeeds();
    const reply = new ReplyWriter();
    reply.raw(this.headers.field(point.revision));
    reply.bool(2, succeeded);
    for (const r of ranges) {
      const response = new ReplyWriter();
      this.range(needs, r, point, response);
      const responseOp = new ReplyWriter();
      responseOp.message(RESPONSE_OP.range, response);
      reply.message(3, responseOp);
    }
    if (needs.oldest === undefined) state.release();
    return reply.finish(() => state);
  }

  /** Deletes keys, as the end of their lease does. */
  deleteKeys(keys: readonly Key[]): void {
    const txn = this.store.begin();
    for (const key of keys) txn.deleteKey(key);
    this.commit(txn);
  }

  private header(): Uint8Array {
    return this.headers.field(this.store.currentRevision);
  }

  private finish({ needs: { oldest } }: Execution, reply: ReplyWriter): Uint8Array | LongReply {
    return reply.finish(() => {
      invariant(oldest !== undefined, 'a reply with lists names no point to read them at');
      return new PinnedState(this.store, oldest);
    });
  }

  /** Ends a write transaction: its events go to the watchers. */
  private commit(txn: WriteTxn): void {
    const events = txn.end();
    if (events.length > 0) this.hub.notify(this.store.currentRevision, events);
  }

  /** Performs one put; returns the row it needs or is asked for, when there is one. */
  private put(txn: WriteTxn, r: PutRequest, wantPrev: boolean): Uint8Array | null {
    const key = keyFromBytes(r.key);
    let prev: Uint8Array | null = null;
    if (wantPrev || r.ignoreValue || r.ignoreLease) {
      const row = emptyRow();
      const { revision, subs } = this.store.now;
      if (this.store.lookup(key, revision, row, subs)) {
        prev = this.store.row(row.modRevision, row.sub);
      }
    }
    this.counts.puts++;
    this.counts.putBytes += r.key.length + r.value.length;
    const value = r.ignoreValue && prev !== null ? valueOf(prev) : r.value;
    const lease = r.ignoreLease && prev !== null ? leaseOf(prev) : r.lease;
    txn.put(key, r.key, value, lease);
    if (lease === NO_LEASE) this.lessor.detach(key);
    else this.lessor.attach(key, lease);
    return prev;
  }

  /** Deletes the interval; `prevOut` gets the `prev_kvs` that the request asks for. */
  private deleteRange(run: Execution, r: DeleteRangeRequest, prevOut: ReplyWriter | null): number {
    this.counts.deletes++;
    const interval = intervalOf(r.key, r.rangeEnd);
    const before = this.store.now;
    const deleted = run.txn.deleteRange(interval, this.lessor.size > 0 ? this.detach : undefined);
    if (prevOut !== null && r.prevKv && deleted > 0) {
      this.addList(run.needs, prevOut, interval, before, DELETE_PREV_FIELD);
    }
    return deleted;
  }

  /** Rows of an interval in key order, as fields of `out`. */
  private addList(
    needs: ReplyNeeds,
    out: ReplyWriter,
    interval: Interval,
    point: ReadPoint,
    field: number,
  ): void {
    needs.add(point);
    const { store, lessor } = this;
    const space = { store, lessor };
    out.list(
      new ListRead({ space, request: PLAIN_RANGE, interval, point, field, hasTrailer: false }),
    );
  }

  /** Executes the chosen ops in order; `out` receives `succeeded` and one `responses` field an op. */
  private executePath(run: Execution, path: TxnPath, out: ReplyWriter | null): void {
    if (path.ops.length > 1) this.counts.txns++;
    out?.bool(2, path.succeeded);
    path.ops.forEach((_op, i) => {
      const response = out === null ? null : new ReplyWriter();
      const tag = this.executeOp(run, path, i, response);
      if (out === null || response === null) return;
      const responseOp = new ReplyWriter();
      if (tag !== 0) responseOp.message(tag, response);
      out.message(3, responseOp);
    });
  }

  /** Runs op `i` of the path, writes the content of its response, returns the field of ResponseOp it belongs to. */
  private executeOp(run: Execution, path: TxnPath, i: number, out: ReplyWriter | null): number {
    const op = path.ops[i];
    if (op?.requestRange !== undefined) {
      this.counts.ranges++;
      if (out !== null) this.range(run.needs, op.requestRange, this.store.now, out);
      return RESPONSE_OP.range;
    }
    if (op?.requestPut !== undefined) {
      this.putInTxn(run, op.requestPut, out);
      return RESPONSE_OP.put;
    }
    if (op?.requestDeleteRange !== undefined) {
      this.deleteInTxn(run, op.requestDeleteRange, out);
      return RESPONSE_OP.deleteRange;
    }
    const nested = path.nested(i);
    if (nested !== undefined) {
      // A nested response carries a header that is present but empty.
      out?.bytes(1, NO_REPLY);
      this.executePath(run, nested, out);
      return RESPONSE_OP.txn;
    }
    return 0;
  }

  /** Writes the content of a range's response, which sees the state at `now` unless it names a revision. */
  private range(needs: ReplyNeeds, r: RangeRequest, now: ReadPoint, out: ReplyWriter): void {
    const point = r.revision > 0 ? { revision: r.revision, subs: ALL_SUBS } : now;
    writeRevisionHeader(out, now.revision);
    if (isPointRead(r) && this.readPoint(needs, r, point, out)) return;
    const interval = intervalOf(r.key, r.rangeEnd);
    const space = { store: this.store, lessor: this.lessor };
    needs.add(point);
    out.list(
      new ListRead({ space, request: r, interval, point, field: KVS_FIELD, hasTrailer: true }),
    );
  }

  /** Reads a single row if it is small; false if it has to be read later. */
  private readPoint(
    needs: ReplyNeeds,
    r: RangeRequest,
    point: ReadPoint,
    out: ReplyWriter,
  ): boolean {
    const { store, lessor } = this;
    const row = emptyRow();
    if (!store.lookup(keyFromBytes(r.key), point.revision, row, point.subs)) return true;
    if (!needs.takeAllowance(row.size)) return false;
    out.bytes(KVS_FIELD, encodedRow({ store, lessor }, r, row, point));
    out.number(COUNT_FIELD, 1);
    return true;
  }

  private putInTxn(run: Execution, r: PutRequest, out: ReplyWriter | null): void {
    const wantPrev = out !== null && r.prevKv;
    const before = this.store.now;
    this.put(run.txn, r, false);
    if (out === null) return;
    writeRevisionHeader(out, run.txn.revision);
    if (!wantPrev) return;
    const row = emptyRow();
    const key = keyFromBytes(r.key);
    if (!this.store.lookup(key, before.revision, row, before.subs)) return;
    if (run.needs.takeAllowance(row.size)) {
      out.bytes(PUT_PREV_FIELD, this.store.row(row.modRevision, row.sub));
    } else {
      this.addList(run.needs, out, intervalOf(r.key, NO_REPLY), before, PUT_PREV_FIELD);
    }
  }

  private deleteInTxn(run: Execution, r: DeleteRangeRequest, out: ReplyWriter | null): void {
    const prev = out === null ? null : new ReplyWriter();
    const deleted = this.deleteRange(run, r, prev);
    if (out === null || prev === null) return;
    writeRevisionHeader(out, this.store.now.revision);
    out.number(DELETED_FIELD, deleted);
    out.append(prev);
  }
}

/** The header inside a transaction's op responses carries the revision only. */
function writeRevisionHeader(out: ReplyWriter, revision: number): void {
  const content = new FieldWriter(12);
  content.number(3, revision);
  out.bytes(1, content.finish());
}
