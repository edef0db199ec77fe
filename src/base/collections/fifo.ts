/** Entries taken out of the front of the array at once. */
const COMPACT_AT = 64;

/** A line, first come first served. Unlike an array's `shift`, taking the first costs the same however long it is. */
export class Fifo<T> {
  private readonly entries: T[] = [];
  private next = 0;

  get isEmpty(): boolean {
    return this.next === this.entries.length;
  }

  get first(): T | undefined {
    return this.entries[this.next];
  }

  push(entry: T): void {
    this.entries.push(entry);
  }

  shift(): T | undefined {
    const entry = this.entries[this.next];
    if (entry === undefined) return undefined;
    this.next++;
    if (this.isEmpty) {
      this.entries.length = 0;
      this.next = 0;
    } else if (this.next >= COMPACT_AT && this.next * 2 >= this.entries.length) {
      this.entries.splice(0, this.next);
      this.next = 0;
    }
    return entry;
  }

  /** Puts another entry in the place of the first. Requires: there is one. */
  replaceFirst(entry: T): void {
    this.entries[this.next] = entry;
  }

  clear(): void {
    this.entries.length = 0;
    this.next = 0;
  }
}
