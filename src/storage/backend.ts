import type { Done, Env } from '../base/env/env.js';
import { readU64, writeU64 } from '../base/bytes/big-endian.js';
import { invariant } from '../base/invariant.js';
import { Batch, nameOf, type PutRow } from './batch.js';
import { Bucket, fullKey, metaKey, MetaKey, type PlainBucket } from './buckets.js';
import type { Engine } from './engine.js';
import { IMAGE_DAMAGE_ADVICE } from './errors.js';
import { ImageWitness } from './image-witness.js';
import { BLOCK_CACHE_BYTES, ROW_CACHE_BYTES, SCAN_ROWS } from './limits.js';
import type { BackendObserver } from './observer.js';
import { encodeRevisionKey } from './revision.js';
import { blockKey, RowLog } from './row-log.js';
import { verifiedPayload } from './stored-row.js';
import type { RowSum } from './witness.js';
import { WriteQueue } from './write-queue.js';

export { Bucket, MetaKey } from './buckets.js';
export type { PlainBucket } from './buckets.js';

/**
 * Everything a member stores besides its log: rows in buckets, on an engine that is not trusted.
 *
 * - Every row carries a CRC32C over bucket, key and payload, checked at every read; a mismatch stops the process.
 * - Every batch carries a witness of all rows (witness.ts). `verify` compares the rows with it after opening.
 * - Changes collect in an open batch that reads see at once. `flush` seals it together with the applied index, and
 *   sealed changes reach the engine as one atomic batch, one batch in flight at a time. So the
 *   engine always holds the effect of a whole prefix of the log, and its index.
 * - Any engine error stops the process: the engine may drop what it acknowledged after a failed write.
 * - `sync` makes everything flushed durable; only then may the log release it.
 *
 * Rows of the key bucket are stored as blocks (row-log.ts); the store keeps them readable in its cache until they are
 * written. All other rows are overlaid here. Called by store.ts, compaction.ts, the lessor, auth, membership
 * and apply.
 */

const CONSISTENT_INDEX = metaKey(MetaKey.consistentIndex);
const TERM = metaKey(MetaKey.term);
export interface BackendOptions {
  readonly engine: Engine;
  readonly env: Env;
  /** Budget of the store's cache of recent rows. */
  readonly cacheBytes?: number;
  /** Budget of the cache of rows read from the engine. */
  readonly readCacheBytes?: number;
  readonly observer?: BackendObserver | undefined;
}

export class Backend {
  readonly engine: Engine;
  readonly cacheBytes: number;
  private readonly env: Env;
  private readonly observer: BackendObserver | undefined;

  /** Since the last flush. */
  private open = new Batch();
  /** Flushed, on its way to the engine. */
  private readonly queue: WriteQueue;
  private readonly witness: ImageWitness;

  private index = 0;
  private termValue = 0;
  private appliedChanged = false;
  /** Index and term that the engine holds once it took everything sealed. */
  private sealedIndex = 0;
  private sealedTerm = 0;
  private confStateBytes: Uint8Array = new Uint8Array(0);
  /** True from the call of `close` on: nothing may be read or written any more. */
  isClosed = false;
  /** The key bucket. */
  readonly rows: RowLog;
  /** Ends the block that the store is filling; set by the store. */
  closeBlock: () => void = noBlock;

  /**
   * Reads the applied index; the engine must be open.
   *
   * Throws: ImageTooNew, before anything is changed.
   */
  constructor(options: BackendOptions) {
    this.engine = options.engine;
    this.env = options.env;
    this.observer = options.observer;
    this.cacheBytes = options.cacheBytes ?? ROW_CACHE_BYTES;
    this.rows = new RowLog(this, options.readCacheBytes ?? BLOCK_CACHE_BYTES);
    this.index = this.readMetaNumber(MetaKey.consistentIndex);
    this.termValue = this.readMetaNumber(MetaKey.term);
    this.confStateBytes = this.readRow(metaKey(MetaKey.confState)) ?? this.confStateBytes;
    this.sealedIndex = this.index;
    this.sealedTerm = this.termValue;
    this.queue = new WriteQueue({
      engine: this.engine,
      env: this.env,
      onCommit: (seconds) => options.observer?.committed(seconds),
      writtenIndex: this.index,
      emptyBatch: () => {
        const batch = new Batch();
        this.putApplied(batch);
        return batch;
      },
    });
    this.witness = new ImageWitness(this);
  }

