import { invariant } from '../base/invariant.js';
import { EntryType } from './types.js';
import type { Entry, Index } from './types.js';

const RELEASED: Entry = { term: 0, index: 0, type: EntryType.normal, data: new Uint8Array(0) };
const FIRST_SLOTS = 64;

/**
 * Consecutive entries as objects, the place of each given by its index.
 *
 * A ring, not a list that is cut. A replaced array that still refers to young objects keeps them
 * alive, and makes them old, until a full collection. For the same reason an entry that is dropped
 * leaves no reference.
 * Called by raft-log.ts only.
 */
export class EntryRing {
  /** A power of two of them. */
  private slots = new Array<Entry>(FIRST_SLOTS).fill(RELEASED);
  /** Index of the first entry, or of the next one when there is none. */
  first: Index;
  /** Index after the last entry. */
  end: Index;

  constructor(first: Index) {
    this.first = first;
    this.end = first;
  }

  get size(): number {
    return this.end - this.first;
  }

  get(index: Index): Entry | undefined {
    if (index < this.first || index >= this.end) return undefined;
    return this.slots[index & (this.slots.length - 1)];
  }

  push(entry: Entry): void {
    invariant(entry.index === this.end, 'entry {} follows {}', entry.index, this.end - 1);
    if (this.size === this.slots.length) this.grow();
    this.slots[entry.index & (this.slots.length - 1)] = entry;
    this.end++;
  }

  /** Drops the entries up to `index`. */
  dropTo(index: Index): void {
    const mask = this.slots.length - 1;
    for (; this.first <= index && this.first < this.end; this.first++) {
      this.slots[this.first & mask] = RELEASED;
    }
  }

  /** Drops the entries from `index` on. */
  dropFrom(index: Index): void {
    const mask = this.slots.length - 1;
    while (this.end > index && this.end > this.first) this.slots[--this.end & mask] = RELEASED;
  }

  /** Drops everything; the next entry has index `first`. */
  restart(first: Index): void {
    this.dropTo(this.end);
    this.first = first;
    this.end = first;
  }

  private grow(): void {
    const before = this.slots;
    const slots = new Array<Entry>(before.length * 2).fill(RELEASED);
    for (let index = this.first; index < this.end; index++) {
      slots[index & (slots.length - 1)] = before[index & (before.length - 1)] ?? RELEASED;
    }
    before.fill(RELEASED);
    this.slots = slots;
  }
}
