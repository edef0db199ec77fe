import { invariant } from '../base/invariant.js';
import {
  BLOCK_HEAD_BYTES,
  CHECKSUM_BYTES,
  finishRow,
  isTombstoneAt,
  payloadBytesAt,
  ROW_HEAD_BYTES,
} from './row-block.js';
import { ROW_BLOCK_BYTES, SLAB_BYTES_MAX, SLABS_MIN } from './limits.js';

/**
 * Recent rows in large slabs, indexed by revision without an object per row. Rows are laid out as
 * the blocks that go to the engine. So the bytes of a row are written once and serve the engine,
 * reads and watchers.
 *
 * Rows are appended in revision order, and a full slab is closed. The oldest slab is dropped as a
 * whole once the budget is exceeded and everything in it has reached the engine. A slab's bytes are
 * never written twice, so a view handed out stays valid for as long as it is held.
 *
 * Called by store.ts and write-txn.ts.
 */

const FIRST_ROWS = 512;
/** Bytes a row's index entry takes, counted in the budget. */
const ENTRY_BYTES = 16;

class Slab {
  readonly bytes: Buffer;
  mains = new Float64Array(FIRST_ROWS);
  subs = new Uint32Array(FIRST_ROWS);
  /** Offset at which each row's payload begins. */
  starts = new Uint32Array(FIRST_ROWS);
  rows = 0;
  used = 0;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  get sizeBytes(): number {
    return this.bytes.length + this.mains.length * ENTRY_BYTES;
  }

  payload(row: number): Uint8Array {
    const start = this.starts[row] as number;
    return this.bytes.subarray(start, start + payloadBytesAt(this.bytes, start));
  }

