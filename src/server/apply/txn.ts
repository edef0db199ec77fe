import type { Compare, PutRequest, RangeRequest, RequestOp, TxnRequest } from '../../gen/rpc.js';
import { emptyRow } from '../../mvcc/key-index.js';
import type { Store } from '../../mvcc/store.js';
import { NO_LEASE } from '../../mvcc/types.js';
import type { RpcError } from '../../rpc/service.js';
import { errorOf, errors } from '../contract/errors.js';
import { keyFromBytes } from '../../base/collections/interval.js';
import { IntervalComparison, keyHolds, type CompareView } from './compare.js';

/**
 * Decisions of a transaction before it changes anything: the outcome of its compares and whether the path
 * they choose can be executed. Both look only at replicated state before the transaction, so that every
 * member decides alike. So a choice may also be made over several turns, as long as apply does nothing else.
 *
 * Ref: etcd server/etcdserver/txn/txn.go.
 */

const NO_OPS: readonly RequestOp[] = [];

/**
 * The branch that a transaction's compares choose and, for each nested transaction in it, the choice there. Chosen a
 * step at a time; what `view` shows must stay as it is, or pinned, until then.
 */
export class TxnPath {
  readonly txn: TxnRequest;
  succeeded = false;
  /** Empty until all compares are judged. */
  ops: readonly RequestOp[] = NO_OPS;
  private readonly view: CompareView;
  private nestedPaths: Map<number, TxnPath> | undefined;
  private interval: IntervalComparison | undefined;
  private nextCompare = 0;
  private nextOp = 0;
  private isBranchChosen = false;

  constructor(view: CompareView, txn: TxnRequest) {
    this.view = view;
    this.txn = txn;
  }

  /** The choice of the nested transaction that op `i` is. */
  nested(i: number): TxnPath | undefined {
    return this.nestedPaths?.get(i);
  }

  /** Judges compares of single keys, and then some keys of one over an interval; true once the path is chosen. */
  step(): boolean {
    if (!this.isBranchChosen && !this.chooseBranch()) return false;
    const { ops, view } = this;
    while (this.nextOp < ops.length) {
      const request = ops[this.nextOp]?.requestTxn;
      if (request !== undefined) {
        this.nestedPaths ??= new Map();
        let path = this.nestedPaths.get(this.nextOp);
        if (path === undefined) {
          path = new TxnPath(view, request);
          this.nestedPaths.set(this.nextOp, path);
        }
        if (!path.step()) return false;
      }
      this.nextOp++;
    }
    return true;
  }

  private chooseBranch(): boolean {
    const { compare } = this.txn;
    while (this.nextCompare < compare.length) {
      const c = compare[this.nextCompare] as Compare;
      const isOverInterval = c.rangeEnd.length > 0;
      const holds = isOverInterval ? this.judgeSome(c) : keyHolds(this.view, c);
      if (holds === undefined) return false;
      if (!holds) return this.take(false);
      this.nextCompare++;
      if (isOverInterval && this.nextCompare < compare.length) return false;
    }
    return this.take(true);
  }

  /** Undefined while it is not decided. */
  private judgeSome(c: Compare): boolean | undefined {
    const comparison = (this.interval ??= new IntervalComparison(this.view, c));
    if (!comparison.step()) return undefined;
    this.interval = undefined;
    return comparison.holds;
  }

  private take(succeeded: boolean): true {
    const { success, failure } = this.txn;
    this.succeeded = succeeded;
    this.ops = succeeded ? success : failure;
    this.isBranchChosen = true;
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
      const nested = path.nested(i);
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
      const nested = path.nested(i);
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
