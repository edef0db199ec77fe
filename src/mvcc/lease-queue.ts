/** What the queue orders. It keeps `queueIndex` for itself: -1 while not queued. */
export interface Queued {
  dueMs: number;
  queueIndex: number;
}

/** Together 53 bits: about 99 days, and a million items. */
const SORT_SPAN_MS = 2 ** 33;
const SORT_PLACES = 2 ** 20;

/** A binary heap by `dueMs` whose items know their place, so that any of them moves or leaves in O(log n). */
export class LeaseQueue<T extends Queued> {
  private readonly heap: T[] = [];

  get size(): number {
    return this.heap.length;
  }

  /** The item due first. */
  get first(): T | undefined {
    return this.heap[0];
  }

  /** Adds the item, or moves it to where its `dueMs`, now `dueMs`, belongs. */
  put(item: T, dueMs: number): void {
    item.dueMs = dueMs;
    if (item.queueIndex < 0) {
      item.queueIndex = this.heap.length;
      this.heap.push(item);
    }
    this.rise(item);
    this.sink(item);
  }

  /** Takes the item out; no effect when it is not queued. */
  remove(item: T): void {
    const index = item.queueIndex;
    if (index < 0) return;
    item.queueIndex = -1;
    const last = this.heap.pop();
    if (last === undefined || last === item) return;
    this.heap[index] = last;
    last.queueIndex = index;
    this.rise(last);
    this.sink(last);
  }

  clear(): void {
    for (const item of this.heap) item.queueIndex = -1;
    this.heap.length = 0;
  }

  /** Fills the empty queue. Requires: `items` are in the order of `dueMs` and not queued. */
  fill(items: readonly T[]): void {
    for (const item of items) {
      item.queueIndex = this.heap.length;
      this.heap.push(item);
    }
  }

  /**
   * Items in the order they become due, to the millisecond.
   *
   * Time and place of an item are packed into one number, because sorting numbers is many times faster than
   * sorting objects; items due in the far future, or too many items, make that impossible.
   */
  sorted(): T[] {
    const { heap } = this;
    const firstMs = heap[0]?.dueMs ?? 0;
    const keys = new Float64Array(heap.length);
    let fits = heap.length <= SORT_PLACES;
    for (let i = 0; i < heap.length && fits; i++) {
      const sinceFirstMs = Math.floor((heap[i]?.dueMs ?? 0) - firstMs);
      keys[i] = sinceFirstMs * SORT_PLACES + i;
      fits = sinceFirstMs < SORT_SPAN_MS;
    }
    if (!fits) return heap.slice().sort((a, b) => a.dueMs - b.dueMs);
    const items: T[] = [];
    for (const key of keys.sort()) {
      const item = heap[key % SORT_PLACES];
      if (item !== undefined) items.push(item);
    }
    return items;
  }

  private rise(item: T): void {
    const { heap } = this;
    let index = item.queueIndex;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex];
      if (parent === undefined || parent.dueMs <= item.dueMs) break;
      heap[index] = parent;
      parent.queueIndex = index;
      index = parentIndex;
    }
    heap[index] = item;
    item.queueIndex = index;
  }

  private sink(item: T): void {
    const { heap } = this;
    let index = item.queueIndex;
    for (;;) {
      const leftIndex = 2 * index + 1;
      let child = heap[leftIndex];
      if (child === undefined) break;
      let childIndex = leftIndex;
      const right = heap[leftIndex + 1];
      if (right !== undefined && right.dueMs < child.dueMs) {
        child = right;
        childIndex = leftIndex + 1;
      }
      if (child.dueMs >= item.dueMs) break;
      heap[index] = child;
      child.queueIndex = index;
      index = childIndex;
    }
    heap[index] = item;
    item.queueIndex = index;
  }
}
