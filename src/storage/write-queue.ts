import type { Done, Env } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import type { Batch } from './batch.js';
import { type Overlaid } from './batch.js';
import type { Engine } from './engine.js';

/** The next step after a write that the engine refused. */
const WRITE_NEXT =
  'Check free space and the disk, then start the member again; the log replays what is missing.';

export interface WriteQueueParts {
  readonly engine: Engine;
  readonly env: Env;
  /** Duration of each batch the engine took. */
  readonly onCommit: (seconds: number) => void;
  /** Applied index that the engine holds at the beginning. */
  readonly writtenIndex: number;
  /** Makes a batch that changes nothing, for a sync without other work: the engine syncs only what it writes. */
  readonly emptyBatch: () => Batch;
}

/**
 * Sealed batches on their way to the engine: one in flight at a time, those that come meanwhile merge into the next.
 * A failed write stops the process. Called by backend.ts.
 */
export class WriteQueue {
  private readonly p: WriteQueueParts;
  /** Waits for the batch in flight. */
  private sealed: Batch | null = null;
  private inFlight: Batch | null = null;
  private syncWaiters: Done[] = [];
  private idle: (() => void)[] = [];
  private closing: Done | null = null;
  /** Applied index of the last batch the engine took. */
  writtenIndex: number;
  /**
   * The applied index that survives a power loss for certain; at opening none does, as recovered
   * rows may be unsynced.
   */
  durableIndex = 0;
  /** Rows of the key bucket up to this revision are in the engine, as far as this process wrote them. */
  writtenMain = 0;

  constructor(parts: WriteQueueParts) {
    this.p = parts;
    this.writtenIndex = parts.writtenIndex;
  }

  /** True when the engine holds everything that was sealed. */
  get isEmpty(): boolean {
    return this.sealed === null && this.inFlight === null;
  }

  get bytes(): number {
    return (this.sealed?.bytes ?? 0) + (this.inFlight?.bytes ?? 0);
  }

  /** The newest change of a row that the engine does not hold yet. */
  find(name: string): Overlaid | undefined {
    return this.sealed?.overlay.get(name) ?? this.inFlight?.overlay.get(name);
  }

  add(batch: Batch): void {
    if (this.sealed === null) this.sealed = batch;
    else this.sealed.merge(batch);
    this.pump();
  }

  /** Makes everything added so far durable and raises `durableIndex`. */
  sync(done: Done): void {
    this.syncWaiters.push(done);
    this.pump();
  }

  /** Calls back when everything added so far has been written; at once when it is already. */
  whenWritten(callback: () => void): void {
    const last = this.sealed ?? this.inFlight;
    if (last === null) callback();
    else last.written.push(callback);
  }

  /** Runs `look` when the engine holds whole batches and none is on its way; at once if so now. */
  whenIdle(look: () => void): void {
    if (this.inFlight === null) look();
    else this.idle.push(look);
  }

  /** Writes what was added, then closes the engine. */
  close(done: Done): void {
    invariant(this.closing === null, 'the backend was closed twice');
    this.closing = done;
    this.pump();
  }

  private pump(): void {
    if (this.inFlight !== null) return;
    const isSync = this.syncWaiters.length > 0;
    if (this.sealed === null && !isSync) {
      if (this.closing !== null) this.p.engine.close(this.closing);
      return;
    }
    const batch = this.sealed ?? this.emptyBatch();
    this.sealed = null;
    this.inFlight = batch;
    const waiters = this.syncWaiters;
    if (isSync) this.syncWaiters = [];
    const { clock } = this.p.env;
    const startMs = clock.monoMs();
    this.p.engine.write(batch.forEngine(), isSync, (error) => {
      this.p.onCommit((clock.monoMs() - startMs) / 1000);
      if (error !== null) this.fail(error);
      this.onWritten(batch, isSync ? waiters : null);
    });
  }

  private emptyBatch(): Batch {
    const batch = this.p.emptyBatch();
    batch.appliedIndex = this.writtenIndex;
    return batch;
  }

  private fail(error: Error): never {
    return this.p.env.fatal(
      `the storage engine failed to write: ${error.message}`,
      WRITE_NEXT,
      error,
    );
  }

  private onWritten(batch: Batch, synced: readonly Done[] | null): void {
    invariant(this.inFlight === batch, 'the engine reported a batch that was not on its way');
    this.inFlight = null;
    this.writtenIndex = Math.max(this.writtenIndex, batch.appliedIndex);
    if (batch.lastMain > this.writtenMain) this.writtenMain = batch.lastMain;
    if (synced !== null) this.durableIndex = this.writtenIndex;
    const { idle } = this;
    this.idle = [];
    for (const look of idle) look();
    this.pump();
    for (const written of batch.written) written();
    if (synced !== null) for (const done of synced) done(null);
  }
}
