import type { Done } from '../base/env/env.js';
import type { Backend } from './backend.js';
import { BlockCache } from './block-cache.js';
import { BlockIndex } from './block-index.js';
import { Bucket } from './buckets.js';
import { SCAN_BLOCKS } from './limits.js';
import { BlockReader, finishBlock, makeBlock, sumChanges } from './row-block.js';
import { readU64 } from '../base/bytes/big-endian.js';
import { REVISION_BYTES, writeRevisionKey } from './revision.js';
import type { ClosedBlock } from './value-cache.js';
import { RowSum } from './witness.js';

/**
 * The key bucket: all changes in revision order, stored as blocks (row-block.ts) and found through an index of where
 * blocks begin.
 *
 * Rows are verified one by one as they are read; damage stops the process. Called by store.ts, hash.ts, history.ts
 * and compaction.ts.
 */

export type OnRow = (main: number, sub: number, tombstone: boolean, payload: Uint8Array) => boolean;

/** Result of one slice of removing rows. */
export interface Rewrite {
  readonly puts: { readonly key: Uint8Array; readonly value: Uint8Array }[];
  readonly deletes: Uint8Array[];
  /** Changes to the sum of all rows. */
  readonly changes: RowSum;
  /** Block to continue at, -1 when all are done. */
  nextBlock: number;
}

export class RowLog {
  private readonly backend: Backend;
  private readonly blocks = new BlockIndex();
  /** Bytes of the blocks that are stored or about to be. */
  bytes = 0;
  private readonly cache: BlockCache;
  /**
   * Reader that stands at the last point read: lists in key order often read a block's rows one
   * after the other.
   */
  private readonly point = new BlockReader();
  /** The block that `point` reads, -1 for none. */
  private pointBlock = -1;
  /** The bytes that `point` reads are the cache's, which it will write again. */
  private isPointCached = false;

  /** `cacheBytes` bounds the blocks kept after point reads. */
  constructor(backend: Backend, cacheBytes: number) {
    this.backend = backend;
    this.cache = new BlockCache(cacheBytes);
  }

  /** Adds a block behind all others to the open batch. */
  add(block: ClosedBlock): void {
    const key = blockKey(block.firstMain, block.firstSub);
    finishBlock(key, block.bytes, block.start, block.end, block.rows);
    const changes = new RowSum();
    sumChanges(block.bytes, block.start, block.rows, changes);
    this.blocks.append(block.firstMain, block.firstSub);
    this.bytes += key.length + block.end - block.start;
    const stored = block.bytes.subarray(block.start, block.end);
    this.backend.putBlock(key, stored, block.lastMain, changes);
  }

  /** The payload of a row that has been written, or undefined when it is not stored. The bytes stay valid. */
  get(main: number, sub: number): Uint8Array | undefined {
    const block = this.blocks.find(main, sub);
    if (block < 0 || !this.pointAt(block, main, sub)) return undefined;
    const reader = this.point;
    while (!isAt(reader, main, sub)) {
      if (reader.isAtEnd || isPast(reader, main, sub)) return undefined;
      this.step(reader);
    }
    const payload = this.payload(reader);
    return this.isPointCached ? copyOf(payload) : payload;
  }

  /** Makes `point` read the block from a row that is not behind (main, sub); false when the block is not written yet. */
  private pointAt(block: number, main: number, sub: number): boolean {
    if (this.pointBlock === block && !isPast(this.point, main, sub)) return true;
    const key = this.keyOf(block);
    const cached = this.cache.get(block);
    const bytes = cached ?? this.backend.readStored(key);
    if (bytes === undefined) return false;
    if (cached === undefined) this.cache.add(block, bytes);
    this.pointBlock = block;
    this.isPointCached = cached !== undefined;
    this.open(this.point, key, bytes);
    return true;
  }

  private forgetReads(): void {
    this.cache.clear();
    this.pointBlock = -1;
  }

  private forgetBlock(block: number): void {
    this.cache.remove(block);
    if (this.pointBlock === block) this.pointBlock = -1;
  }

  private keyOf(block: number): Uint8Array {
    return blockKey(this.blocks.main(block), this.blocks.sub(block));
  }

  private openBlock(key: Uint8Array, bytes: Uint8Array): BlockReader {
    const reader = new BlockReader();
    this.open(reader, key, bytes);
    return reader;
  }

  private open(reader: BlockReader, key: Uint8Array, bytes: Uint8Array): void {
    if (!reader.open(key, bytes)) this.backend.corrupt(`the head of block ${hexOf(key)}`);
  }

  private step(reader: BlockReader): void {
    if (!reader.next()) this.backend.corrupt(`the block around revision ${String(reader.main)}`);
  }

  private corruptRow(reader: BlockReader): never {
    return this.backend.corrupt(`the row of revision ${String(reader.main)}.${String(reader.sub)}`);
  }

  private payload(reader: BlockReader): Uint8Array {
    const payload = reader.payload();
    if (payload !== null) return payload;
    return this.corruptRow(reader);
  }