  /** The first row at or after (main, sub). */
  lowerBound(main: number, sub: number): number {
    let low = 0;
    let high = this.rows;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const m = this.mains[middle] as number;
      if (m < main || (m === main && (this.subs[middle] as number) < sub)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** One cached row, as `scan` shows it. */
export interface CachedRow {
  main: number;
  sub: number;
  tombstone: boolean;
  payload: Uint8Array;
}

/** A closed block: its rows are bytes[start, end) behind room for the head. */
export interface ClosedBlock {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly rows: number;
  readonly firstMain: number;
  readonly firstSub: number;
  readonly lastMain: number;
}

export class ValueCache {
  private readonly slabs: Slab[] = [];
  private readonly budgetBytes: number;
  private readonly slabBytes: number;
  private readonly onBlock: (block: ClosedBlock) => void;
  private slab: Slab;
  /** Bytes of slabs and their index, full or not. */
  sizeBytes = 0;

  /** Offset of the open block in the current slab, -1 for none; then its first row's number. */
  private blockStart = -1;
  private blockRow = 0;

  /** `onBlock` gets every block when it is closed, in order. */
  constructor(budgetBytes: number, onBlock: (block: ClosedBlock) => void) {
    this.budgetBytes = budgetBytes;
    this.slabBytes = Math.min(SLAB_BYTES_MAX, Math.floor(budgetBytes / SLABS_MIN));
    this.onBlock = onBlock;
    this.slab = new Slab(0);
  }

  /** The bytes to write the next row's payload into at `payloadOffset`; room for `payloadMax` is there. */
  reserve(payloadMax: number): Buffer {
    const needed = BLOCK_HEAD_BYTES + ROW_HEAD_BYTES + payloadMax + CHECKSUM_BYTES;
    if (this.slab.used + needed > this.slab.bytes.length)
      this.openSlab(Math.max(this.slabBytes, needed));
    if (this.blockStart < 0) {
      this.blockStart = this.slab.used;
      this.blockRow = this.slab.rows;
      this.slab.used += BLOCK_HEAD_BYTES;
    }
    return this.slab.bytes;
  }

  get payloadOffset(): number {
    return this.slab.used + ROW_HEAD_BYTES;
  }

  private openSlab(sizeBytes: number): void {
    this.closeBlock();
    this.slab = new Slab(sizeBytes);
    this.slabs.push(this.slab);
    this.sizeBytes += this.slab.sizeBytes;
  }

  /**
   * Makes the bytes from `payloadOffset` to `payloadEnd` the row of (main, sub).
   *
   * Requires: `reserve` before, and (main, sub) above every row before.
   */
  commit(main: number, sub: number, tombstone: boolean, payloadEnd: number): void {
    const slab = this.slab;
    const row = slab.rows;
    invariant(this.blockStart >= 0, 'a row was committed without room for it');
    invariant(isBehind(slab, main, sub), 'a row was committed before a newer one');
    if (row === slab.mains.length) {
      this.sizeBytes -= slab.sizeBytes;
      grow(slab);
      this.sizeBytes += slab.sizeBytes;
    }
    slab.mains[row] = main;
    slab.subs[row] = sub;
    slab.starts[row] = slab.used + ROW_HEAD_BYTES;
    slab.rows = row + 1;
    slab.used = finishRow(slab.bytes, slab.used, payloadEnd, main, sub, tombstone);
    if (slab.used - this.blockStart >= ROW_BLOCK_BYTES) this.closeBlock();
  }

  /** Ends the open block, if there is one. */
  closeBlock(): void {
    if (this.blockStart < 0) return;
    const slab = this.slab;
    const block = {
      bytes: slab.bytes,
      start: this.blockStart,
      end: slab.used,
      rows: slab.rows - this.blockRow,
      firstMain: slab.mains[this.blockRow] as number,
      firstSub: slab.subs[this.blockRow] as number,
      lastMain: slab.mains[slab.rows - 1] as number,
    };
    this.blockStart = -1;
    if (block.rows > 0) this.onBlock(block);
  }

  /** Drops the oldest slabs over the budget, but none with a row above main revision `writtenMain`. */
  trim(writtenMain: number): void {
    let dropped = 0;
    while (this.sizeBytes > this.budgetBytes && dropped < this.slabs.length - 1) {
      const slab = this.slabs[dropped] as Slab;
      if ((slab.mains[slab.rows - 1] as number) > writtenMain) break;
      this.sizeBytes -= slab.sizeBytes;
      dropped++;
    }
    if (dropped > 0) this.slabs.splice(0, dropped);
  }

  /** The encoded row of (main, sub), or undefined when it is not cached. */
  find(main: number, sub: number): Uint8Array | undefined {
    const slab = this.slabFor(main, sub);
    if (slab === undefined) return undefined;
    const row = slab.lowerBound(main, sub);
    if (row === slab.rows || slab.mains[row] !== main || slab.subs[row] !== sub) return undefined;
    return slab.payload(row);
  }

  /** The last slab that begins at or before (main, sub). */
  private slabFor(main: number, sub: number): Slab | undefined {
    const slabs = this.slabs;
    let low = 0;
    let high = slabs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const slab = slabs[middle] as Slab;
      const first = slab.mains[0] as number;
      if (first < main || (first === main && (slab.subs[0] as number) <= sub)) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : slabs[low - 1];
  }

  /** Every revision from here on is cached completely; Infinity when nothing is cached. */
  get completeFrom(): number {
    const first = this.slabs[0];
    if (first === undefined || first.rows === 0) return Infinity;
    return first.subs[0] === 0 ? (first.mains[0] as number) : (first.mains[0] as number) + 1;
  }

  /** Shows rows from revision `fromMain` on in order until `visit` returns false. */
  scan(fromMain: number, visit: (row: CachedRow) => boolean): void {
    for (const slab of this.slabs) {
      if (slab.rows === 0 || (slab.mains[slab.rows - 1] as number) < fromMain) continue;
      for (let i = slab.lowerBound(fromMain, 0); i < slab.rows; i++) {
        const row = {
          main: slab.mains[i] as number,
          sub: slab.subs[i] as number,
          tombstone: isTombstoneAt(slab.bytes, slab.starts[i] as number),
          payload: slab.payload(i),
        };
        if (!visit(row)) return;
      }
    }
  }

  clear(): void {
    this.slabs.length = 0;
    this.slab = new Slab(0);
    this.sizeBytes = 0;
    this.blockStart = -1;
  }
}

/** True when (main, sub) lies behind the slab's last row. */
function isBehind(slab: Slab, main: number, sub: number): boolean {
  const last = slab.rows - 1;
  if (last < 0) return true;
  const before = slab.mains[last] as number;
  return before < main || (before === main && (slab.subs[last] as number) < sub);
}

function grow(slab: Slab): void {
  const capacity = slab.rows * 2;
  const { mains, subs, starts } = slab;
  slab.mains = new Float64Array(capacity);
  slab.subs = new Uint32Array(capacity);
  slab.starts = new Uint32Array(capacity);
  slab.mains.set(mains);
  slab.subs.set(subs);
  slab.starts.set(starts);
}
