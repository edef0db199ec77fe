import { crc32c } from '../base/bytes/crc32c.js';
import type { Done, Env } from '../base/env/env.js';
import { readU64, writeU64 } from '../base/bytes/big-endian.js';
import { encodeRevisionKey } from './revision.js';
import { isBlockIntact } from './row-block.js';
import { blockKey, KEY_BUCKET, RowLog } from './row-log.js';
import type { Engine } from './engine.js';
import type { BackendObserver } from './observer.js';

/**
 * Everything a member stores besides its log: rows in buckets, on an engine that is not trusted.
 *
 * - Every row carries a CRC32C over bucket, key and payload, checked at every read; a mismatch stops the process.
 * - Changes collect in an open batch that reads see at once. `flush` seals it together with the applied index, and
 *   sealed changes reach the engine as one atomic batch, one batch in flight at a time. So the engine always holds
 *   the effect of a whole prefix of the log and knows which.
 * - Any engine error stops the process: the engine may drop what it acknowledged after a failed write.
 * - `sync` makes everything flushed durable; only then may the log release it.
 *
 * Rows of the key bucket are stored as blocks (row-log.ts); the store keeps them readable in its cache until they are
 * written. All other rows are overlaid here. Called by store.ts, compaction.ts, the lessor, auth, membership
 * and apply.
 */

/** One prefix byte per bucket. */
export const Bucket = {
  key: KEY_BUCKET,
  lease: 0x6c,
  meta: 0x6d,
  members: 0x6e,
  membersRemoved: 0x6f,
  alarm: 0x70,
  cluster: 0x71,
  auth: 0x72,
  authUsers: 0x73,
  authRoles: 0x74,
} as const;
export type Bucket = (typeof Bucket)[keyof typeof Bucket];
/** Buckets whose rows are read and written one by one; the key bucket belongs to the row log. */
export type PlainBucket = Exclude<Bucket, typeof Bucket.key>;

export const MetaKey = {
  consistentIndex: 'consistent_index',
  term: 'term',
  confState: 'confState',
  scheduledCompact: 'scheduledCompactRev',
  finishedCompact: 'finishedCompactRev',
} as const;

const CRC_BYTES = 4;
const SCAN_ROWS = 1024;
/** Counted per row on top of key and value, for the engine's own bookkeeping. */
const ROW_OVERHEAD_BYTES = 32;
const WIPE_NEXT =
  'Keep this member stopped and check its disk; replace the member, or restore its data directory from a backup.';

interface PutRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Changes of one key of an overlaid bucket; null payload means deleted. */
interface Overlaid {
  readonly key: Uint8Array;
  readonly payload: Uint8Array | null;
}

class Batch {
  readonly rows: PutRow[] = [];
  readonly deletes: Uint8Array[] = [];
  readonly overlay = new Map<string, Overlaid>();
  bytes = 0;
  /** Applied index whose effects the batch completes. */
  appliedIndex = 0;
  /** Newest revision among the rows, 0 without rows. */
  lastMain = 0;
  readonly written: (() => void)[] = [];

  get isEmpty(): boolean {
    return this.rows.length === 0 && this.deletes.length === 0 && this.overlay.size === 0;
  }

  put(key: Uint8Array, payload: Uint8Array | null): void {
    this.overlay.set(nameOf(key), { key, payload });
    this.bytes += key.length + (payload === null ? 0 : payload.length) + ROW_OVERHEAD_BYTES;
  }
}

export interface BackendOptions {
  readonly engine: Engine;
  readonly env: Env;
  /** Budget of the store's cache of recent rows. */
  readonly cacheBytes?: number;
  /** Budget of the cache of rows read from the engine. */
  readonly readCacheBytes?: number;
  readonly observer?: BackendObserver | undefined;
}

const CACHE_BYTES_DEFAULT = 32 << 20;
const READ_CACHE_BYTES_DEFAULT = 256 << 20;

export class Backend {
  readonly engine: Engine;
  readonly cacheBytes: number;
  private readonly env: Env;
  private readonly observer: BackendObserver | undefined;

  /** Since the last flush. */
  private open = new Batch();
  /** Flushed, waiting for the batch in flight. */
  private sealed: Batch | null = null;
  private inFlight: Batch | null = null;
  private syncWaiters: Done[] = [];
  private idle: (() => void)[] = [];

  private index = 0;
  private termValue = 0;
  private appliedChanged = false;
  private confStateBytes: Uint8Array = new Uint8Array(0);
  private durable = 0;
  /** Applied index of the last batch the engine took. */
  private writtenIndex = 0;
  private closing: Done | null = null;
  /** True from the call of `close` on: nothing may be read or written any more. */
  isClosed = false;
  /** Rows of the key bucket up to this revision need no cache to be readable. */
  writtenMain = 0;
  /** The key bucket. */
  readonly rows: RowLog;
  /** Ends the block that the store is filling; set by the store. */
  closeBlock: () => void = noBlock;

