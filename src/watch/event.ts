import type { StoreEvent } from '../mvcc/types.js';

/** The part of the store that watching reads. */
export interface WatchSource {
  /** Revision of the newest committed change. */
  readonly currentRevision: number;
  /** History before this revision is gone; 0 when nothing was compacted. */
  readonly compactRevision: number;
  /**
   * Events of the revisions `fromMain` to at most `toMain` inclusive, in order. About `maxBytes` of
   * them, but at least one revision and never part of one. They are complete below `nextMain`.
   * 'compacted' when `fromMain` < compactRevision.
   */
  history(
    fromMain: number,
    toMain: number,
    maxBytes: number,
    done: (error: Error | null, result: WatchHistory | 'compacted' | null) => void,
  ): void;
  /** The encoded mvccpb.KeyValue written at (main, sub). Requires: the row is not compacted. */
  row(main: number, sub: number): Uint8Array;
}

export interface WatchHistory {
  readonly events: readonly StoreEvent[];
  /** First revision that was not read. */
  readonly nextMain: number;
}

/** One committed change as watchers share it. */
export class WatchEvent {
  readonly change: StoreEvent;
  /** The encoded previous row, once some watcher asked for it and if it still exists. */
  prevKv: Uint8Array | undefined = undefined;
  private prevLoaded = false;

  constructor(change: StoreEvent) {
    this.change = change;
  }

  /** Reads the previous row unless that was done before. */
  loadPrev(source: WatchSource): void {
    if (this.prevLoaded) return;
    this.prevLoaded = true;
    const { prev, modRevision } = this.change;
    // A compaction at this event's own revision already removed the row that the event replaced.
    if (prev === null || modRevision <= source.compactRevision) return;
    this.prevKv = source.row(prev.main, prev.sub);
  }
}
