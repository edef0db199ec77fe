import type { Compare } from '../../gen/rpc.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { leaseOf, valueOf } from '../../mvcc/key-value.js';
import type { Store } from '../../mvcc/store.js';
import { NO_LEASE, type ReadPoint, type RowRef } from '../../mvcc/types.js';
import { keyFromBytes } from '../../base/collections/interval.js';
import { intervalOf } from '../contract/interval.js';
import { INDEX_ROWS, READ_ROWS } from '../reads/limits.js';
import { IndexSource, RowCursor } from '../reads/row-cursor.js';

/**
 * Meaning of a compare of a transaction. Ref: etcd's message Compare, and applyCompare in
 * server/etcdserver/txn.
 */

const CompareResult = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const;
const CompareTarget = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;

/**
 * Judges one compare a step at a time: over an interval it holds if it holds for every key there. The caller keeps
 * `point` pinned when steps are taken in several turns.
 */
export class Comparison {
  /** Meaningful once `step` returned true. */
  holds = false;
  private readonly store: Store;
  private readonly c: Compare;
  private readonly point: ReadPoint;
  private readonly cursor: RowCursor | undefined;
  private isAnyThere = false;

  constructor(store: Store, c: Compare, point: ReadPoint) {
    this.store = store;
    this.c = c;
    this.point = point;
    if (c.rangeEnd.length > 0) {
      this.cursor = new RowCursor(new IndexSource(store, intervalOf(c.key, c.rangeEnd), point, 0));
    }
  }

  /** True once the outcome is decided. */
  step(): boolean {
    const { cursor, store, c } = this;
    if (cursor === undefined) {
      const row = emptyRow();
      const isThere = store.lookup(keyFromBytes(c.key), this.point.revision, row, this.point.subs);
      this.holds = isThere ? rowHolds(store, c, row) : absentHolds(c);
      return true;
    }
    if (readsRows(c)) cursor.look(READ_ROWS);
    else cursor.look(INDEX_ROWS, Infinity);
    for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
      this.isAnyThere = true;
      if (!rowHolds(store, c, row)) return true;
    }
    if (!cursor.isAtEnd) return false;
    this.holds = this.isAnyThere || absentHolds(c);
    return true;
  }
}

/** True when the index alone does not hold the value compared. */
function readsRows(c: Compare): boolean {
  return c.target === CompareTarget.value || c.target === CompareTarget.lease;
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
