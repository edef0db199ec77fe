import type { Done } from '../env/env.js';
import type { Backend } from './backend.js';
import { BlockIndex } from './block-index.js';
import { BlockReader, finishBlock, makeBlock } from './row-block.js';
import { readU64, REVISION_BYTES, writeRevisionKey } from './revision.js';
import type { ClosedBlock } from './value-cache.js';

/**
 * The key bucket: all changes in revision order, stored as blocks (row-block.ts) and found through an index of where
 * blocks begin.
 *
 * Rows are verified one by one as they are read; damage stops the process. Called by store.ts, hash.ts, history.ts
 * and compaction.ts.
 */

/** The key bucket's prefix: the lowest one, so that fresh blocks never overlap the range of older files. */
export const KEY_BUCKET = 0x6b;
/** Blocks per step of a scan: a few milliseconds of work. */
const SCAN_BLOCKS = 64;
/** Blocks kept after point reads; a power of two. */
const READ_BLOCKS = 512;

export type OnRow = (main: number, sub: number, tombstone: boolean, payload: Uint8Array) => boolean;

/** What one slice of removing rows did. */
export interface Rewrite {
  readonly puts: { readonly key: Uint8Array; readonly value: Uint8Array }[];
  readonly deletes: Uint8Array[];
  /** Block to continue at, -1 when all are done. */
  nextBlock: number;
}

export class RowLog {
  private readonly backend: Backend;
  private readonly blocks = new BlockIndex();
  /** Bytes of the blocks that are stored or about to be. */
  bytes = 0;
  // Blocks read lately, each in the place its number gives: neighbours in key order often share a block.
  private readonly readNumbers = new Int32Array(READ_BLOCKS).fill(-1);
  private readonly readBytes: (Uint8Array | undefined)[] = new Array<undefined>(READ_BLOCKS).fill(
    undefined,
  );

  // Where the last point read stopped.
  private lastReader: BlockReader | null = null;
  private lastBlock = -1;
  private lastBytes: Uint8Array | null = null;

  constructor(backend: Backend) {
    this.backend = backend;
  }

  /** Adds a block behind all others to the open batch. */
  add(block: ClosedBlock): void {
    const key = blockKey(block.firstMain, block.firstSub);
    finishBlock(key, block.bytes, block.start, block.end, block.rows);
    this.blocks.append(block.firstMain, block.firstSub);
    this.bytes += key.length + block.end - block.start;
    this.backend.putBlock(key, block.bytes.subarray(block.start, block.end), block.lastMain);
  }

  /** The payload of a row that has been written, or undefined when it is not stored. */
  get(main: number, sub: number): Uint8Array | undefined {
    const block = this.blocks.find(main, sub);
    if (block < 0) return undefined;
    const bytes = this.readBlock(block);
    if (bytes === undefined) return undefined;
    const reader = this.readerAt(block, bytes, main, sub);
    while (!isAt(reader, main, sub)) {
      if (reader.isAtEnd || isPast(reader, main, sub)) return undefined;
      this.step(reader);
    }
    return this.payload(reader);
  }

  /**
   * A reader of the block that has not passed the row: where the last one stopped, if it stopped in this block before
   * the row, since lists in key order often read a block's rows one after the other.
   */
  private readerAt(block: number, bytes: Uint8Array, main: number, sub: number): BlockReader {
    const last = this.lastReader;
    if (last !== null && this.lastBlock === block && this.lastBytes === bytes) {
      if (!isPast(last, main, sub)) return last;
    }
    const reader = this.openBlock(this.keyOf(block), bytes);
    this.lastReader = reader;
    this.lastBlock = block;
    this.lastBytes = bytes;
    return reader;
  }

  private readBlock(block: number): Uint8Array | undefined {
    const place = block & (READ_BLOCKS - 1);
    if (this.readNumbers[place] === block) return this.readBytes[place];
    const bytes = this.backend.engine.get(this.keyOf(block));
    // A block that is not written yet must not be remembered as absent.
    if (bytes === undefined) return undefined;
    this.readNumbers[place] = block;
    this.readBytes[place] = bytes;
    return bytes;
  }

  private forgetReads(): void {
    this.readNumbers.fill(-1);
    this.readBytes.fill(undefined);
    this.lastReader = null;
    this.lastBytes = null;
  }

  private keyOf(block: number): Uint8Array {
    return blockKey(this.blocks.main(block), this.blocks.sub(block));
  }

  private openBlock(key: Uint8Array, bytes: Uint8Array): BlockReader {
    const reader = new BlockReader();
    if (!reader.open(key, bytes)) this.backend.corrupt(`the head of block ${hexOf(key)}`);
    return reader;
  }

  private step(reader: BlockReader): void {
    if (!reader.next()) this.backend.corrupt(`the block around revision ${String(reader.main)}`);
  }

  private payload(reader: BlockReader): Uint8Array {
    const payload = reader.payload();
    if (payload !== null) return payload;
    return this.backend.corrupt(`the row of revision ${String(reader.main)}.${String(reader.sub)}`);
  }

  /** Reads all rows in order and rebuilds the index of blocks with them. */
  load(onRow: OnRow, done: Done): void {
    this.blocks.clear();
    this.bytes = 0;
    this.forgetReads();
    this.scan(
      Uint8Array.of(KEY_BUCKET),
      (key, bytes, reader) => {
        if (!reader.isAtEnd) {
          this.blocks.append(readU64(key, 1), readU64(key, 10));
          this.bytes += key.length + bytes.length;
        }
        return this.visit(reader, 0, Infinity, onRow);
      },
      done,
    );
  }

  /**
   * Shows the rows of the revisions [fromMain, toMain] in order, in slices, until `onRow` returns false.
   *
   * Requires: they have been flushed before the call.
   */
  forEach(fromMain: number, toMain: number, onRow: OnRow, done: Done): void {
    const first = Math.max(0, this.blocks.find(fromMain, 0));
    const gte = this.blocks.size === 0 ? Uint8Array.of(KEY_BUCKET) : this.keyOf(first);
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
    const lt = Uint8Array.of(KEY_BUCKET + 1);
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
    const result: Rewrite = { puts: [], deletes: [], nextBlock: -1 };
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
    const bytes = this.backend.engine.get(key);
    if (bytes === undefined) return this.backend.missing(`block ${hexOf(key)}`);
    const reader = this.openBlock(key, bytes);
    const before = bytes.length;
    const kept: Uint8Array[] = [];
    let rows = 0;
    for (; !reader.isAtEnd; rows++) {
      this.step(reader);
      const payload = this.payload(reader);
      if (isKept(reader.main, reader.sub, reader.tombstone, payload)) kept.push(reader.whole());
    }
    const place = block & (READ_BLOCKS - 1);
    if (this.readNumbers[place] === block) this.readNumbers[place] = -1;
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
  key[0] = KEY_BUCKET;
  writeRevisionKey(key, 1, main, sub, false);
  return key;
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
