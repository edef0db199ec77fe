import type { Done } from '../base/env/env.js';
import type { Entry, HardState, SnapshotMeta } from '../raft/types.js';

/** Owner of a log; written into every segment's header and checked at open. */
export interface WalIdentity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

export interface WalOptions {
  readonly dir: string;
  readonly identity: WalIdentity;
  /** Bytes; 64 MiB in production, small in tests and the simulator. */
  readonly segmentBytes: number;
  /**
   * Highest entry index that another durable store (the backend's consistent index) proves to have been
   * in the log; a log that ends before it has lost data.
   */
  readonly witnessIndex: number;
  /** Durations of fdatasync and group commits, for metrics. Seconds and bytes. */
  /** A write of the log ended; with `isDurable` it is on disk. */
  readonly onWritten?: (seconds: number, isDurable: boolean) => void;
  readonly onWrite?: (bytes: number) => void;
  /** Skips fdatasync (`--unsafe-no-fsync`); the writes still happen. */
  readonly noFsync?: boolean;
}

/** Content of a log when it was opened. */
export interface WalRecovery {
  readonly identity: WalIdentity;
  readonly hardState: HardState;
  /** Newest durable snapshot marker; index 0 when there is none. */
  readonly snapshot: SnapshotMeta;
  /** Every intact entry after `snapshot.index` that the log still holds, contiguous; may begin earlier (see firstIndex). */
  readonly entries: readonly Entry[];
  /** Bytes of a torn, never acknowledged tail that were cut; 0 when the log ended cleanly. */
  readonly tornBytes: number;
}

/** One unit handed to the log; batches are durable in the order they were appended. */
export interface WalBatch {
  readonly hardState: HardState | null;
  /** Replaces any stored entry with index >= entries[0].index. */
  readonly entries: readonly Entry[];
  /** Marks that the state machine image durable elsewhere stands at this point. */
  readonly snapshot: SnapshotMeta | null;
}

/**
 * The member's own log. A single writer: batches that arrive while an fdatasync runs are joined into the
 * next group commit. Every write or fsync error goes to `env.fatal`; `done` never sees an error from the disk.
 */
export interface WalWriter {
  /** `sync: false` may delay the bytes until the next synced batch; `done` then follows that batch. */
  append(batch: WalBatch, sync: boolean, done: Done): void;
  /** Entries <= index are no longer needed; whole segments below it may be removed, never the newest marker's. */
  release(index: number): void;
  /** Flushes what is queued, then closes. */
  close(done: Done): void;
  readonly sizeBytes: number;
}
