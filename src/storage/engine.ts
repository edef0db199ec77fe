import type { Done } from '../base/env/env.js';

/** The ordered byte store underneath: LevelDB in production, a simulated one in tests. */

export interface EngineBatch {
  readonly puts: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];
  readonly deletes: readonly Uint8Array[];
}

export interface EngineIterator {
  /** At most `max` rows in key order; an empty array means the end. One call at a time. */
  next(max: number, done: (error: Error | null, rows: [Uint8Array, Uint8Array][]) => void): void;
  close(): void;
}

/** Untrusted ordered storage: the backend checks a checksum of its own on every row it reads. */
export interface Engine {
  get(key: Uint8Array): Uint8Array | undefined;
  /** Atomic. Effects and durability keep the order of calls; `sync` makes this and all earlier batches durable. */
  write(batch: EngineBatch, sync: boolean, done: Done): void;
  /**
   * As an unsynced `write`, but out of order in durability: to fill an empty engine that is thrown away unless a synced
   * write completes it.
   */
  load(batch: EngineBatch, done: Done): void;
  /** A consistent view of every write completed before the call. `gte` <= key < `lt`. */
  iterate(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): EngineIterator;
  /** Lets the engine reclaim space in a key range, in the background. */
  compactRange(gte: Uint8Array, lt: Uint8Array, done: Done): void;
  /**
   * Lets go of the memory that reading everything took (files mapped, blocks cached). Nothing may be read or written
   * before `done`.
   */
  forgetReads(done: Done): void;
  /** Bytes on disk, approximate. */
  sizeBytes(): number;
  close(done: Done): void;
}

/** A pull source of snapshot bytes. `next` yields null at the end; one call at a time. */
export interface SnapshotSource {
  next(done: (error: Error | null, chunk: Uint8Array | null) => void): void;
  close(): void;
}

/** Receiver of a snapshot. `write` calls `done` when it can take more. */
export interface SnapshotSink {
  write(chunk: Uint8Array, done: Done): void;
  /** All bytes arrived: verify, make durable. An error means the content is damaged and nothing was kept. */
  finish(done: Done): void;
  abort(): void;
}

/** Opens (or creates) the engine of a directory. */
export type EngineFactory = (
  dir: string,
  done: (error: Error | null, engine: Engine | null) => void,
) => void;
