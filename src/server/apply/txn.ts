import type { Compare, PutRequest, RequestOp, TxnRequest } from '../../gen/rpc.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { leaseOf, valueOf } from '../../mvcc/key-value.js';
import type { Store } from '../../mvcc/store.js';
import { NO_LEASE, type RowRef } from '../../mvcc/types.js';
import type { RpcError } from '../../rpc/service.js';
import { errorOf, errors } from '../contract/errors.js';
import { keyFromBytes } from '../../base/collections/interval.js';
import { intervalOf } from '../contract/interval.js';

/**
 * What a transaction decides before it changes anything: the outcome of its compares and whether the path
 * they choose can be executed. Both look only at replicated state before the transaction, so that every
 * member decides alike.
 *
 * Ref: etcd contract 2.6.
 */

const CompareResult = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const;
const CompareTarget = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;

/** The chosen branch and, for each nested transaction in it (by position among its ops), the choice there. */
export interface TxnPath {
  readonly succeeded: boolean;
  readonly ops: readonly RequestOp[];
  readonly nested: ReadonlyMap<number, TxnPath>;
}

export function choosePath(store: Store, txn: TxnRequest): TxnPath {
  const succeeded = txn.compare.every((c) => holds(store, c));
  const ops = succeeded ? txn.success : txn.failure;
  const nested = new Map<number, TxnPath>();
  ops.forEach((op, i) => {
    if (op.requestTxn !== undefined) nested.set(i, choosePath(store, op.requestTxn));
  });
  return { succeeded, ops, nested };
}

function holds(store: Store, c: Compare): boolean {
  const revision = store.currentRevision;
  if (c.rangeEnd.length === 0) {
    const row = emptyRow();
    return store.lookup(keyFromBytes(c.key), revision, row)
      ? rowHolds(store, c, row)
      : absentHolds(c);
  }
  const rows = store.list(intervalOf(c.key, c.rangeEnd), revision, 0);
  return rows.length === 0 ? absentHolds(c) : rows.every((row) => rowHolds(store, c, row));
}

/** An absent key has version, revisions and lease 0; it has no value, so no statement about its value is true. */
function absentHolds(c: Compare): boolean {
  if (c.target === CompareTarget.value) return false;
  if (c.target === CompareTarget.lease) return judge(c, compareIds(NO_LEASE, c.lease ?? NO_LEASE));
  return judge(c, numberOrder(0, expectedNumber(c)));
}

function rowHolds(store: Store, c: Compare, row: RowRef): boolean {
  switch (c.target) {
    case CompareTarget.version:
      return judge(c, numberOrder(row.version, expectedNumber(c)));
    case CompareTarget.create:
      return judge(c, numberOrder(row.createRevision, expectedNumber(c)));
    case CompareTarget.mod:
      return judge(c, numberOrder(row.modRevision, expectedNumber(c)));
    case CompareTarget.value: {
      const value = valueOf(store.row(row.modRevision, row.sub));
      return judge(c, Buffer.compare(value, c.value ?? new Uint8Array(0)));
    }
    case CompareTarget.lease: {
      const lease = leaseOf(store.row(row.modRevision, row.sub));
      return judge(c, compareIds(lease, c.lease ?? NO_LEASE));
    }
    default:
      // An unknown target compares as equal, as in etcd.
      return judge(c, 0);
  }
}

function expectedNumber(c: Compare): number {
  switch (c.target) {
    case CompareTarget.version:
      return c.version ?? 0;
    case CompareTarget.create:
      return c.createRevision ?? 0;
    case CompareTarget.mod:
      return c.modRevision ?? 0;
    default:
      return 0;
  }
}

function numberOrder(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareIds(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function judge(c: Compare, order: number): boolean {
  switch (c.result) {
    case CompareResult.equal:
      return order === 0;
    case CompareResult.greater:
      return order > 0;
    case CompareResult.less:
      return order < 0;
    case CompareResult.notEqual:
      return order !== 0;
    default:
      return true;
  }
}

type LeaseExists = (id: bigint) => boolean;

/** The reason the chosen path cannot be executed, or null. Nothing has been changed either way. */
export function pathProblem(
  store: Store,
  leaseExists: LeaseExists,
  path: TxnPath,
): RpcError | null {
  // All puts are judged before any range: the order in which etcd reports.
  return putsProblem(store, leaseExists, path) ?? rangesProblem(store, path);
}

function putsProblem(store: Store, leaseExists: LeaseExists, path: TxnPath): RpcError | null {
  for (const [i, op] of path.ops.entries()) {
    let problem: RpcError | null = null;
    if (op.requestPut !== undefined) {
      const put = op.requestPut;
      problem = keptKeyProblem(store, put) ?? leaseProblem(leaseExists, put);
    } else {
      const nested = path.nested.get(i);
      if (nested !== undefined) problem = putsProblem(store, leaseExists, nested);
    }
    if (problem !== null) return problem;
  }
  return null;
}

function rangesProblem(store: Store, path: TxnPath): RpcError | null {
  for (const [i, op] of path.ops.entries()) {
    let problem: RpcError | null = null;
    // On its own, a range at a negative revision reads the newest; here etcd judges it like any other.
    if (op.requestRange !== undefined && op.requestRange.revision !== 0) {
      const reason = store.checkRevision(op.requestRange.revision);
      problem = reason === null ? null : errorOf(reason);
    } else {
      const nested = path.nested.get(i);
      if (nested !== undefined) problem = rangesProblem(store, nested);
    }
    if (problem !== null) return problem;
  }
  return null;
}

/** Of a put on its own: lease first, then the key's existence. Within a transaction etcd judges in the opposite order. */
export function putProblem(
  store: Store,
  leaseExists: LeaseExists,
  put: PutRequest,
): RpcError | null {
  return leaseProblem(leaseExists, put) ?? keptKeyProblem(store, put);
}

function leaseProblem(leaseExists: LeaseExists, put: PutRequest): RpcError | null {
  return put.lease !== NO_LEASE && !leaseExists(put.lease) ? errors.leaseNotFound : null;
}

/** A put that keeps the value or the lease needs a key to keep it of. */
function keptKeyProblem(store: Store, put: PutRequest): RpcError | null {
  if (!put.ignoreValue && !put.ignoreLease) return null;
  const found = store.lookup(keyFromBytes(put.key), store.currentRevision, emptyRow());
  return found ? null : errors.keyNotFound;
}

/** True when either branch, at any depth, could add data: what the space alarm must refuse. */
export function hasPut(txn: TxnRequest): boolean {
  const inBranch = (ops: readonly RequestOp[]): boolean =>
    ops.some(
      (op) => op.requestPut !== undefined || (op.requestTxn !== undefined && hasPut(op.requestTxn)),
    );
  return inBranch(txn.success) || inBranch(txn.failure);
}
