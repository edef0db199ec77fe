import type { RangeRequest } from '../../gen/rpc.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { valueOf, withoutValue } from '../../mvcc/key-value.js';
import type { Store } from '../../mvcc/store.js';
import type { Key } from '../../base/collections/interval.js';
import type { RowRef } from '../../mvcc/types.js';
import type { FieldWriter } from '../../base/bytes/field-writer.js';
import { keyFromBytes } from '../../base/collections/interval.js';
import { intervalOf } from '../contract/interval.js';

/**
 * The semantics of Range that KV.Range, RangeStream and a range inside a transaction share: which rows, in which order,
 * how many, and how they are written into a RangeResponse. Values stay encoded: a row's stored bytes are
 * spliced into the reply.
 *
 * Ref: etcd contract 2.2.
 */

const NO_VALUE = new Uint8Array(0);
const SortOrder = { none: 0, ascend: 1, descend: 2 } as const;
const SortTarget = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;

/** The rows of one answer, chosen but not yet encoded. */
export interface RangeSelection {
  readonly rows: RowRef[];
  readonly more: boolean;
  readonly count: number;
}

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
 * With order NONE the limit is pushed down even when a target asks for sorting: etcd sorts only the first limit + 1 keys,
 * and clients observe that.
 */
function limitIsPushedDown(r: RangeRequest): boolean {
  if (r.limit <= 0 || hasFilters(r)) return false;
  return isNaturalOrder(r) || r.sortOrder === SortOrder.none;
}

/** A single key without options that would need the list path: the most frequent request by far. */
export function isPointRead(r: RangeRequest): boolean {
  return r.rangeEnd.length === 0 && !r.countOnly && !hasFilters(r);
}

/** How many rows the scan must produce at most; 0 for all. */
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

/** Orders and cuts the scanned rows as the request says. `scanned` is consumed. */
function selectRows(
  store: Store,
  r: RangeRequest,
  scanned: RowRef[],
  count: number,
): RangeSelection {
  const rows = hasFilters(r) ? scanned.filter((row) => passesFilters(r, row)) : scanned;
  if (isNaturalOrder(r)) return firstRows(r, rows, count);
  const values: RowValues = new Map();
  if (sortsByValue(r)) for (const row of rows) addValue(store, values, row);
  return firstRows(r, rows.sort(rowOrder(r, values)), count);
}

/** What the limit leaves of rows in the order of the answer. */
export function firstRows(r: RangeRequest, rows: RowRef[], count: number): RangeSelection {
  const more = r.limit > 0 && rows.length > r.limit;
  return { rows: more ? rows.slice(0, r.limit) : rows, more, count };
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

/** The bytes of one row as the request wants them. */
export function rowBytes(store: Store, r: RangeRequest, row: RowRef): Uint8Array {
  const bytes = store.row(row.modRevision, row.sub);
  return r.keysOnly ? withoutValue(bytes) : bytes;
}

const KVS = 2;
const MORE = 3;
const COUNT = 4;

/** Writes the fields of a RangeResponse that follow its header. */
export function writeSelection(
  w: FieldWriter,
  store: Store,
  r: RangeRequest,
  selection: RangeSelection,
): void {
  for (const row of selection.rows) w.bytes(KVS, rowBytes(store, r, row));
  writeTrailingFields(w, selection);
}

export function writeTrailingFields(
  w: FieldWriter,
  selection: { readonly more: boolean; readonly count: number },
): void {
  w.bool(MORE, selection.more);
  w.number(COUNT, selection.count);
}

export const KVS_FIELD = KVS;

/**
 * Runs a whole range within one turn, at `revision` (already checked). For transactions; a service reads
 * large ranges in slices instead.
 */
export function selectNow(store: Store, r: RangeRequest, revision: number): RangeSelection {
  if (isPointRead(r)) {
    const row = emptyRow();
    const found = store.lookup(keyFromBytes(r.key), revision, row);
    return { rows: found ? [row] : [], more: false, count: found ? 1 : 0 };
  }
  const interval = intervalOf(r.key, r.rangeEnd);
  const count = store.count(interval, revision);
  if (r.countOnly) return { rows: [], more: false, count };
  return selectRows(store, r, store.list(interval, revision, scanLimit(r)), count);
}
