/**
 * Items under ascending numbers of 32 bits (which may wrap), oldest first, in one array that is reused.
 *
 * Not a Map: one that is filled and emptied all the time leaves the collector a trail of abandoned
 * tables. Each points to the next and to the items it held. As soon as one of them has reached the
 * old generation, all that follow get there too, with all their items. Called by proposal-queue.ts.
 */
const FIRST_SLOTS = 1024;

export class SequenceRing<T> {
  private slots = new Array<T | undefined>(FIRST_SLOTS).fill(undefined);
  private first = 0;
  /** Numbers from the oldest item to the newest, absent ones included. */
  private span = 0;
  size = 0;

  /** Requires: `sequence` is ahead of every number before. */
  add(sequence: number, item: T): void {
    if (this.span === 0) this.first = sequence;
    const offset = (sequence - this.first) >>> 0;
    while (offset >= this.slots.length) this.grow();
    this.slots[sequence & (this.slots.length - 1)] = item;
    this.span = offset + 1;
    this.size++;
  }

  private grow(): void {
    const old = this.slots;
    const slots = new Array<T | undefined>(old.length * 2).fill(undefined);
    for (let i = 0; i < this.span; i++) {
      const sequence = (this.first + i) >>> 0;
      slots[sequence & (slots.length - 1)] = old[sequence & (old.length - 1)];
    }
    this.slots = slots;
  }

  /** Removes and returns the item; undefined when there is none. */
  take(sequence: number): T | undefined {
    if ((sequence - this.first) >>> 0 >= this.span) return undefined;
    const slot = sequence & (this.slots.length - 1);
    const item = this.slots[slot];
    if (item === undefined) return undefined;
    this.slots[slot] = undefined;
    this.size--;
    this.skipAbsent();
    return item;
  }

  private skipAbsent(): void {
    const mask = this.slots.length - 1;
    while (this.span > 0 && this.slots[this.first & mask] === undefined) {
      this.first = (this.first + 1) >>> 0;
      this.span--;
    }
  }

  /** The oldest item. */
  peek(): T | undefined {
    return this.span === 0 ? undefined : this.slots[this.first & (this.slots.length - 1)];
  }

  /** Removes the oldest item. Requires: there is one. */
  shift(): void {
    this.take(this.first);
  }
}
