/**
 * All objects of one resource in memory, kept current by one stream of the store, and fanned out
 * to any number of watchers.
 *
 * Promises: `revision` never goes back; all changes of the resource up to it are in `index` and
 * were pushed to `ring`. A revision without a change of this resource becomes known by the
 * stream's progress only.
 */
import type { Logger } from '../../../base/observe/logger.js';
import type { Kind } from '../../api/kinds/kind.js';
import { apiError, timeout } from '../../api/status.js';
import { sleep, type ClusterEnv, type ClusterTimer } from '../../env.js';
import { turnsOf } from '../../turns.js';
import type {
  ObjectStore,
  StoreChange,
  StoreWatch,
  StoreWatchEnd,
} from '../storage/object-store.js';
import { CacheEvent, EventRing } from './event-ring.js';
import { OrderedIndex } from './ordered-index.js';
import { Watcher, type WatcherHost, type WatcherOptions } from './watcher.js';
import { WatcherIndex } from './watcher-index.js';

/** Objects of one read while the cache fills. */
const FILL_PAGE = 500;
/** Longest wait of a request for the cache (k8s.io/apiserver cacher: 3 s). */
const WAIT_MAX_MS = 3000;
/** A progress request may stay unanswered while the server is behind. */
const PROGRESS_RETRY_MS = 20;
const BOOKMARK_EVERY_MS = 60_000;
/** Past states kept for the next page of lists. */
const SNAPSHOTS_MAX = 8;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1000;

interface RevisionWaiter {
  readonly revision: number;
  readonly resolve: () => void;
}

/** Methods of the store that a cache needs. */
export type CacheSource = Pick<ObjectStore, 'currentRevision' | 'list' | 'watch'>;

export interface WatchCacheSetup {
  readonly kind: Kind;
  readonly store: CacheSource;
  readonly env: ClusterEnv;
  readonly log: Logger;
  /** Fields with an index of watchers, as spec.nodeName of pods. */
  readonly indexedFields: readonly string[];
}

export class WatchCache implements WatcherHost {
  readonly kind: Kind;
  private readonly store: CacheSource;
  private readonly env: ClusterEnv;
  private readonly log: Logger;
  private readonly watchers: WatcherIndex;
  private currentIndex = new OrderedIndex();
  private currentRing = new EventRing(0);
  private current = 0;
  private stream: StoreWatch | undefined;
  private waiters: RevisionWaiter[] = [];
  private progressTimer: ClusterTimer | undefined;
  private bookmarkTimer: ClusterTimer | undefined;
  private readonly snapshots = new Map<number, OrderedIndex>();
  private readonly stopping = new AbortController();
  private ready: Promise<void> | undefined;
  private becomeReady: () => void = () => {};

  constructor(setup: WatchCacheSetup) {
    this.kind = setup.kind;
    this.store = setup.store;
    this.env = setup.env;
    this.log = setup.log;
    this.watchers = new WatcherIndex(setup.kind, setup.indexedFields);
  }

  get revision(): number {
    return this.current;
  }

  get index(): OrderedIndex {
    return this.currentIndex;
  }

  get ring(): EventRing {
    return this.currentRing;
  }

  get watcherCount(): number {
    return this.watchers.size;
  }

  later(callback: () => void): void {
    this.env.after(0, callback);
  }

  broke(error: unknown): void {
    this.log.error('a watch ended early', { resource: this.kind.resource, error });
  }

  forget(watcher: Watcher): void {
    this.watchers.delete(watcher);
  }

  /** Begins to fill and follow; resolves when the cache can answer. */
  start(): Promise<void> {
    if (this.ready === undefined) {
      this.ready = new Promise((resolve) => (this.becomeReady = resolve));
      void this.follow();
      this.scheduleBookmarks();
    }
    return this.ready;
  }

  /**
   * Resolves when the cache can answer.
   *
   * Rejects: ApiError 429 when the store does not let it fill for a while.
   */
  async whenReady(): Promise<void> {
    const filled = this.start();
    if (this.current > 0) return;
    const over = new AbortController();
    await Promise.race([filled, sleep(this.env, WAIT_MAX_MS, over.signal)]);
    over.abort();
    if (this.current > 0) return;
    throw apiError(429, 'TooManyRequests', 'storage is (re)initializing', {
      retryAfterSeconds: 1,
    });
  }

  /** Ends all watches and the stream. */
  stop(): void {
    this.stopping.abort();
    this.stream?.cancel();
    this.bookmarkTimer?.cancel();
    this.progressTimer?.cancel();
    for (const watcher of this.watchers.all()) watcher.end();
  }

  /**
   * Resolves when everything up to `revision` is in the cache.
   *
   * Rejects: ApiError 504 when it takes too long, as for a revision of the future; 429 as
   * `whenReady`.
   */
  async waitFor(revision: number): Promise<void> {
    await this.whenReady();
    if (revision <= this.current) return;
    const isThere = await new Promise<boolean>((resolve) => {
      const timer = this.env.after(WAIT_MAX_MS, () => {
        this.waiters = this.waiters.filter((other) => other !== waiter);
        resolve(false);
      });
      const waiter = {
        revision,
        resolve: () => {
          timer.cancel();
          resolve(true);
        },
      };
      this.waiters.push(waiter);
      this.hurry();
    });
    if (!isThere) throw tooLargeRevision(revision, this.current);
  }

  /** Everything that was acknowledged before the call is in the cache when this resolves. */
  async waitForNow(): Promise<void> {
    await this.waitFor(await this.store.currentRevision());
  }

  /** Requires: the cache is ready, and `fromRevision` is not below the ring's oldest start. */
  watch(options: WatcherOptions): Watcher {
    const watcher = new Watcher(this, options);
    this.watchers.add(watcher);
    return watcher;
  }