  /** Reads the applied index; the engine must be open. */
  constructor(options: BackendOptions) {
    this.engine = options.engine;
    this.env = options.env;
    this.observer = options.observer;
    this.cacheBytes = options.cacheBytes ?? CACHE_BYTES_DEFAULT;
    this.rows = new RowLog(this, options.readCacheBytes ?? READ_CACHE_BYTES_DEFAULT);
    this.index = this.readMetaNumber(MetaKey.consistentIndex);
    this.termValue = this.readMetaNumber(MetaKey.term);
    this.confStateBytes =
      this.get(Bucket.meta, asciiBytes(MetaKey.confState)) ?? this.confStateBytes;
    this.writtenIndex = this.index;
    // What the engine recovered at opening is not known to be durable before the next sync.
    this.durable = 0;
  }

  private readMetaNumber(name: string): number {
    const bytes = this.get(Bucket.meta, asciiBytes(name));
    if (bytes === undefined) return 0;
    if (bytes.length !== 8) this.corrupt(`meta row ${name}`);
    return readU64(bytes, 0);
  }

  // ---- applied index ----

  get appliedIndex(): number {
    return this.index;
  }

  get appliedTerm(): number {
    return this.termValue;
  }

  get confState(): Uint8Array {
    return this.confStateBytes;
  }

  /** The applied index that is known to survive a power loss. */
  get durableIndex(): number {
    return this.durable;
  }

  /** Names the log entry whose effects the open batch completes. */
  setApplied(index: number, term: number): void {
    this.index = index;
    this.termValue = term;
    this.appliedChanged = true;
  }

  setConfState(bytes: Uint8Array): void {
    this.confStateBytes = bytes;
    this.put(Bucket.meta, asciiBytes(MetaKey.confState), bytes);
  }

  // ---- rows ----

  get(bucket: PlainBucket, key: Uint8Array): Uint8Array | undefined {
    const full = fullKey(bucket, key);
    const name = nameOf(full);
    const found =
      this.open.overlay.get(name) ??
      this.sealed?.overlay.get(name) ??
      this.inFlight?.overlay.get(name);
    if (found !== undefined) return found.payload ?? undefined;
    return this.read(full);
  }

  put(bucket: PlainBucket, key: Uint8Array, value: Uint8Array): void {
    this.open.put(fullKey(bucket, key), value);
  }

  delete(bucket: PlainBucket, key: Uint8Array): void {
    this.open.put(fullKey(bucket, key), null);
  }

  /** Adds a block of the key bucket with rows up to `lastMain`. Called by the row log only. */
  putBlock(key: Uint8Array, value: Uint8Array, lastMain: number): void {
    this.open.rows.push({ key, value });
    this.open.lastMain = lastMain;
    this.open.bytes += key.length + value.length + ROW_OVERHEAD_BYTES;
  }

  /** As `get`, but only what the engine holds. */
  getWritten(bucket: PlainBucket, key: Uint8Array): Uint8Array | undefined {
    return this.read(fullKey(bucket, key));
  }

  private read(full: Uint8Array): Uint8Array | undefined {
    const stored = this.engine.get(full);
    return stored === undefined ? undefined : this.verified(full, stored);
  }

  private verified(full: Uint8Array, stored: Uint8Array): Uint8Array {
    return verifiedPayload(full, stored) ?? this.corrupt(`row ${hexOf(full)}`);
  }

  /** Stops the process because `what` was written and is not there. */
  missing(what: string): never {
    return this.env.fatal(
      `stored data is damaged: ${what} is missing from the storage engine`,
      WIPE_NEXT,
    );
  }

  /** Stops the process because `what` does not match its checksum. */
  corrupt(what: string): never {
    return this.env.fatal(`stored data is damaged: ${what} does not match its checksum`, WIPE_NEXT);
  }

  // ---- writing ----

  /** Bytes not yet taken by the engine; the caller slows down when they pile up. */
  get pendingBytes(): number {
    return this.open.bytes + (this.sealed?.bytes ?? 0) + (this.inFlight?.bytes ?? 0);
  }

  /** Seals the open batch. Requires: it holds the effects of whole log entries only. */
  flush(): void {
    this.closeBlock();
    if (this.appliedChanged) {
      this.appliedChanged = false;
      this.putApplied(this.open);
    }
    if (this.open.isEmpty && this.open.written.length === 0) return;
    const batch = this.open;
    batch.appliedIndex = this.index;
    this.open = new Batch();
    this.seal(batch);
  }

  private putApplied(batch: Batch): void {
    batch.put(fullKey(Bucket.meta, asciiBytes(MetaKey.consistentIndex)), u64Bytes(this.index));
    batch.put(fullKey(Bucket.meta, asciiBytes(MetaKey.term)), u64Bytes(this.termValue));
  }

