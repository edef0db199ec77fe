import type { Done, Env } from '../base/env/env.js';
import { invariant, verification } from '../base/invariant.js';
import { Bucket, MetaKey } from '../storage/backend.js';
import type { Backend } from '../storage/backend.js';
import { Compaction } from './compaction.js';
import { hashKv } from './hash.js';
import type { HashResult } from './hash.js';
import { readHistory } from './history.js';
import type { HistoryResult } from './history.js';
import { KeyIndex, type ListBounds } from './key-index.js';
import { IndexLoader } from './index-loader.js';
import { RowFields } from './key-value.js';
import { decodeRevisionKey, encodeRevisionKey } from '../storage/revision.js';
import type { Interval, Key } from '../base/collections/interval.js';
import type { StoreObserver } from './observer.js';
import { ALL_SUBS, type LeaseId, type MvccReason, type ReadPoint, type RowRef } from './types.js';
import { ValueCache } from '../storage/value-cache.js';
import { WriteTxn } from './write-txn.js';

/**
 * The multi-version store: every change of every key since the last compaction, readable at every revision
 * since then.
 *
 * Promises: Reads never wait and see exactly one revision. One writer (apply) makes revisions
 * through `begin`. The readable state depends on the log alone, not on caches, pace of compaction
 * or restarts. Does not: check leases or permissions, keep watchers, read the log. After opening,
 * everything runs on the calling turn, except for `history`, `hashKV` and compaction, which work in
 * slices.
 *
 * A read spread over several turns pins its revision, so that compaction removes nothing it needs:
 *
 *   const release = store.pin(revision); ... store.list(...) in several turns ...; release();
 *
 * Called by apply, the range and watch services, and maintenance.
 */

export type OnLease = (key: Key, lease: LeaseId) => void;

export interface StoreOptions {
  readonly backend: Backend;
  readonly env: Env;
  /** Called once per key that holds a lease, when the store has been read from the backend. */
  readonly onLease: OnLease;
  readonly compaction?: CompactionPace;
  readonly observer?: StoreObserver | undefined;
}

/** Pace at which compaction removes rows. */
export interface CompactionPace {
  /** Rows removed, or leaves visited, per slice. */
  readonly sliceRows: number;
  readonly pauseMs: number;
}

const PACE_DEFAULT: CompactionPace = { sliceRows: 1000, pauseMs: 10 };
const FIRST_REVISION = 1;
const NEVER_COMPACTED = -1;

export class Store {
  readonly env: Env;
  readonly index = new KeyIndex();
  readonly cache: ValueCache;
  private backendValue: Backend;
  private readonly onLease: OnLease;
  private readonly txn: WriteTxn;
  private compaction: Compaction;
  private readonly pace: CompactionPace;
  readonly observer: StoreObserver | undefined;

  currentRevision = FIRST_REVISION;
  /** Reads below it are refused; -1 when the store was never compacted. */
  compactRevision = NEVER_COMPACTED;
  /** Revisions below `compactRevision` have been removed up to here. */
  finishedCompactRevision = NEVER_COMPACTED;

  private readonly pins = new Map<number, number>();
  private readonly onReplaced = new Set<() => void>();

  /** Reads the backend and calls back with a store that answers. */
  static open(
    options: StoreOptions,
    done: (error: Error | null, store: Store | null) => void,
  ): void {
    const store = new Store(options);
    store.load((loadError) => {
      if (loadError !== null) return done(loadError, null);
      options.backend.engine.forgetReads((error) => {
        if (error !== null) return done(error, null);
        store.resumeCompaction();
        done(null, store);
      });
    });
  }

  private constructor(options: StoreOptions) {
    this.env = options.env;
    this.backendValue = options.backend;
    this.onLease = options.onLease;
    this.pace = options.compaction ?? PACE_DEFAULT;
    this.observer = options.observer;
    this.cache = new ValueCache(options.backend.cacheBytes, (block) => {
      this.backendValue.rows.add(block);
    });
    this.txn = new WriteTxn(this);
    this.compaction = new Compaction(this, this.pace);
  }

  get backend(): Backend {
    return this.backendValue;
  }

  /** Reads under way that keep their revision readable. */
  get openReads(): number {
    let count = 0;
    for (const pins of this.pins.values()) count += pins;
    return count;
  }

  get liveKeys(): number {
    return this.index.live;
  }

  // ---- reads ----

  /** Reason for which `revision` cannot be read, or null when it can. */
  checkRevision(revision: number): MvccReason | null {
    if (revision > this.currentRevision) return 'future-revision';
    return revision < this.compactRevision ? 'compacted' : null;
  }

  /** Fills `out` with the key's row at the revision; false when it is absent there. */
  lookup(key: Key, atRevision: number, out: RowRef, subs = ALL_SUBS): boolean {
    return this.index.lookup(key, atRevision, out, subs);
  }

