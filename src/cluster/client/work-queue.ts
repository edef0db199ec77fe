import { Fifo } from '../../base/collections/fifo.js';
import { invariant } from '../../base/invariant.js';
import type { ClusterEnv, ClusterTimer } from '../env.js';
import { DEFAULT_RATE_LIMITS, TokenBucket, type RateLimits } from './rate-limits.js';

interface Delayed {
  readonly dueMs: number;
  readonly timer: ClusterTimer;
}

/**
 * The queue between events and the workers that reconcile what they are about, with the guarantees
 * of client-go's (k8s.io/client-go/util/workqueue):
 *
 * - an item that is added many times before it is taken is handed out once;
 * - no two workers have the same item at once;
 * - an item that is added while a worker has it is handed out again once the worker is done.
 *
 * Items are compared as keys of a Map: texts such as `namespace/name`.
 */
export class WorkQueue<T = string> {
  readonly #env: ClusterEnv;
  readonly #limits: RateLimits;
  readonly #bucket: TokenBucket | undefined;
  /** In the order in which they are handed out; each is dirty, and no worker has it. */
  readonly #queue = new Fifo<T>();
  /** Must be handed out. */
  readonly #dirty = new Set<T>();
  /** Workers have them. */
  readonly #processing = new Set<T>();
  readonly #delayed = new Map<T, Delayed>();
  readonly #failures = new Map<T, number>();
  readonly #idle = new Fifo<(item: T | undefined) => void>();
  #isShutDown = false;

  constructor(env: ClusterEnv, limits: RateLimits = DEFAULT_RATE_LIMITS) {
    this.#env = env;
    this.#limits = limits;
    const { bucket } = limits;
    this.#bucket = bucket === undefined ? undefined : new TokenBucket(env, bucket);
  }

  /** Items that wait to be handed out; delayed ones and those that workers have do not count. */
  get length(): number {
    return [...this.#dirty].filter((item) => !this.#processing.has(item)).length;
  }

  add(item: T): void {
    if (this.#isShutDown || this.#dirty.has(item)) return;
    this.#dirty.add(item);
    if (!this.#processing.has(item)) this.#enqueue(item);
  }

  /** Adds it after a delay. Of several delays of one item the one that ends first counts. */
  addAfter(item: T, delayMs: number): void {
    if (this.#isShutDown) return;
    if (delayMs <= 0) {
      this.add(item);
      return;
    }
    const dueMs = this.#env.monoMs() + delayMs;
    const known = this.#delayed.get(item);
    if (known !== undefined && known.dueMs <= dueMs) return;
    known?.timer.cancel();
    const timer = this.#env.after(delayMs, () => {
      this.#delayed.delete(item);
      this.add(item);
    });
    this.#delayed.set(item, { dueMs, timer });
  }

  /** Adds it after the back-off of its failures so far, and counts one more. */
  addRateLimited(item: T): void {
    const failures = this.#failures.get(item) ?? 0;
    this.#failures.set(item, failures + 1);
    const { baseDelayMs, maxDelayMs } = this.#limits;
    const ownMs = Math.min(maxDelayMs, baseDelayMs * 2 ** failures);
    this.addAfter(item, Math.max(ownMs, this.#bucket?.reserve() ?? 0));
  }

  /** The item is well: its next failure starts the back-off anew. */
  forget(item: T): void {
    this.#failures.delete(item);
  }

  /** Number of times that it was added with back-off since it was well. */
  retries(item: T): number {
    return this.#failures.get(item) ?? 0;
  }

  /**
   * Waits for the next item; `done` must follow. Undefined once the queue is shut down and empty.
   */
  getNext(): Promise<T | undefined> {
    const item = this.#queue.shift();
    if (item !== undefined) return Promise.resolve(this.#begin(item));
    if (this.#isShutDown) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** The worker has ended its work on an item that it got. */
  done(item: T): void {
    invariant(this.#processing.delete(item), 'no worker has {}', String(item));
    if (this.#dirty.has(item)) this.#enqueue(item);
  }

  /** Nothing is added from now on; what waits is still handed out, except what is delayed. */
  shutDown(): void {
    this.#isShutDown = true;
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    for (let idle = this.#idle.shift(); idle !== undefined; idle = this.#idle.shift()) {
      idle(undefined);
    }
  }

  get isShutDown(): boolean {
    return this.#isShutDown;
  }

  #enqueue(item: T): void {
    const idle = this.#idle.shift();
    if (idle === undefined) this.#queue.push(item);
    else idle(this.#begin(item));
  }

  #begin(item: T): T {
    this.#dirty.delete(item);
    this.#processing.add(item);
    return item;
  }
}
