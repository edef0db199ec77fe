import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '../../gen/rpc.js';
import { IntervalTree } from '../../base/collections/interval-tree.js';
import type { Interval, Key } from '../../base/collections/interval.js';
import { NO_LEASE } from '../../mvcc/types.js';
import type { RpcError } from '../../rpc/service.js';
import { keyFromBytes } from '../../base/collections/interval.js';
import { intervalOf } from '../contract/interval.js';
import { errors } from '../contract/errors.js';

/**
 * Finds the fault of a KV request before it is proposed. It is judged from the request alone, in
 * etcd's order, so that a request with several faults gets the same answer.
 *
 * Ref: checkRangeRequest, checkPutRequest, checkTxnRequest in etcd server/etcdserver/api/v3rpc/key.go.
 */

const LAST_SORT_ORDER = 2;
const LAST_SORT_TARGET = 4;

export function checkRange(r: RangeRequest): RpcError | null {
  if (r.key.length === 0) return errors.emptyKey;
  if (r.sortOrder < 0 || r.sortOrder > LAST_SORT_ORDER) return errors.invalidSortOption;
  if (r.sortTarget < 0 || r.sortTarget > LAST_SORT_TARGET) return errors.invalidSortOption;
  return null;
}

export function checkPut(r: PutRequest): RpcError | null {
  if (r.key.length === 0) return errors.emptyKey;
  if (r.ignoreValue && r.value.length > 0) return errors.valueProvided;
  if (r.ignoreLease && r.lease !== NO_LEASE) return errors.leaseProvided;
  return null;
}

export function checkDeleteRange(r: DeleteRangeRequest): RpcError | null {
  return r.key.length === 0 ? errors.emptyKey : null;
}

/**
 * Checks a transaction; `maxOps` bounds each of its three lists, and the remainder the nested ones.
 */
export function checkTxn(r: TxnRequest, maxOps: number): RpcError | null {
  const problem = checkShape(r, maxOps);
  if (problem !== null) return problem;
  return conflicts(r.success) || conflicts(r.failure) ? errors.duplicateKey : null;
}

function checkShape(r: TxnRequest, maxOps: number): RpcError | null {
  const longest = Math.max(r.compare.length, r.success.length, r.failure.length);
  if (longest > maxOps) return errors.tooManyOps;
  if (r.compare.some((c: Compare) => c.key.length === 0)) return errors.emptyKey;
  for (const op of r.success) {
    const problem = checkOp(op, maxOps - longest);
    if (problem !== null) return problem;
  }
  for (const op of r.failure) {
    const problem = checkOp(op, maxOps - longest);
    if (problem !== null) return problem;
  }
  return null;
}

function checkOp(op: RequestOp, maxNestedOps: number): RpcError | null {
  if (op.requestRange !== undefined) return checkRange(op.requestRange);
  if (op.requestPut !== undefined) return checkPut(op.requestPut);
  if (op.requestDeleteRange !== undefined) return checkDeleteRange(op.requestDeleteRange);
  if (op.requestTxn !== undefined) return checkShape(op.requestTxn, maxNestedOps);
  return errors.keyNotFound;
}

/** Keys a branch may put and bounded intervals it may delete, whichever way its nested transactions go. */
class Effects {
  readonly puts = new Set<Key>();
  readonly deletes: Interval[] = [];
  private readonly deleted = new IntervalTree<true>();
  private readonly hits: true[] = [];

  /** True when a put of `key` would meet another put or a delete. */
  collides(key: Key): boolean {
    if (this.puts.has(key)) return true;
    if (this.deletes.length > 0) this.deleted.stab(key, this.hits);
    return this.hits.length > 0;
  }

  delete(interval: Interval): void {
    // An open end is left out: etcd does not check it either.
    if (interval.end === null || interval.end <= interval.start) return;
    this.deletes.push(interval);
    this.deleted.set(interval.start, interval.end, true);
  }
}

function conflicts(ops: readonly RequestOp[]): boolean {
  // Most transactions have one op a branch, and nothing it could collide with.
  if (ops.length === 0 || (ops.length === 1 && ops[0]?.requestTxn === undefined)) return false;
  return effectsOf(ops) === null;
}

/**
 * The effects of the ops of one branch, or null if a key is put twice, or put and deleted. The two sides of one nested
 * transaction exclude each other and may overlap. As in etcd, a delete in a nested transaction is
 * held against the branch's own puts and against the nested transactions after it. It is not held
 * against those before it.
 */
function effectsOf(ops: readonly RequestOp[]): Effects | null {
  const all = new Effects();
  for (const { requestDeleteRange: r } of ops) {
    if (r !== undefined) all.delete(intervalOf(r.key, r.rangeEnd));
  }
  for (const { requestTxn } of ops) {
    if (requestTxn !== undefined && !addNested(all, requestTxn)) return null;
  }
  for (const { requestPut } of ops) {
    if (requestPut === undefined) continue;
    const key = keyFromBytes(requestPut.key);
    if (all.collides(key)) return null;
    all.puts.add(key);
  }
  return all;
}

function addNested(all: Effects, txn: TxnRequest): boolean {
  const sides: Effects[] = [];
  for (const ops of [txn.success, txn.failure]) {
    const side = effectsOf(ops);
    if (side === null) return false;
    for (const key of side.puts) if (all.collides(key)) return false;
    sides.push(side);
  }
  for (const { puts, deletes } of sides) {
    for (const key of puts) all.puts.add(key);
    for (const interval of deletes) all.delete(interval);
  }
  return true;
}

/** Only ranges in both branches: such a transaction changes nothing and is not logged. */
export function isReadOnly(r: TxnRequest): boolean {
  const reads = (op: RequestOp): boolean => op.requestRange !== undefined;
  return r.success.every(reads) && r.failure.every(reads);
}

/** A read-only transaction whose every range allows local state; an empty one does as well. */
export function isSerializable(r: TxnRequest): boolean {
  const local = (op: RequestOp): boolean => op.requestRange?.serializable ?? false;
  return r.success.every(local) && r.failure.every(local);
}
