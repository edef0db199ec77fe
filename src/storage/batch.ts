import type { EngineBatch } from './engine.js';
import { ROW_OVERHEAD_BYTES } from './limits.js';
import { sealRow } from './stored-row.js';
import { RowSum } from './witness.js';

export interface PutRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Changes of one key of an overlaid bucket; null payload means deleted. */
export interface Overlaid {
  readonly key: Uint8Array;
  readonly payload: Uint8Array | null;
}

/** Changes on their way to the engine, which takes them as one. Called by backend.ts. */
export class Batch {
  readonly rows: PutRow[] = [];
  readonly deletes: Uint8Array[] = [];
  /** By the key as text; what is here is read before the engine is asked. */
  readonly overlay = new Map<string, Overlaid>();
  /** Changes of `rows` and `deletes` to the key bucket. */
  readonly changes = new RowSum();
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

  putBlock(row: PutRow): void {
    this.rows.push(row);
    this.bytes += row.key.length + row.value.length + ROW_OVERHEAD_BYTES;
  }

  deleteBlock(key: Uint8Array): void {
    this.deletes.push(key);
    this.bytes += key.length + ROW_OVERHEAD_BYTES;
  }

  /** Appends a later batch to this one. */
  merge(later: Batch): void {
    for (const row of later.rows) this.rows.push(row);
    for (const key of later.deletes) this.deletes.push(key);
    for (const [name, change] of later.overlay) this.overlay.set(name, change);
    for (const written of later.written) this.written.push(written);
    this.changes.addSum(later.changes);
    this.bytes += later.bytes;
    this.lastMain = Math.max(this.lastMain, later.lastMain);
    this.appliedIndex = Math.max(this.appliedIndex, later.appliedIndex);
  }

  /** The batch as the engine takes it. Called once: it adds to `rows` and `deletes`. */
  forEngine(): EngineBatch {
    const { rows: puts, deletes } = this;
    for (const { key, payload } of this.overlay.values()) {
      if (payload === null) deletes.push(key);
      else puts.push({ key, value: sealRow(key, payload) });
    }
    return { puts, deletes };
  }
}

/** The key as text, one character a byte. */
export function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
