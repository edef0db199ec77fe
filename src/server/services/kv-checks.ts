import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '../../gen/rpc.js';
import { NO_LEASE, type Interval, type Key } from '../../mvcc/types.js';
import type { RpcError } from '../../rpc/service.js';
import { contains, intervalOf, keyOf } from '../apply/interval.js';
import { errors } from '../errors.js';

/**
 * What is wrong with a KV request before it is proposed: judged from the request alone, in the order in which etcd
 * judges, so that a request with several faults gets the same answer.
 *
 * Ref: etcd contract 2.2, 2.4 to 2.6.
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

/** Checks a transaction; `maxOps` bounds each of its three lists, and what is left of it the nested ones. */
export function checkTxn(r: TxnRequest, maxOps: number): RpcError | null {
  const problem = checkShape(r, maxOps);
  if (problem !== null) return problem;
  if (effectsOf(r.success) === null || effectsOf(r.failure) === null) return errors.duplicateKey;
  return null;
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
interface Effects {
  readonly puts: Set<Key>;
  readonly deletes: Interval[];
}

/**
 * The effects of the ops of one branch, or null if one of them puts a key that another puts or deletes.
 * The two sides of one nested transaction exclude each other and may overlap. Deletes without an upper bound
 * are left out: etcd does not notice them either.
 */
function effectsOf(ops: readonly RequestOp[]): Effects | null {
  const all: Effects = { puts: new Set(), deletes: [] };
  for (const op of ops) {
    const own = effectsOfOp(op);
    if (own === null || collide(all, own)) return null;
    for (const key of own.puts) all.puts.add(key);
    for (const interval of own.deletes) all.deletes.push(interval);
  }
  return all;
}

function effectsOfOp(op: RequestOp): Effects | null {
  if (op.requestPut !== undefined) {
    return { puts: new Set([keyOf(op.requestPut.key)]), deletes: [] };
  }
  if (op.requestDeleteRange !== undefined) {
    const interval = intervalOf(op.requestDeleteRange.key, op.requestDeleteRange.rangeEnd);
    return { puts: new Set(), deletes: interval.end === null ? [] : [interval] };
  }
  if (op.requestTxn !== undefined) {
    const success = effectsOf(op.requestTxn.success);
    const failure = effectsOf(op.requestTxn.failure);
    if (success === null || failure === null) return null;
    return {
      puts: new Set([...success.puts, ...failure.puts]),
      deletes: [...success.deletes, ...failure.deletes],
    };
  }
  return { puts: new Set(), deletes: [] };
}

function collide(a: Effects, b: Effects): boolean {
  for (const key of b.puts) {
    if (a.puts.has(key) || a.deletes.some((interval) => contains(interval, key))) return true;
  }
  if (b.deletes.length > 0) {
    for (const key of a.puts) {
      if (b.deletes.some((interval) => contains(interval, key))) return true;
    }
  }
  return false;
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