  /** The point a read sees now; of a transaction under way the changes made so far. */
  get now(): ReadPoint {
    const { txn } = this;
    if (!txn.changed) return { revision: this.currentRevision, subs: ALL_SUBS };
    return { revision: txn.revision, subs: txn.changes };
  }

  /**
   * At most `limit` rows (0: all) of the interval in key order, beginning behind `after` when given.
   *
   * Limits: one call runs to its end, so callers ask for about a thousand rows and continue behind the last key.
   */
  list(interval: Interval, atRevision: number, limit: number, after?: Key): RowRef[] {
    return this.index.list(interval, atRevision, limit, after);
  }

  /** As `list`, into the objects that `rows` has, and new ones where they are not enough; returns how many it found. */
  listInto(
    interval: Interval,
    atRevision: number,
    limit: number,
    after: Key | undefined,
    rows: RowRef[],
    bounds?: ListBounds,
  ): number {
    return this.index.listInto(interval, atRevision, limit, after, rows, bounds);
  }

  /** Key at which the bounds stopped the last `listInto`; undefined when it went to its end. */
  get listCut(): Key | undefined {
    return this.index.listCut;
  }

  /** Keys in the interval. Cost: O(log n) at the newest revision, plus what changed since for older ones. */
  count(interval: Interval, atRevision: number, subs = ALL_SUBS): number {
    return this.index.count(interval, atRevision, this.isNewest(atRevision, subs), subs);
  }

  /** True if a read at this point sees the newest state there is. */
  isNewest(atRevision: number, subs = ALL_SUBS): boolean {
    // The changes of a transaction under way are in the index already.
    const newest = this.txn.changed ? this.txn.revision : this.currentRevision;
    return subs === ALL_SUBS && atRevision >= newest;
  }

  /** A key some `leaves` leaves of the index behind `start`, undefined near the end: to cut long work in pieces. */
  keyBehind(start: Key, leaves: number): Key | undefined {
    return this.index.keyBehind(start, leaves);
  }

  /**
   * The encoded KeyValue of a row.
   *
   * Requires: the row is readable (from a lookup at a readable or pinned revision). The bytes stay valid.
   */
  row(main: number, sub: number): Uint8Array {
    const row = this.rowIfPresent(main, sub);
    if (row !== undefined) return row;
    return this.backendValue.missing(`the row of revision ${String(main)}.${String(sub)}`);
  }

  /** As `row`, but undefined when compaction removed the row: for previous values in watch events. */
  rowIfPresent(main: number, sub: number): Uint8Array | undefined {
    return this.cache.find(main, sub) ?? this.backendValue.rows.get(main, sub);
  }

  /** Keeps what is readable at `revision` until the returned function is called. */
  pin(revision: number): () => void {
    invariant(
      revision >= this.compactRevision,
      'revision {} is pinned, which is compacted at {}',
      revision,
      this.compactRevision,
    );
    this.pins.set(revision, (this.pins.get(revision) ?? 0) + 1);
    let released = false;
    const { backendValue } = this;
    return () => {
      // A restore ended all pins; one of the same revision may have been set since.
      if (released || this.backendValue !== backendValue) return;
      released = true;
      const count = this.pins.get(revision) ?? 0;
      invariant(count > 0, 'revision {} is released, nobody pinned it', revision);
      if (count > 1) this.pins.set(revision, count - 1);
      else this.pins.delete(revision);
      this.compaction.onUnpinned();
    };
  }

  /**
   * Calls back when a restore replaces the readable state, unless the returned function was called
   * before. It is for work that waits for the backend, whose scans end without calling back when it
   * is closed.
   */
  whenReplaced(callback: () => void): () => void {
    this.onReplaced.add(callback);
    return () => this.onReplaced.delete(callback);
  }

  isPinnedBelow(revision: number): boolean {
    for (const pinned of this.pins.keys()) if (pinned < revision) return true;
    return false;
  }

  /**
   * Reads the events of the revisions [fromMain, toMain], whole revisions up to about `maxBytes`.
   *
   * `done` gets the events in order and the revision to continue at, or 'compacted'.
   */
  history(
    fromMain: number,
    toMain: number,
    maxBytes: number,
    done: (error: Error | null, result: HistoryResult) => void,
  ): void {
    readHistory(this, fromMain, toMain, maxBytes, done);
  }

  /** HashKV of the store at `revision` (0 or less: the newest). */
  hashKV(
    revision: number,
    done: (error: Error | MvccReason | null, result: HashResult | null) => void,
  ): void {
    const startMs = this.env.clock.monoMs();
    hashKv(this, revision, (reason, result) => {
      if (result !== null) this.observer?.hashed(this.env.clock.monoMs() - startMs);
      done(reason, result);
    });
  }

