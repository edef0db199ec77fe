import type { Compare, PutRequest, RangeRequest, RequestOp, TxnRequest } from '../../gen/rpc.js';
import { emptyRow } from '../../mvcc/key-index.js';
import type { Store } from '../../mvcc/store.js';
import { NO_LEASE } from '../../mvcc/types.js';
import type { RpcError } from '../../rpc/service.js';
import { errorOf, errors } from '../contract/errors.js';
import { keyFromBytes } from '../../base/collections/interval.js';
import { Comparison } from './compare.js';

/**
 * Decisions of a transaction before it changes anything: the outcome of its compares and whether the path
 * they choose can be executed. Both look only at replicated state before the transaction, so that every
 * member decides alike.
 *
 * Ref: etcd server/etcdserver/txn/txn.go.
 */

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

/** Runs to its end at once: what follows in the log depends on it. */
function holds(store: Store, c: Compare): boolean {
  const comparison = new Comparison(store, c, store.now);
  while (!comparison.step());
  return comparison.holds;
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
    if (op.requestRange !== undefined) problem = rangeProblem(store, op.requestRange);
    else {
      const nested = path.nested.get(i);
      if (nested !== undefined) problem = rangesProblem(store, nested);
    }
    if (problem !== null) return problem;
  }
  return null;
}

/** On its own, a range at a negative revision reads the newest; in a transaction etcd judges it like any other. */
export function rangeProblem(store: Store, r: RangeRequest): RpcError | null {
  if (r.revision === 0) return null;
  const reason = store.checkRevision(r.revision);
  return reason === null ? null : errorOf(reason);
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
