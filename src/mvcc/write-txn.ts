import { invariant, verification } from '../base/invariant.js';
import { encodeDeleted, keyValueSizeMax, writeKeyValue } from './key-value.js';
import type { KeyIndex } from './key-index.js';
import { bytesOf, type Interval, type Key } from '../base/collections/interval.js';
import type { LeaseId, StoreEvent } from './types.js';
import type { ValueCache } from '../storage/value-cache.js';

const NO_VALUE = new Uint8Array(0);
const NO_EVENTS: readonly StoreEvent[] = [];
/** Keys of a range delete are collected in steps of this many. */
const DELETE_STEP = 1024;

/** State that a write transaction works on; the store owns it. */
export interface TxnTarget {
  readonly index: KeyIndex;
  readonly cache: ValueCache;
  currentRevision: number;
}

/**
 * The changes of one log entry: one revision, as many subs as changes.
 *
 * Used synchronously by apply, which is the only writer. Changes are visible to reads at `revision` at once and
 * become the current revision with `end`. The store hands out one object over and over.
 */
export class WriteTxn {
  private readonly target: TxnTarget;
  private events: StoreEvent[] | null = null;
  private sub = 0;
  private main = 0;
  /** Between `start` and `end`. */
  private isOpen = false;

  constructor(target: TxnTarget) {
    this.target = target;
  }

  /** Called by the store only. */
  start(): this {
    invariant(!this.isOpen, 'a transaction begins before revision {} has ended', this.main);
    this.isOpen = true;
    this.main = this.target.currentRevision + 1;
    this.sub = 0;
    this.events = null;
    return this;
  }

  /** The revision the changes get. */
  get revision(): number {
    return this.main;
  }

  get changed(): boolean {
    return this.sub !== 0;
  }

  /** Changes made so far. */
  get changes(): number {
    return this.sub;
  }

  /** Requires: `keyBytes` are the bytes of `key`, and the lease exists. */
  put(key: Key, keyBytes: Uint8Array, value: Uint8Array, lease: LeaseId): void {
    this.requireOpen();
    if (verification.isOn) invariant(sameBytes(key, keyBytes), 'a key differs from its bytes');
    const { index, cache } = this.target;
    const main = this.main;
    const sub = this.sub++;
    index.put(key, main, sub);
    const create = index.create;
    const bytes = cache.reserve(keyValueSizeMax(keyBytes.length, value.length));
    const start = cache.payloadOffset;
    const payloadEnd = writeKeyValue(
      bytes,
      start,
      keyBytes,
      create,
      main,
      index.version,
      value,
      lease,
    );
    index.setRowSize(payloadEnd - start);
    cache.commit(main, sub, false, payloadEnd);
    this.record({
      type: 'put',
      key,
      modRevision: main,
      sub,
      kv: bytes.subarray(start, payloadEnd),
      isCreate: create === main,
      prev: this.rowBefore(key),
    });
  }

  /**
   * Deletes the keys that exist in the interval, in key order, and reports each; returns their
   * number.
   */
  deleteRange(interval: Interval, onDeleted?: (key: Key) => void): number {
    const { index } = this.target;
    let deleted = 0;
    let after: Key | undefined;
    for (;;) {
      const rows = index.list(interval, this.main, DELETE_STEP, after);
      for (const row of rows) {
        this.deleteKey(row.key);
        onDeleted?.(row.key);
      }
      deleted += rows.length;
      after = rows[rows.length - 1]?.key;
      if (rows.length < DELETE_STEP) return deleted;
    }
  }

  /** Deletes one key; false when it did not exist. */
  deleteKey(key: Key): boolean {
    this.requireOpen();
    const { index, cache } = this.target;
    const main = this.main;
    const sub = this.sub;
    if (!index.delete(key, main, sub)) return false;
    this.sub++;
    const keyBytes = bytesOf(key);
    const bytes = cache.reserve(keyValueSizeMax(keyBytes.length, 0));
    const payloadEnd = writeKeyValue(bytes, cache.payloadOffset, keyBytes, 0, 0, 0, NO_VALUE, 0n);
    cache.commit(main, sub, true, payloadEnd);
    this.record({
      type: 'delete',
      key,
      modRevision: main,
      sub,
      kv: encodeDeleted(keyBytes, main),
      isCreate: false,
      prev: this.rowBefore(key),
    });
    return true;
  }

  /** Row of the key that was just changed before this revision; null when it had none. */
  private rowBefore(key: Key): StoreEvent['prev'] {
    const { index } = this.target;
    const { previousMain, previousSub } = index;
    if (previousMain === 0) return null;
    // It was changed before in this transaction.
    if (previousMain === this.main) return index.rowBefore(key, this.main);
    return { main: previousMain, sub: previousSub };
  }

  /** Publishes the revision and returns its events in order; without a change there is no revision and no event. */
  end(): readonly StoreEvent[] {
    this.requireOpen();
    this.isOpen = false;
    if (this.sub !== 0) this.target.currentRevision = this.main;
    this.sub = 0;
    const events = this.events ?? NO_EVENTS;
    this.events = null;
    return events;
  }

  /** Most transactions have one event: an array made for one does not reserve room for sixteen more. */
  private record(event: StoreEvent): void {
    if (this.events === null) this.events = [event];
    else this.events.push(event);
  }

  private requireOpen(): void {
    invariant(this.isOpen, 'a change to revision {} after its end', this.main);
  }
}

function sameBytes(key: Key, bytes: Uint8Array): boolean {
  return Buffer.compare(bytesOf(key), bytes) === 0;
}