  // ---- writes, by apply only ----

  /** Starts the changes of one log entry. Requires: the one before has ended. */
  begin(): WriteTxn {
    invariant(
      this.finishedCompactRevision <= this.compactRevision &&
        this.compactRevision <= this.currentRevision,
      'compactions {} and {} of a store at {}',
      this.finishedCompactRevision,
      this.compactRevision,
      this.currentRevision,
    );
    this.cache.trim(this.backendValue.writtenMain);
    return this.txn.start();
  }

  /**
   * Makes revisions below `revision` unreadable at once and removes them in the background.
   *
   * Returns: null, or why it was refused.
   */
  compact(revision: number): MvccReason | null {
    if (revision <= this.compactRevision) return 'compacted';
    if (revision > this.currentRevision) return 'future-revision';
    this.compactRevision = revision;
    this.backendValue.put(
      Bucket.meta,
      Buffer.from(MetaKey.scheduledCompact, 'latin1'),
      encodeRevisionKey(revision, 0, false),
    );
    this.compaction.schedule();
    return null;
  }

  /** Calls back when revisions below `revision` have been removed from the engine. */
  whenCompacted(revision: number, done: () => void): void {
    this.compaction.whenFinished(revision, done);
  }

  // ---- opening ----

  /** Starts over on another backend, after a snapshot was installed. Open reads must have ended. */
  restore(backend: Backend, done: Done): void {
    this.compaction.stop();
    this.backendValue.closeBlock = (): void => undefined;
    this.compaction = new Compaction(this, this.pace);
    this.pins.clear();
    this.index.clear();
    this.cache.clear();
    this.backendValue = backend;
    const callbacks = [...this.onReplaced];
    this.onReplaced.clear();
    for (const callback of callbacks) callback();
    this.load((error) => {
      if (error === null) this.resumeCompaction();
      done(error);
    });
  }

  private resumeCompaction(): void {
    if (this.finishedCompactRevision < this.compactRevision) this.compaction.schedule();
  }

  private load(done: Done): void {
    const scheduled = this.readMetaRevision(MetaKey.scheduledCompact);
    const finished = this.readMetaRevision(MetaKey.finishedCompact);
    this.compactRevision = Math.max(scheduled, finished);
    this.finishedCompactRevision = finished;
    const leases = new Map<Key, LeaseId>();
    let last = 0;
    let lastSub = 0;
    this.backendValue.closeBlock = (): void => {
      this.cache.closeBlock();
    };
    const fields = new RowFields();
    const loader = new IndexLoader(this.index);
    this.backendValue.rows.load(
      (row) => {
        const { main, sub } = row;
        this.checkGapless(main, sub, last, lastSub);
        last = main;
        lastSub = sub;
        const { payloadStart, payloadEnd } = row;
        // `etcdutl snapshot restore --bump-revision` leaves an empty row to raise the revision.
        if (payloadStart === payloadEnd) return;
        fields.read(row.bytes, payloadStart, payloadEnd);
        const key = fields.key();
        const { createRevision, lease } = fields;
        const version = row.tombstone ? 0 : fields.version;
        loader.add(key, main, sub, createRevision, version, payloadEnd - payloadStart);
        if (lease !== 0n) leases.set(key, lease);
        else if (leases.size > 0) leases.delete(key);
      },
      (error, changes) => {
        if (error !== null) return done(error);
        loader.finish();
        this.backendValue.verify(changes, last, (verifyError) => {
          if (verifyError !== null) return done(verifyError);
          this.currentRevision = Math.max(FIRST_REVISION, last, this.compactRevision);
          if (verification.isOn) this.index.check();
          for (const [key, lease] of leases) this.onLease(key, lease);
          done(null);
        });
      },
    );
  }

  /**
   * Above the compaction revision every change has its row: a missing one means that the engine lost a batch
   * and kept a later one.
   */
  private checkGapless(main: number, sub: number, last: number, lastSub: number): void {
    if (main <= this.compactRevision) return;
    const expected = main === last ? sub === lastSub + 1 : sub === 0;
    const before = Math.max(last, this.compactRevision, FIRST_REVISION);
    if (expected && (main === last || main === before + 1)) return;
    this.backendValue.damaged(
      `rows between revision ${String(before)} and ${String(main)}.${String(sub)} are missing`,
    );
  }

  private readMetaRevision(name: string): number {
    const bytes = this.backendValue.get(Bucket.meta, Buffer.from(name, 'latin1'));
    if (bytes === undefined) return NEVER_COMPACTED;
    const revision = decodeRevisionKey(bytes);
    if (revision === null) return this.backendValue.damaged(`meta row ${name} holds no revision`);
    return revision.main;
  }
}
