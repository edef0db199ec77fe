import type { RangeRequest } from '../../gen/rpc.js';
import type { FieldWriter } from '../../base/bytes/field-writer.js';
import { bytesOf, type Key } from '../../base/collections/interval.js';
import type { Lessor } from '../../lease/lessor.js';
import { encodeKeyValue, valueOf, withoutValue } from '../../mvcc/key-value.js';
import type { Store } from '../../mvcc/store.js';
import type { ReadPoint, RowRef } from '../../mvcc/types.js';

/**
 * The semantics of Range that KV.Range, RangeStream and a range inside a transaction share:
 * selection, order and limit of rows, and their form in a RangeResponse. Values stay encoded: a
 * row's stored bytes are spliced into the reply.
 *
 * Ref: message RangeRequest of etcd's api/etcdserverpb/rpc.proto.
 */

const NO_VALUE = new Uint8Array(0);
const SortOrder = { none: 0, ascend: 1, descend: 2 } as const;
const SortTarget = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;

export function hasFilters(r: RangeRequest): boolean {
  return (
    r.minModRevision !== 0 ||
    r.maxModRevision !== 0 ||
    r.minCreateRevision !== 0 ||
    r.maxCreateRevision !== 0
  );
}

/** True when keys come out in the order the index holds them, so that a limit can stop the scan early. */
export function isNaturalOrder(r: RangeRequest): boolean {
  return r.sortTarget === SortTarget.key && r.sortOrder !== SortOrder.descend;
}

/**
 * With order NONE the limit is pushed down even when a target asks for sorting. etcd sorts only the
 * first limit + 1 keys, and clients observe that.
 */
function limitIsPushedDown(r: RangeRequest): boolean {
  if (r.limit <= 0 || hasFilters(r)) return false;
  return isNaturalOrder(r) || r.sortOrder === SortOrder.none;
}

/** A single key without options that would need the list path: the most frequent request by far. */
export function isPointRead(r: RangeRequest): boolean {
  return r.rangeEnd.length === 0 && !r.countOnly && !hasFilters(r);
}

/** Most rows the scan must produce; 0 for all. */
export function scanLimit(r: RangeRequest): number {
  return limitIsPushedDown(r) ? r.limit + 1 : 0;
}

/** Keeps the rows the four revision bounds allow; bounds are inclusive, 0 is off. */
export function passesFilters(r: RangeRequest, row: RowRef): boolean {
  if (r.minModRevision !== 0 && row.modRevision < r.minModRevision) return false;
  if (r.maxModRevision !== 0 && row.modRevision > r.maxModRevision) return false;
  if (r.minCreateRevision !== 0 && row.createRevision < r.minCreateRevision) return false;
  if (r.maxCreateRevision !== 0 && row.createRevision > r.maxCreateRevision) return false;
  return true;
}

/** Rows that the limit leaves, in the order of the answer. */
export function firstRows(
  r: RangeRequest,
  rows: RowRef[],
): { readonly rows: RowRef[]; readonly more: boolean } {
  const more = r.limit > 0 && rows.length > r.limit;
  return { rows: more ? rows.slice(0, r.limit) : rows, more };
}

/** The values of rows that are sorted by them. */
export type RowValues = Map<RowRef, Uint8Array>;

export function sortsByValue(r: RangeRequest): boolean {
  return r.sortTarget === SortTarget.value;
}

export function addValue(store: Store, values: RowValues, row: RowRef): void {
  values.set(row, valueOf(store.row(row.modRevision, row.sub)));
}

/** Compares rows as the request sorts them; equal ones stay in key order. `values` is looked at when it sorts by value. */
export function rowOrder(r: RangeRequest, values: RowValues): (a: RowRef, b: RowRef) => number {
  const sign = r.sortOrder === SortOrder.descend ? -1 : 1;
  switch (r.sortTarget) {
    case SortTarget.version:
      return (a, b) => sign * (a.version - b.version);
    case SortTarget.create:
      return (a, b) => sign * (a.createRevision - b.createRevision);
    case SortTarget.mod:
      return (a, b) => sign * compareRevisions(a, b);
    case SortTarget.value:
      return (a, b) => sign * Buffer.compare(valueIn(values, a), valueIn(values, b));
    default:
      return (a, b) => sign * compareKeys(a.key, b.key);
  }
}

function compareRevisions(a: RowRef, b: RowRef): number {
  return a.modRevision === b.modRevision ? a.sub - b.sub : a.modRevision - b.modRevision;
}

function compareKeys(a: Key, b: Key): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function valueIn(values: RowValues, row: RowRef): Uint8Array {
  return values.get(row) ?? NO_VALUE;
}

/** Sources of the rows of an answer. */
export interface RowSpace {
  readonly store: Store;
  readonly lessor: Lessor;
}

/**
 * A row as the request wants it. Without values it comes from the index alone while `point` is
 * still the newest. The lease a key hangs on changes only with a put of the key.
 */
export function encodedRow(
  { store, lessor }: RowSpace,
  r: RangeRequest,
  row: RowRef,
  point: ReadPoint,
): Uint8Array {
  if (!r.keysOnly) return store.row(row.modRevision, row.sub);
  if (!store.isNewest(point.revision, point.subs)) {
    return withoutValue(store.row(row.modRevision, row.sub));
  }
  const { createRevision, modRevision, version } = row;
  const lease = lessor.leaseOf(row.key);
  return encodeKeyValue(bytesOf(row.key), createRevision, modRevision, version, NO_VALUE, lease);
}

/** Fields of a RangeResponse. */
export const KVS_FIELD = 2;
const MORE = 3;
export const COUNT_FIELD = 4;

/** Writes the fields of a RangeResponse that follow its rows. */
export function writeTrailingFields(
  w: FieldWriter,
  { more, count }: { readonly more: boolean; readonly count: number },
): void {
  w.bool(MORE, more);
  w.number(COUNT_FIELD, count);
}