  /**
   * Replaces and removes blocks of the key bucket and sets `meta`, apart from the open batch: for work that is not
   * the effect of a log entry. Requires: the blocks were written, and nobody reads the rows taken out.
   */
  maintain(
    puts: readonly PutRow[],
    deletes: readonly Uint8Array[],
    meta: { name: string; value: Uint8Array } | null,
  ): void {
    const batch = new Batch();
    for (const row of puts) {
      batch.rows.push(row);
      batch.bytes += row.key.length + row.value.length + ROW_OVERHEAD_BYTES;
    }
    for (const key of deletes) {
      batch.deletes.push(key);
      batch.bytes += key.length + ROW_OVERHEAD_BYTES;
    }
    if (meta !== null) batch.put(fullKey(Bucket.meta, asciiBytes(meta.name)), meta.value);
    // It completes no log entry; merging keeps the higher index.
    this.seal(batch);
  }

  private seal(batch: Batch): void {
    if (this.sealed === null) this.sealed = batch;
    else merge(this.sealed, batch);
    this.pump();
  }

  private pump(): void {
    if (this.inFlight !== null) return;
    const sync = this.syncWaiters.length > 0;
    if (this.sealed === null && !sync) {
      if (this.closing !== null) this.closeEngine(this.closing);
      return;
    }
    const batch = this.sealed ?? this.syncBatch();
    this.sealed = null;
    this.inFlight = batch;
    const waiters = this.syncWaiters;
    if (sync) this.syncWaiters = [];
    const startMs = this.env.clock.monoMs();
    this.engine.write(engineBatch(batch), sync, (error) => {
      this.observer?.committed((this.env.clock.monoMs() - startMs) / 1000);
      this.onWritten(batch, error, sync ? waiters : null);
    });
  }

  /** A batch that changes nothing, for a sync without other work: the engine syncs only what it writes. */
  private syncBatch(): Batch {
    const batch = new Batch();
    batch.appliedIndex = this.writtenIndex;
    batch.put(fullKey(Bucket.meta, asciiBytes('synced')), u64Bytes(this.writtenIndex));
    return batch;
  }

  private onWritten(batch: Batch, error: Error | null, synced: readonly Done[] | null): void {
    if (error !== null) {
      this.env.fatal(
        `the storage engine failed to write: ${error.message}`,
        'Check free space and the disk, then start the member again; the log replays what is missing.',
        error,
      );
    }
    this.inFlight = null;
    this.writtenIndex = Math.max(this.writtenIndex, batch.appliedIndex);
    if (batch.lastMain > this.writtenMain) this.writtenMain = batch.lastMain;
    if (synced !== null) this.durable = this.writtenIndex;
    const idle = this.idle;
    this.idle = [];
    for (const look of idle) look();
    this.pump();
    for (const written of batch.written) written();
    if (synced !== null) for (const done of synced) done(null);
  }

  /** Calls back when everything put so far has been flushed and written (not necessarily durable). */
  whenWritten(callback: () => void): void {
    this.closeBlock();
    if (!this.open.isEmpty) this.open.written.push(callback);
    else this.whenFlushedWritten(callback);
  }

  /** Calls back when everything flushed so far has been written; at once when it is already. */
  whenFlushedWritten(callback: () => void): void {
    const last = this.sealed ?? this.inFlight;
    if (last === null) callback();
    else last.written.push(callback);
  }

  /** Runs `look` when the engine holds whole flushed batches and none is on its way; at once if so now. */
  whenIdle(look: () => void): void {
    if (this.inFlight === null) look();
    else this.idle.push(look);
  }

  /** Makes everything flushed so far durable and raises `durableIndex`. */
  sync(done: Done): void {
    this.syncWaiters.push(done);
    this.pump();
  }

  // ---- scans and sizes ----

  /**
   * Shows every row of a bucket in key order (without its prefix), in slices, as of one moment: everything
   * flushed before the call. `onRow` returns false to stop early.
   */
  forEach(
    bucket: Bucket,
    onRow: (key: Uint8Array, payload: Uint8Array) => boolean | undefined,
    done: Done,
  ): void {
    if (bucket === Bucket.key) {
      this.rows.forEach(
        0,
        Infinity,
        (main, sub, tombstone, payload) =>
          onRow(encodeRevisionKey(main, sub, tombstone), payload) !== false,
        done,
      );
      return;
    }
    this.scan(
      Uint8Array.of(bucket),
      Uint8Array.of(bucket + 1),
      SCAN_ROWS,
      (full, stored) => onRow(full.subarray(1), this.verified(full, stored)) !== false,
      done,
    );
  }