  private readMetaNumber(name: string): number {
    const bytes = this.readRow(metaKey(name));
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

  /** The applied index that survives a power loss for certain. */
  get durableIndex(): number {
    return this.queue.durableIndex;
  }

  /** Rows of the key bucket up to this revision need no cache to be readable. */
  get writtenMain(): number {
    return this.queue.writtenMain;
  }

  /** Names the log entry whose effects the open batch completes; the one before or a later one. */
  setApplied(index: number, term: number): void {
    invariant(index >= this.index && term >= this.termValue, 'the applied index went back');
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
    const found = this.open.overlay.get(name) ?? this.queue.find(name);
    return found === undefined ? this.readRow(full) : (found.payload ?? undefined);
  }

  put(bucket: PlainBucket, key: Uint8Array, value: Uint8Array): void {
    this.open.put(fullKey(bucket, key), value);
  }

  delete(bucket: PlainBucket, key: Uint8Array): void {
    this.open.put(fullKey(bucket, key), null);
  }

  /**
   * Adds a block of the key bucket with rows up to `lastMain`, whose changes are summed up in `changes`. Called by the
   * row log only.
   */
  putBlock(key: Uint8Array, value: Uint8Array, lastMain: number, changes: RowSum): void {
    invariant(lastMain >= this.open.lastMain, 'a block was added behind a newer one');
    this.open.putBlock({ key, value });
    this.open.lastMain = lastMain;
    this.open.changes.addSum(changes);
  }

  /** As `get`, but only what the engine holds. */
  getWritten(bucket: PlainBucket, key: Uint8Array): Uint8Array | undefined {
    return this.readRow(fullKey(bucket, key));
  }

  /** The payload of a row as the engine holds it, by its engine key. */
  readRow(full: Uint8Array): Uint8Array | undefined {
    const stored = this.readStored(full);
    return stored === undefined ? undefined : this.verified(full, stored);
  }

  /** Value that the engine holds under a key, not verified. */
  readStored(full: Uint8Array): Uint8Array | undefined {
    try {
      return this.engine.get(full);
    } catch (error) {
      return this.failRead(error as Error);
    }
  }

  private verified(full: Uint8Array, stored: Uint8Array): Uint8Array {
    return verifiedPayload(full, stored) ?? this.corrupt(`row ${hexOf(full)}`);
  }

  /** Stops the process because `what` was written and is not there. */
  missing(what: string): never {
    return this.damaged(`${what} is missing from the storage engine`);
  }

  /** Stops the process because `what` does not match its checksum. */
  corrupt(what: string): never {
    return this.damaged(`${what} does not match its checksum`);
  }

  /** Stops the process because of `found`, one sentence without a full stop. */
  damaged(found: string): never {
    return this.env.fatal(`stored data is damaged: ${found}`, IMAGE_DAMAGE_ADVICE);
  }

  // ---- writing ----

  /** Bytes not yet taken by the engine; the caller slows down when they pile up. */
  get pendingBytes(): number {
    return this.open.bytes + this.queue.bytes;
  }

  /** Seals the open batch. Requires: it holds the effects of whole log entries only. */
  flush(): void {
    this.closeBlock();
    if (this.appliedChanged) {
      this.appliedChanged = false;
      this.sealedIndex = this.index;
      this.sealedTerm = this.termValue;
      this.putApplied(this.open);
    }
    if (this.open.isEmpty && this.open.written.length === 0) return;
    const batch = this.open;
    batch.appliedIndex = this.index;
    this.open = new Batch();
    this.seal(batch);
  }

  private putApplied(batch: Batch): void {
    batch.put(CONSISTENT_INDEX, u64Bytes(this.sealedIndex));
    batch.put(TERM, u64Bytes(this.sealedTerm));
  }

  /**
   * Replaces and removes blocks of the key bucket and sets `meta`, apart from the open batch: for work that is not
   * the effect of a log entry. `changes` sums up the rows added and removed.
   *
   * Requires: the blocks were written, and no read needs the rows taken out.
   */
  maintain(
    puts: readonly PutRow[],
    deletes: readonly Uint8Array[],
    changes: RowSum,
    meta: { name: string; value: Uint8Array } | null,
  ): void {
    const batch = new Batch();
    for (const row of puts) batch.putBlock(row);
    for (const key of deletes) batch.deleteBlock(key);
    batch.changes.addSum(changes);
    if (meta !== null) batch.put(metaKey(meta.name), meta.value);
    // It completes no log entry; merging keeps the higher index.
    this.seal(batch);
  }

  private seal(batch: Batch): void {
    this.witness.join(batch, this.sealedIndex, this.sealedTerm, this.readSealed);
    this.queue.add(batch);
  }

  /** The row as it is once the engine took everything sealed. */
  private readonly readSealed = (name: string, full: Uint8Array): Uint8Array | undefined => {
    const found = this.queue.find(name);
    return found === undefined ? this.readRow(full) : (found.payload ?? undefined);
  };

  /** Calls back when everything put so far has been flushed and written (not necessarily durable). */
  whenWritten(callback: () => void): void {
    this.closeBlock();
    if (!this.open.isEmpty) this.open.written.push(callback);
    else this.whenFlushedWritten(callback);
  }

  /** Calls back when everything flushed so far has been written; at once when it is already. */
  whenFlushedWritten(callback: () => void): void {
    this.queue.whenWritten(callback);
  }

  /** Runs `look` when the engine holds whole flushed batches and none is on its way; at once if so now. */
  whenIdle(look: () => void): void {
    this.queue.whenIdle(look);
  }

  /** Makes everything flushed so far durable and raises `durableIndex`. */
  sync(done: Done): void {
    this.queue.sync(done);
  }

  // ---- witness ----

  /**
   * Compares everything the engine holds with the witness; a difference stops the process. An image without a witness
   * is brought to this format: what it holds is written down, durably.
   *
   * `changes` sums up all rows of the key bucket, `revision` is the newest one, 0 when there was none. Requires: nothing
   * has been changed and not written.
   */
  verify(changes: RowSum, revision: number, done: Done): void {
    invariant(
      this.open.isEmpty && this.queue.isEmpty,
      'the image was changed before it was verified',
    );
    this.witness.verify(changes, revision, done);
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
    return this.env.fatal(
      `the storage engine failed to read: ${error.message}`,
      IMAGE_DAMAGE_ADVICE,
      error,
    );
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
    this.queue.close(done);
  }
}

/** Before a store fills blocks there are none to end. */
function noBlock(): void {
  return undefined;
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
