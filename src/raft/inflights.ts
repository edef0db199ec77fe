import { invariant, verification } from '../base/invariant.js';

/**
 * The append messages sent to one follower and not yet acknowledged: a ring of (last index, bytes),
 * bounded by count and by bytes. A message may overshoot the byte bound; the next one then waits.
 */
export class Inflights {
  private readonly maxMessages: number;
  private readonly maxBytes: number;
  private indexes: number[] = new Array<number>(8).fill(0);
  private sizes: number[] = new Array<number>(8).fill(0);
  private start = 0;
  count = 0;
  bytes = 0;

  constructor(maxMessages: number, maxBytes: number) {
    this.maxMessages = maxMessages;
    this.maxBytes = maxBytes;
  }

  full(): boolean {
    return this.count >= this.maxMessages || this.bytes >= this.maxBytes;
  }

  add(lastIndex: number, bytes: number): void {
    invariant(!this.full(), 'append sent beyond the window of a follower');
    invariant(bytes >= 0, 'append of {} bytes', bytes);
    if (verification.isOn) this.checkAfterLast(lastIndex);
    if (this.count === this.indexes.length) this.grow();
    const at = (this.start + this.count) & (this.indexes.length - 1);
    this.indexes[at] = lastIndex;
    this.sizes[at] = bytes;
    this.count++;
    this.bytes += bytes;
  }

  /** Releases every message whose last index is <= `index`. */
  freeTo(index: number): void {
    const mask = this.indexes.length - 1;
    while (this.count > 0 && (this.indexes[this.start] ?? 0) <= index) {
      this.bytes -= this.sizes[this.start] ?? 0;
      this.start = (this.start + 1) & mask;
      this.count--;
    }
    invariant(
      this.count > 0 ? this.bytes >= 0 : this.bytes === 0,
      '{} bytes under way in {} appends',
      this.bytes,
      this.count,
    );
  }

  reset(): void {
    this.start = 0;
    this.count = 0;
    this.bytes = 0;
  }

  private checkAfterLast(lastIndex: number): void {
    if (this.count === 0) return;
    const last = this.indexes[(this.start + this.count - 1) & (this.indexes.length - 1)] ?? 0;
    invariant(lastIndex > last, 'append up to {} sent after one up to {}', lastIndex, last);
  }

  /** The capacity stays a power of two, so that positions wrap with a mask. */
  private grow(): void {
    const old = this.indexes.length;
    const indexes = new Array<number>(old * 2).fill(0);
    const sizes = new Array<number>(old * 2).fill(0);
    for (let i = 0; i < this.count; i++) {
      indexes[i] = this.indexes[(this.start + i) & (old - 1)] ?? 0;
      sizes[i] = this.sizes[(this.start + i) & (old - 1)] ?? 0;
    }
    this.indexes = indexes;
    this.sizes = sizes;
    this.start = 0;
  }
}
