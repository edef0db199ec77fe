import type { Compare } from '../../gen/rpc.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { leaseOf, valueOf } from '../../mvcc/key-value.js';
import type { Store } from '../../mvcc/store.js';
import { NO_LEASE, type LeaseId, type ReadPoint, type RowRef } from '../../mvcc/types.js';
import { keyFromBytes, type Key } from '../../base/collections/interval.js';
import { invariant, verification } from '../../base/invariant.js';
import { intervalOf } from '../contract/interval.js';
import { INDEX_ROWS, READ_ROWS } from '../reads/limits.js';
import { IndexSource, RowCursor } from '../reads/row-cursor.js';

/**
 * Meaning of a compare of a transaction. Ref: etcd's message Compare, and applyCompare in
 * server/etcdserver/txn.
 */

const CompareResult = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const;
const CompareTarget = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;

/** The state that compares see. */
export interface CompareView {
  readonly store: Store;
  readonly point: ReadPoint;
  /** Leases of keys, where they are those of `point`; without it they are read from the rows. */
  readonly leases: { leaseOf(key: Key): LeaseId } | undefined;
}

/** Judges a compare of one key. */
export function keyHolds(view: CompareView, c: Compare): boolean {
  const { store, point } = view;
  const row = emptyRow();
  const isThere = store.lookup(keyFromBytes(c.key), point.revision, row, point.subs);
  return isThere ? rowHolds(view, c, row) : absentHolds(c);
}

/**
 * Judges a compare over an interval a step at a time. It holds if it holds for every key there, so the first key for
 * which it does not ends it. The caller keeps what `view` shows as it is, or pinned, from step to step.
 */
export class IntervalComparison {
  /** Meaningful once `step` returned true. */
  holds = false;
  private readonly view: CompareView;
  private readonly c: Compare;
  private readonly cursor: RowCursor;
  private isAnyThere = false;

  constructor(view: CompareView, c: Compare) {
    this.view = view;
    this.c = c;
    const interval = intervalOf(c.key, c.rangeEnd);
    this.cursor = new RowCursor(new IndexSource(view.store, interval, view.point, 0));
  }

  /** Looks at some keys; true once the outcome is decided. */
  step(): boolean {
    const { cursor, view, c } = this;
    if (readsRows(view, c)) cursor.look(READ_ROWS);
    else cursor.look(INDEX_ROWS, Infinity);
    for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
      this.isAnyThere = true;
      if (!rowHolds(view, c, row)) return true;
    }
    if (!cursor.isAtEnd) return false;
    this.holds = this.isAnyThere || absentHolds(c);
    return true;
  }
}

/** True when the index alone does not hold the value compared. */
function readsRows({ leases }: CompareView, c: Compare): boolean {
  if (c.target === CompareTarget.lease) return leases === undefined;
  return c.target === CompareTarget.value;
}

/** An absent key has version, revisions and lease 0; it has no value, so no statement about its value is true. */
function absentHolds(c: Compare): boolean {
  if (c.target === CompareTarget.value) return false;
  if (c.target === CompareTarget.lease) return judge(c, compareIds(NO_LEASE, c.lease ?? NO_LEASE));
  return judge(c, numberOrder(0, expectedNumber(c)));
}

function rowHolds(view: CompareView, c: Compare, row: RowRef): boolean {
  switch (c.target) {
    case CompareTarget.version:
      return judge(c, numberOrder(row.version, expectedNumber(c)));
    case CompareTarget.create:
      return judge(c, numberOrder(row.createRevision, expectedNumber(c)));
    case CompareTarget.mod:
      return judge(c, numberOrder(row.modRevision, expectedNumber(c)));
    case CompareTarget.value: {
      const value = valueOf(view.store.row(row.modRevision, row.sub));
      return judge(c, Buffer.compare(value, c.value ?? new Uint8Array(0)));
    }
    case CompareTarget.lease:
      return judge(c, compareIds(leaseAt(view, row), c.lease ?? NO_LEASE));
    default:
      // An unknown target compares as equal, as in etcd.
      return judge(c, 0);
  }
}

function leaseAt({ store, leases }: CompareView, row: RowRef): LeaseId {
  if (leases === undefined) return leaseOf(store.row(row.modRevision, row.sub));
  const lease = leases.leaseOf(row.key);
  if (verification.isOn) {
    const bytes = store.rowIfPresent(row.modRevision, row.sub);
    const stored = bytes === undefined ? NO_LEASE : leaseOf(bytes);
    invariant(lease === stored, 'a key of lease {} hangs on lease {}', stored, lease);
  }
  return lease;
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
