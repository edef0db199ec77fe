import { invariant, verification } from '../base/invariant.js';

/** Items at each end of the queue that a check looks at. */
const CHECKED_ITEMS = 32;

/** An item of the queue, which keeps `queueIndex` for itself: -1 while not queued. */
export interface Queued {
  dueMs: number;
  queueIndex: number;
}

/**
 * A binary heap by `dueMs` whose items store their place, so that any of them moves or leaves in
 * O(log n).
 */
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
    if (verification.isOn) this.check();
  }

  /** Takes the item out; no effect when it is not queued. */
  remove(item: T): void {
    const index = item.queueIndex;
    if (index < 0) return;
    item.queueIndex = -1;
    invariant(this.heap[index] === item, 'an item is not at its place {} in the queue', index);
    const last = this.heap.pop();
    if (last === undefined || last === item) return;
    this.heap[index] = last;
    last.queueIndex = index;
    this.rise(last);
    this.sink(last);
    if (verification.isOn) this.check();
  }

  /**
   * Asserts for the items near the top and the bottom that each stores its place and none is due
   * before its parent.
   */
  private check(): void {
    const { heap } = this;
    for (let i = 0; i < heap.length; i++) {
      if (i === CHECKED_ITEMS) i = Math.max(i, heap.length - CHECKED_ITEMS);
      const item = heap[i];
      const parent = heap[(i - 1) >> 1];
      invariant(item !== undefined && item.queueIndex === i, 'place {} of the queue is wrong', i);
      invariant(
        i === 0 || parent === undefined || parent.dueMs <= item.dueMs,
        'place {} of the queue is due before its parent',
        i,
      );
    }
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

/** Hands out a limited number of places in each second: the first one free that is not before the second asked for. */
export class Places {
  private readonly perSec: number;
  private readonly takenBySec = new Map<number, number>();
  /** For a full second a later one; all between the two are full. */
  private readonly laterBySec = new Map<number, number>();

  constructor(perSec: number) {
    this.perSec = perSec;
  }

  /** Takes a place; returns its second. Cost: as good as constant, over many calls. */
  take(sec: number): number {
    const free = this.firstFree(sec);
    const taken = (this.takenBySec.get(free) ?? 0) + 1;
    invariant(free >= sec && taken <= this.perSec, 'second {} is given {} times', free, taken);
    this.takenBySec.set(free, taken);
    if (taken === this.perSec) this.laterBySec.set(free, free + 1);
    return free;
  }

  private firstFree(sec: number): number {
    let free = sec;
    for (;;) {
      const later = this.laterBySec.get(free);
      if (later === undefined) break;
      free = later;
    }
    if (free !== sec) this.laterBySec.set(sec, free);
    return free;
  }
}
