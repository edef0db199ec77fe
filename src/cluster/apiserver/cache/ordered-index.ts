import { invariant } from '../../../base/invariant.js';
import type { StoredObject } from '../storage/stored-object.js';

/** Objects of one chunk: large enough that there are few chunks, small enough to copy at a change. */
const CHUNK_MAX = 128;

interface Chunk {
  /** Sorted by key; never empty. */
  readonly items: StoredObject[];
  /** A snapshot holds it too, so that a change copies it first. */
  isShared: boolean;
}

/**
 * Objects in the order of their keys, with snapshots that cost a pointer a chunk.
 *
 * A snapshot is another index; both may be changed from then on, and neither sees the other's
 * changes.
 */
export class OrderedIndex {
  private chunks: Chunk[] = [];
  private count = 0;

  get size(): number {
    return this.count;
  }

  get(key: string): StoredObject | undefined {
    const chunk = this.chunks[this.chunkOf(key)];
    if (chunk === undefined) return undefined;
    const found = chunk.items[lowerBound(chunk.items, key)];
    return found?.key === key ? found : undefined;
  }

  set(stored: StoredObject): void {
    const { key } = stored;
    const at = Math.min(this.chunkOf(key), this.chunks.length - 1);
    if (at < 0) {
      this.chunks.push({ items: [stored], isShared: false });
      this.count = 1;
      return;
    }
    const { items } = this.own(at);
    const place = lowerBound(items, key);
    if (items[place]?.key === key) {
      items[place] = stored;
      return;
    }
    items.splice(place, 0, stored);
    this.count++;
    if (items.length > CHUNK_MAX) {
      const upper = items.splice(CHUNK_MAX / 2);
      this.chunks.splice(at + 1, 0, { items: upper, isShared: false });
    }
  }

  delete(key: string): void {
    const at = this.chunkOf(key);
    const chunk = this.chunks[at];
    if (chunk === undefined) return;
    const place = lowerBound(chunk.items, key);
    if (chunk.items[place]?.key !== key) return;
    this.count--;
    invariant(this.count >= 0, 'an index never counts below zero');
    if (chunk.items.length === 1) this.chunks.splice(at, 1);
    else this.own(at).items.splice(place, 1);
  }

  /** Objects whose keys begin with `prefix` and are not below `from`, in order. */
  *scan(prefix: string, from = prefix): Generator<StoredObject, void, undefined> {
    const start = from > prefix ? from : prefix;
    for (let at = this.chunkOf(start); at < this.chunks.length; at++) {
      const items = this.chunks[at]?.items ?? [];
      for (let i = lowerBound(items, start); i < items.length; i++) {
        const stored = items[i];
        if (stored === undefined || !stored.key.startsWith(prefix)) return;
        yield stored;
      }
    }
  }

  /** Number of keys that begin with `prefix` and are not below `from`. */
  countFrom(prefix: string, from: string): number {
    // No key holds a character above this one.
    const end = prefix === '' ? this.count : this.rank(`${prefix}\uffff`);
    return Math.max(0, end - this.rank(from > prefix ? from : prefix));
  }

  snapshot(): OrderedIndex {
    const copy = new OrderedIndex();
    for (const chunk of this.chunks) chunk.isShared = true;
    copy.chunks = [...this.chunks];
    copy.count = this.count;
    return copy;
  }

  private rank(key: string): number {
    const at = this.chunkOf(key);
    let rank = 0;
    for (let i = 0; i < at; i++) rank += this.chunks[i]?.items.length ?? 0;
    const chunk = this.chunks[at];
    return chunk === undefined ? rank : rank + lowerBound(chunk.items, key);
  }

  /** Index of the first chunk whose last key is not below `key`; the number of chunks when there is none. */
  private chunkOf(key: string): number {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const last = this.chunks[middle]?.items.at(-1);
      if (last !== undefined && last.key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private own(at: number): Chunk {
    const chunk = this.chunks[at];
    invariant(chunk !== undefined, 'a chunk that is changed exists');
    if (!chunk.isShared) return chunk;
    const copy = { items: [...chunk.items], isShared: false };
    this.chunks[at] = copy;
    return copy;
  }
}

/** Index of the first item whose key is not below `key`. */
function lowerBound(items: readonly StoredObject[], key: string): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item !== undefined && item.key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
