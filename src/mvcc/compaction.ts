import { MetaKey, rowKey } from './backend.js';
import { CompactionCursor } from './key-index.js';
import { encodeRevisionKey } from './revision.js';
import type { CompactionPace, Store } from './store.js';

/**
 * Removes what a compaction made unreadable, first from the index and with it from the engine, in slices.
 *
 * Begins once the compaction's record has reached the engine and no read is pinned below it. Rows go in an order
 * that leaves a correct store after a crash at any point: a tombstone is removed after everything it
 * hides. When a member restarts before the end, the index is rebuilt with what was left over and the pass runs
 * again. Several compactions in a row become passes one after the other, skipping those overtaken meanwhile.
 */
export class Compaction {
  private readonly store: Store;
  private readonly pace: CompactionPace;
  private running = false;
  private waitingForPins = false;
  private stopped = false;
  private waiters: { readonly revision: number; readonly done: () => void }[] = [];

  constructor(store: Store, pace: CompactionPace) {
    this.store = store;
    this.pace = pace;
  }

  /** Starts a pass for the store's compaction revision unless one is under way. */
  schedule(): void {
    if (this.running) return;
    this.running = true;
    this.store.backend.whenWritten(() => {
      this.begin();
    });
  }

  whenFinished(revision: number, done: () => void): void {
    if (this.store.finishedCompactRevision >= revision) done();
    else this.waiters.push({ revision, done });
  }

  onUnpinned(): void {
    if (!this.waitingForPins) return;
    this.waitingForPins = false;
    this.begin();
  }

  /** Ends for good, leaving the rest of the pass undone. */
  stop(): void {
    this.stopped = true;
  }

  private begin(): void {
    if (this.stopped) return;
    const revision = this.store.compactRevision;
    if (this.store.isPinnedBelow(revision)) {
      this.waitingForPins = true;
      return;
    }
    this.slice(new CompactionCursor(revision));
  }

  private slice(cursor: CompactionCursor): void {
    if (this.stopped) return;
    const { store, pace } = this;
    const { backend, env } = store;
    const removed: Uint8Array[] = [];
    const isDone = store.index.compactSlice(cursor, pace.sliceRows, (main, sub, tombstone) => {
      removed.push(rowKey(main, sub, tombstone));
    });
    const finished = {
      name: MetaKey.finishedCompact,
      value: encodeRevisionKey(cursor.revision, 0, false),
    };
    if (removed.length > 0 || isDone) backend.maintain(removed, isDone ? finished : null);
    backend.whenFlushedWritten(() => {
      if (isDone) this.finish(cursor.revision);
      else if (removed.length === 0) env.defer(() => this.slice(cursor));
      else env.after(pace.pauseMs, () => this.slice(cursor));
    });
  }

  private finish(revision: number): void {
    if (this.stopped) return;
    const { store } = this;
    store.finishedCompactRevision = revision;
    this.running = false;
    if (store.compactRevision > revision) this.schedule();
    const ready = this.waiters.filter((waiter) => waiter.revision <= revision);
    this.waiters = this.waiters.filter((waiter) => waiter.revision > revision);
    for (const waiter of ready) waiter.done();
    store.backend.reclaim(revision);
  }
}
