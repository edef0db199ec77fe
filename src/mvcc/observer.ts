/** A compaction that has removed everything below its revision. */
export interface FinishedCompaction {
  readonly revision: number;
  readonly rowsRemoved: number;
  /** Time spent on rows, pauses included, without the index. */
  readonly tookMs: number;
  /** Of the store, right after it. */
  readonly sizeBytes: number;
  readonly sizeInUseBytes: number;
}

/** Receives the background work of a store, for metrics and the log. Durations are milliseconds. */
export interface StoreObserver {
  /** One slice of a compaction removed old revisions from the index. */
  indexSliced(ms: number): void;
  /** One slice of a compaction removed rows, and the backend has them. */
  rowsSliced(ms: number): void;
  compacted(result: FinishedCompaction): void;
  /** A hash at a revision was computed. */
  hashed(ms: number): void;
}
