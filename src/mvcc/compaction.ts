import { invariant } from '../base/invariant.js';
import { MetaKey } from '../storage/backend.js';
import { CompactionCursor } from './key-index.js';
import { keyOfRow } from './key-value.js';
import { encodeRevisionKey } from '../storage/revision.js';
import type { CompactionPace, Store } from './store.js';

/**
 * Removes the rows that a compaction made unreadable, first from the index, then from the row log,
 * in slices.
 *
 * Begins once the compaction's record has reached the engine and no read is pinned below it. The
 * index names the blocks that hold removed rows. Those are rewritten in revision order: a tombstone
 * never goes before the rows it hides, and a crash leaves a correct store at any point. When a
 * member restarts before the end, the index is rebuilt with the rows left over and the pass runs
 * again. Several compactions in a row become passes one after the other, skipping those overtaken
 * meanwhile.
 */
export class Compaction {
  private readonly store: Store;
  private readonly pace: CompactionPace;
  private running = false;
  /** Revision of a pass that waits for reads below it; undefined while none does. */
  private waitingForPins: number | undefined = undefined;
  private stopped = false;
  /** Of the pass under way. */
  private rowsStartMs = 0;
  private rowsRemoved = 0;
  private waiters: { readonly revision: number; readonly done: () => void }[] = [];

  constructor(store: Store, pace: CompactionPace) {
    this.store = store;
    this.pace = pace;
  }

  /** Starts a pass for the store's compaction revision unless one is under way. */
  schedule(): void {
    if (this.running) return;
    this.running = true;
    // A compaction that comes while this one waits may name rows that the engine does not hold yet: it gets a pass of
    // its own.
    const revision = this.store.compactRevision;
    this.store.backend.whenWritten(() => this.begin(revision));
  }

  whenFinished(revision: number, done: () => void): void {
    if (this.store.finishedCompactRevision >= revision) done();
    else this.waiters.push({ revision, done });
  }

  onUnpinned(): void {
    const revision = this.waitingForPins;
    if (revision === undefined) return;
    this.waitingForPins = undefined;
    this.begin(revision);
  }

  /**
   * Ends for good, leaving the rest of the pass undone; callers that wait for it are called back.
   */
  stop(): void {
    this.stopped = true;
    const { waiters } = this;
    this.waiters = [];
    for (const waiter of waiters) waiter.done();
  }

  private get isOver(): boolean {
    return this.stopped || this.store.backend.isClosed;
  }

  /** Requires: the engine holds every row up to `revision`. */
  private begin(revision: number): void {
    if (this.isOver) return;
    invariant(
      revision >= 0 && revision <= this.store.compactRevision,
      'a pass at {} of a store compacted at {}',
      revision,
      this.store.compactRevision,
    );
    if (this.store.isPinnedBelow(revision)) {
      this.waitingForPins = revision;
      return;
    }
    this.cutIndex(new CompactionCursor(revision));
  }

  private cutIndex(cursor: CompactionCursor): void {
    if (this.isOver) return;
    const { index, backend, env, observer } = this.store;
    const startMs = env.clock.monoMs();
    const isDone = index.compactSlice(cursor, this.pace.sliceRows, (main, sub) => {
      invariant(
        main <= cursor.revision,
        'revision {} is removed by a compaction at {}',
        main,
        cursor.revision,
      );
      backend.rows.markRemovable(main, sub);
    });
    observer?.indexSliced(env.clock.monoMs() - startMs);
    env.defer(() => {
      if (isDone) this.beginRows(cursor.revision);
      else this.cutIndex(cursor);
    });
  }

  private beginRows(revision: number): void {
    this.rowsStartMs = this.store.env.clock.monoMs();
    this.rowsRemoved = 0;
    this.removeRows(revision, 0);
  }

  private removeRows(revision: number, fromBlock: number): void {
    if (this.isOver) return;
    const { store, pace } = this;
    const { backend, env, index, observer } = store;
    const startMs = env.clock.monoMs();
    const { puts, deletes, changes, nextBlock } = backend.rows.rewrite(
      fromBlock,
      pace.sliceRows,
      // The index has been cut already, so it distinguishes tombstones that stay from those that
      // go.
      (main, sub, _tombstone, payload) => {
        const stays = main > revision || index.isNewestAt(keyOfRow(payload), main, sub, revision);
        if (!stays) this.rowsRemoved++;
        return stays;
      },
    );
    const isDone = nextBlock < 0;
    const finished = {
      name: MetaKey.finishedCompact,
      value: encodeRevisionKey(revision, 0, false),
    };
    if (isDone) backend.rows.finishRewrite();
    backend.maintain(puts, deletes, changes, isDone ? finished : null);
    backend.whenFlushedWritten(() => {
      observer?.rowsSliced(env.clock.monoMs() - startMs);
      if (isDone) this.finish(revision);
      else env.after(pace.pauseMs, () => this.removeRows(revision, nextBlock));
    });
  }

  private finish(revision: number): void {
    if (this.isOver) return;
    const { store } = this;
    invariant(
      revision > store.finishedCompactRevision && revision <= store.compactRevision,
      'compaction {} ends after {}',
      revision,
      store.finishedCompactRevision,
    );
    store.finishedCompactRevision = revision;
    store.observer?.compacted({
      revision,
      rowsRemoved: this.rowsRemoved,
      tookMs: store.env.clock.monoMs() - this.rowsStartMs,
      sizeBytes: store.backend.sizeBytes(),
      sizeInUseBytes: store.backend.sizeInUseBytes(),
    });
    this.running = false;
    if (store.compactRevision > revision) this.schedule();
    const ready = this.waiters.filter((waiter) => waiter.revision <= revision);
    this.waiters = this.waiters.filter((waiter) => waiter.revision > revision);
    for (const waiter of ready) waiter.done();
    store.backend.reclaim(revision);
  }
}
