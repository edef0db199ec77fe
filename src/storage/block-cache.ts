import { LARGE_BLOCK_PART, SLAB_BYTES_MAX, SLABS_MIN } from './limits.js';

/**
 * Blocks of the key bucket that were read lately, by their number. Rows that are neighbours by key
 * lie in blocks all over the bucket, so that a list comes back to each block several times.
 *
 * Bytes are copied into large slabs, so that thousands of blocks cost the garbage collector a few objects. Over the
 * budget the oldest slab is written again: new ones all the time would make the collector run for them. Called by
 * row-log.ts.
 */

const FIRST_BLOCKS = 1024;
const ABSENT = -1;

export class BlockCache {
  private readonly slabBytes: number;
  private readonly slabsMax: number;
  private slabs: Buffer[] = [];
  /** Slabs begun so far; the newest one has this number less 1 and lies at that number modulo `slabsMax`. */
  private begun = 0;
  /** Bytes used of the newest slab. */
  private used = 0;
  // Place of each block: slab, first byte, end. A number is never used again, so that writing a
  // slab again leaves the entries as they are.
  private slabOf = new Int32Array(FIRST_BLOCKS).fill(ABSENT);
  private starts = new Uint32Array(FIRST_BLOCKS);
  private ends = new Uint32Array(FIRST_BLOCKS);

  constructor(budgetBytes: number) {
    this.slabBytes = Math.min(SLAB_BYTES_MAX, Math.ceil(budgetBytes / SLABS_MIN));
    this.slabsMax = Math.max(1, Math.floor(budgetBytes / this.slabBytes));
  }

  /** The block's bytes, valid until the next `add`; undefined when they are not kept. */
  get(block: number): Uint8Array | undefined {
    if (block >= this.slabOf.length) return undefined;
    const slab = this.slabOf[block] as number;
    if (slab < 0 || slab < this.begun - this.slabsMax) return undefined;
    return this.slabs[slab % this.slabsMax]?.subarray(this.starts[block], this.ends[block]);
  }

  /** Keeps a copy of the block's bytes, unless they are large. */
  add(block: number, bytes: Uint8Array): void {
    if (bytes.length > this.slabBytes / LARGE_BLOCK_PART) return;
    if (block >= this.slabOf.length) this.grow(block + 1);
    if (this.begun === 0 || this.used + bytes.length > this.slabBytes) this.beginSlab();
    const slab = this.begun - 1;
    (this.slabs[slab % this.slabsMax] as Buffer).set(bytes, this.used);
    this.slabOf[block] = slab;
    this.starts[block] = this.used;
    this.used += bytes.length;
    this.ends[block] = this.used;
  }

  private beginSlab(): void {
    if (this.slabs.length < this.slabsMax) this.slabs.push(Buffer.allocUnsafeSlow(this.slabBytes));
    this.begun++;
    this.used = 0;
  }

  private grow(blocks: number): void {
    const size = Math.max(blocks, this.slabOf.length * 2);
    const { slabOf, starts, ends } = this;
    this.slabOf = new Int32Array(size).fill(ABSENT);
    this.starts = new Uint32Array(size);
    this.ends = new Uint32Array(size);
    this.slabOf.set(slabOf);
    this.starts.set(starts);
    this.ends.set(ends);
  }

  remove(block: number): void {
    if (block < this.slabOf.length) this.slabOf[block] = ABSENT;
  }

  clear(): void {
    this.slabs = [];
    this.begun = 0;
    this.slabOf.fill(ABSENT);
  }
}