  /**
   * Shows all rows in order, each verified, rebuilds the index of blocks with them and hands their sum to `done`. The
   * reader stands on the row and goes on after the call.
   */
  load(
    onRow: (row: BlockReader) => void,
    done: (error: Error | null, changes: RowSum) => void,
  ): void {
    this.blocks.clear();
    this.bytes = 0;
    this.forgetReads();
    const changes = new RowSum();
    const reader = new BlockReader();
    this.backend.scan(
      Uint8Array.of(Bucket.key),
      Uint8Array.of(Bucket.key + 1),
      SCAN_BLOCKS,
      (key, bytes) => {
        this.open(reader, key, bytes);
        if (reader.isAtEnd) return true;
        this.blocks.append(readU64(key, 1), readU64(key, 10));
        this.bytes += key.length + bytes.length;
        while (!reader.isAtEnd) {
          this.step(reader);
          if (!reader.isIntact()) this.corruptRow(reader);
          changes.addChange(reader.main, reader.sub, reader.checksum);
          onRow(reader);
        }
        return true;
      },
      (error) => done(error, changes),
    );
  }

  /**
   * Shows the rows of the revisions [fromMain, toMain] in order, in slices, until `onRow` returns false.
   *
   * Requires: they have been flushed before the call.
   */
  forEach(fromMain: number, toMain: number, onRow: OnRow, done: Done): void {
    const first = Math.max(0, this.blocks.find(fromMain, 0));
    const gte = this.blocks.size === 0 ? Uint8Array.of(Bucket.key) : this.keyOf(first);
    this.scan(gte, (_key, _bytes, reader) => this.visit(reader, fromMain, toMain, onRow), done);
  }

  private visit(reader: BlockReader, fromMain: number, toMain: number, onRow: OnRow): boolean {
    while (!reader.isAtEnd) {
      this.step(reader);
      if (reader.main < fromMain) continue;
      if (reader.main > toMain) return false;
      if (!onRow(reader.main, reader.sub, reader.tombstone, this.payload(reader))) return false;
    }
    return true;
  }

  private scan(
    gte: Uint8Array,
    onBlock: (key: Uint8Array, bytes: Uint8Array, reader: BlockReader) => boolean,
    done: Done,
  ): void {
    const lt = Uint8Array.of(Bucket.key + 1);
    this.backend.scan(
      gte,
      lt,
      SCAN_BLOCKS,
      (key, bytes) => onBlock(key, bytes, this.openBlock(key, bytes)),
      done,
    );
  }

  // ---- compaction ----

  /** Notes that a row is not needed any more. */
  markRemovable(main: number, sub: number): void {
    this.blocks.markDirty(this.blocks.find(main, sub));
  }

  /**
   * Takes the rows that `isKept` refuses out of the marked blocks from number `from` on, until about `maxRows`
   * rows were looked at. The caller writes the result before it continues.
   */
  rewrite(from: number, maxRows: number, isKept: OnRow): Rewrite {
    const result: Rewrite = { puts: [], deletes: [], changes: new RowSum(), nextBlock: -1 };
    let left = maxRows;
    for (let block = from; block < this.blocks.size; block++) {
      if (!this.blocks.isDirty(block)) continue;
      if (left <= 0) {
        result.nextBlock = block;
        break;
      }
      left -= this.rewriteBlock(block, isKept, result);
    }
    return result;
  }

  private rewriteBlock(block: number, isKept: OnRow, result: Rewrite): number {
    const key = this.keyOf(block);
    const bytes = this.backend.readStored(key);
    if (bytes === undefined) return this.backend.missing(`block ${hexOf(key)}`);
    const reader = this.openBlock(key, bytes);
    const before = bytes.length;
    const kept: Uint8Array[] = [];
    let rows = 0;
    for (; !reader.isAtEnd; rows++) {
      this.step(reader);
      const payload = this.payload(reader);
      if (isKept(reader.main, reader.sub, reader.tombstone, payload)) kept.push(reader.whole());
      else result.changes.removeChange(reader.main, reader.sub, reader.checksum);
    }
    this.forgetBlock(block);
    if (kept.length > 0) {
      const value = makeBlock(key, kept);
      result.puts.push({ key, value });
      this.blocks.markClean(block);
      this.bytes -= before - value.length;
    } else {
      result.deletes.push(key);
      this.blocks.markGone(block);
      this.bytes -= before + key.length;
    }
    return rows;
  }

  /** Forgets the blocks that `rewrite` removed. */
  finishRewrite(): void {
    this.blocks.dropGone();
    this.forgetReads();
  }
}

/** The engine key of the block that begins with a row. */
export function blockKey(main: number, sub: number): Uint8Array {
  const key = Buffer.allocUnsafe(1 + REVISION_BYTES);
  key[0] = Bucket.key;
  writeRevisionKey(key, 1, main, sub, false);
  return key;
}

function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafe(bytes.length);
  copy.set(bytes);
  return copy;
}

function hexOf(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

function isAt(reader: BlockReader, main: number, sub: number): boolean {
  return reader.main === main && reader.sub === sub;
}

/** True when the reader has passed the place of the row. */
function isPast(reader: BlockReader, main: number, sub: number): boolean {
  return reader.main > main || (reader.main === main && reader.sub > sub);
}