  /** The objects as they are now, kept for later pages under the revision that is returned. */
  snapshot(): { readonly index: OrderedIndex; readonly revision: number } {
    const revision = this.current;
    let index = this.snapshots.get(revision);
    if (index === undefined) {
      index = this.currentIndex.snapshot();
      this.snapshots.set(revision, index);
      const [oldest] = this.snapshots.keys();
      if (this.snapshots.size > SNAPSHOTS_MAX && oldest !== undefined)
        this.snapshots.delete(oldest);
    }
    return { index, revision };
  }

  /** The objects at a past revision, if they are still held. */
  snapshotAt(revision: number): OrderedIndex | undefined {
    return revision === this.current ? this.currentIndex.snapshot() : this.snapshots.get(revision);
  }

  /** Fills the cache, follows the store, and begins again when the stream ends. */
  private async follow(): Promise<void> {
    let delayMs = RETRY_MIN_MS;
    let isFilled = false;
    while (!this.stopping.signal.aborted) {
      try {
        if (!isFilled) await this.fill();
        isFilled = true;
        this.becomeReady();
        const beganMs = this.env.monoMs();
        const end = await this.stay();
        if (end !== 'broken') isFilled = false;
        if (this.env.monoMs() - beganMs > RETRY_MAX_MS) delayMs = RETRY_MIN_MS;
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        const detail = error instanceof Error ? error.message : String(error);
        this.log.warn('cannot read the store', { resource: this.kind.resource, error: detail });
      }
      await sleep(this.env, delayMs, this.stopping.signal);
      delayMs = Math.min(delayMs * 2, RETRY_MAX_MS);
    }
  }

  private async fill(): Promise<void> {
    const index = new OrderedIndex();
    let revision = 0;
    let from = '';
    for (;;) {
      const page = await this.store.list(this.kind, '', from, FILL_PAGE, revision);
      revision = page.revision;
      for (const stored of page.items) index.set(stored);
      const last = page.items.at(-1);
      if (!page.hasMore || last === undefined) break;
      from = `${last.key}\0`;
    }
    // Their places are in the old ring.
    for (const watcher of this.watchers.all()) watcher.end();
    this.currentIndex = index;
    this.currentRing = new EventRing(revision);
    this.snapshots.clear();
    this.reached(revision);
  }

  /** Resolves when the stream ended; `unusable`: by a change that cannot be taken in. */
  private stay(): Promise<StoreWatchEnd | 'unusable'> {
    return new Promise((resolve) => {
      this.stream = this.store.watch(this.kind, this.current + 1, {
        changes: (changes) => {
          try {
            this.apply(changes);
          } catch (error) {
            this.log.error('a change is not understood', { resource: this.kind.resource, error });
            this.stream?.cancel();
            this.stream = undefined;
            resolve('unusable');
          }
        },
        progress: (revision) => this.reached(revision),
        end: (reason) => {
          this.stream = undefined;
          resolve(reason);
        },
      });
      this.hurry();
    });
  }

  private apply(changes: readonly StoreChange[]): void {
    const woken = new Set<Watcher>();
    for (const { key, revision, stored } of changes) {
      // A stream that was opened again may show a revision once more.
      if (revision <= this.current) continue;
      const previous = this.currentIndex.get(key);
      if (stored !== undefined) this.currentIndex.set(stored);
      else this.currentIndex.delete(key);
      if (previous === undefined && stored === undefined) continue;
      this.currentRing.push(new CacheEvent(revision, previous, stored));
      this.watchers.collect(key, previous, stored, woken);
    }
    this.reached(changes.at(-1)?.revision ?? 0);
    void this.wake(woken);
  }

  /** In slices: a thousand watchers of one object take a while. */
  private async wake(woken: ReadonlySet<Watcher>): Promise<void> {
    const turns = turnsOf(this.env);
    for (const watcher of woken) {
      const pause = turns.pause();
      if (pause !== undefined) await pause;
      watcher.wake();
    }
  }

  private reached(revision: number): void {
    if (revision <= this.current) return;
    this.current = revision;
    if (this.waiters.length === 0) return;
    const done = this.waiters.filter((waiter) => waiter.revision <= revision);
    this.waiters = this.waiters.filter((waiter) => waiter.revision > revision);
    for (const waiter of done) waiter.resolve();
    if (this.waiters.length > 0) return;
    // The next one that waits asks at once.
    this.progressTimer?.cancel();
    this.progressTimer = undefined;
  }

  /** Asks for progress until nobody waits. */
  private hurry(): void {
    if (this.waiters.length === 0 || this.progressTimer !== undefined) return;
    this.progressTimer = this.env.after(PROGRESS_RETRY_MS, () => {
      this.progressTimer = undefined;
      this.hurry();
    });
    this.stream?.requestProgress();
  }

  private scheduleBookmarks(): void {
    this.bookmarkTimer = this.env.after(BOOKMARK_EVERY_MS, () => {
      this.scheduleBookmarks();
      const wanting = [...this.watchers.all()].filter((watcher) => watcher.wantsBookmarks);
      if (wanting.length === 0) return;
      this.waitForNow().then(
        () => wanting.forEach((watcher) => watcher.bookmark()),
        // Bookmarks come with the next round.
        () => undefined,
      );
    });
  }
}

function tooLargeRevision(wanted: number, current: number): Error {
  const error = timeout(`Timeout: Too large resource version: ${wanted}, current: ${current}`, [
    { reason: 'ResourceVersionTooLarge', message: 'Too large resource version' },
  ]);
  if (error.status.details !== undefined) error.status.details.retryAfterSeconds = 1;
  return error;
}