  /** Shows stored rows of any bucket as they are, not verified, `step` at a time. */
  scan(
    gte: Uint8Array,
    lt: Uint8Array,
    step: number,
    onStored: (full: Uint8Array, stored: Uint8Array) => boolean,
    done: Done,
  ): void {
    this.whenFlushedWritten(() => {
      const iterator = this.engine.iterate({ gte, lt });
      let stopped = false;
      const stop = (): void => {
        stopped = true;
        iterator.close();
        done(null);
      };
      const onRows = (error: Error | null, rows: [Uint8Array, Uint8Array][]): void => {
        if (stopped || this.isClosed) return;
        if (error !== null) this.failRead(error);
        if (rows.length === 0) {
          stop();
          return;
        }
        // The engine reads ahead while these rows are looked at.
        iterator.next(step, onRows);
        for (const [full, stored] of rows) {
          if (!onStored(full, stored)) {
            stop();
            return;
          }
        }
      };
      iterator.next(step, onRows);
    });
  }

  private failRead(error: Error): never {
    this.env.fatal(`the storage engine failed to read: ${error.message}`, WIPE_NEXT, error);
  }

  /** Bytes on disk, approximate. */
  sizeBytes(): number {
    return this.engine.sizeBytes();
  }

  /** Bytes of what is stored and not removed, approximate. Never 0, and no more than is on disk: the engine compresses. */
  sizeInUseBytes(): number {
    return Math.max(1, Math.min(this.rows.bytes, this.sizeBytes()));
  }

  /** Lets the engine reclaim the space of removed revisions up to `main`, in the background. */
  reclaim(main: number): void {
    const startMs = this.env.clock.monoMs();
    this.observer?.reclaiming();
    this.engine.compactRange(Uint8Array.of(Bucket.key), blockKey(main + 1, 0), (error) => {
      this.observer?.reclaimed((this.env.clock.monoMs() - startMs) / 1000);
      if (error !== null && !this.isClosed) this.failRead(error);
    });
  }

  /** Writes what was flushed, then closes the engine. Scans under way end without calling back. */
  close(done: Done): void {
    this.isClosed = true;
    this.closing = done;
    this.pump();
  }

  private closeEngine(done: Done): void {
    this.closing = null;
    this.engine.close(done);
  }
}

/** Appends `later` to `earlier`. */
function merge(earlier: Batch, later: Batch): void {
  for (const row of later.rows) earlier.rows.push(row);
  for (const key of later.deletes) earlier.deletes.push(key);
  for (const [name, change] of later.overlay) earlier.overlay.set(name, change);
  for (const written of later.written) earlier.written.push(written);
  earlier.bytes += later.bytes;
  earlier.lastMain = Math.max(earlier.lastMain, later.lastMain);
  earlier.appliedIndex = Math.max(earlier.appliedIndex, later.appliedIndex);
}

function engineBatch(batch: Batch): { puts: PutRow[]; deletes: Uint8Array[] } {
  const puts = batch.rows;
  const deletes = batch.deletes;
  for (const { key, payload } of batch.overlay.values()) {
    if (payload === null) deletes.push(key);
    else puts.push({ key, value: sealRow(key, payload) });
  }
  return { puts, deletes };
}

/** Payload followed by the checksum over key (with its prefix) and payload. */
function sealRow(full: Uint8Array, payload: Uint8Array): Uint8Array {
  const value = new Uint8Array(payload.length + CRC_BYTES);
  value.set(payload);
  const crc = crc32c(payload, crc32c(full));
  value[payload.length] = crc >>> 24;
  value[payload.length + 1] = crc >>> 16;
  value[payload.length + 2] = crc >>> 8;
  value[payload.length + 3] = crc;
  return value;
}

/** The payload of a stored row, or null when its checksum does not match. */
function verifiedPayload(full: Uint8Array, stored: Uint8Array): Uint8Array | null {
  const end = stored.length - CRC_BYTES;
  if (end < 0) return null;
  const expected =
    (((stored[end] as number) << 24) |
      ((stored[end + 1] as number) << 16) |
      ((stored[end + 2] as number) << 8) |
      (stored[end + 3] as number)) >>>
    0;
  return crc32c(stored, crc32c(full), 0, end) === expected ? stored.subarray(0, end) : null;
}

/** True when a stored row of any bucket is what was written under its key. */
export function isIntact(full: Uint8Array, stored: Uint8Array): boolean {
  return full[0] === Bucket.key
    ? isBlockIntact(full, stored)
    : verifiedPayload(full, stored) !== null;
}

/** Before a store fills blocks there are none to end. */
function noBlock(): void {
  return undefined;
}

function fullKey(bucket: Bucket, key: Uint8Array): Uint8Array {
  const full = new Uint8Array(key.length + 1);
  full[0] = bucket;
  full.set(key, 1);
  return full;
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function hexOf(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

function asciiBytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function u64Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeU64(bytes, 0, value);
  return bytes;
}
