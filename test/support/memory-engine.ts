import type { Done } from '../../src/base/env/env.js';
import type {
  Engine,
  EngineBatch,
  EngineFactory,
  EngineIterator,
} from '../../src/storage/engine.js';

/**
 * An engine in memory that behaves like one on a disk: it keeps synced batches, and a crash takes
 * away any suffix of the batches written since. Deterministic: callbacks run when the given
 * scheduler decides.
 */

export interface Scheduler {
  defer(callback: () => void): void;
  randomU32(): number;
}

interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** State that survives the process: the rows as of the last sync, and the batches since. */
export class MemoryDisk {
  readonly synced = new Map<string, Row>();
  unsynced: EngineBatch[] = [];
  /** Fails the next write, for tests. */
  failNextWrite: Error | null = null;
  writes = 0;

  /** Power loss: drops a random suffix of what was not synced. */
  crash(random: () => number): void {
    this.unsynced.length = this.unsynced.length === 0 ? 0 : random() % (this.unsynced.length + 1);
  }

  /** An independent copy in the same state. */
  clone(): MemoryDisk {
    const disk = new MemoryDisk();
    for (const [name, row] of this.synced) disk.synced.set(name, row);
    disk.unsynced = [...this.unsynced];
    return disk;
  }

  sync(): void {
    for (const batch of this.unsynced) apply(this.synced, batch);
    this.unsynced = [];
  }

  /** The rows a process would find when it opened the disk now. */
  contents(): Map<string, Row> {
    const rows = new Map(this.synced);
    for (const batch of this.unsynced) apply(rows, batch);
    return rows;
  }
}

function apply(rows: Map<string, Row>, batch: EngineBatch): void {
  for (const { key, value } of batch.puts)
    rows.set(nameOf(key), { key: copy(key), value: copy(value) });
  for (const key of batch.deletes) rows.delete(nameOf(key));
}

function copy(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes);
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}

export class MemoryEngine implements Engine {
  readonly disk: MemoryDisk;
  private readonly scheduler: Scheduler;
  private readonly rows: Map<string, Row>;
  private sorted: string[] | null = null;
  private closed = false;
  /** Between `forgetReads` and its answer: a real engine is closed then. */
  private away = false;
  /** Writes report in the order of calls, however they are scheduled. */
  private readonly waiting: (() => void)[] = [];

  constructor(scheduler: Scheduler, disk = new MemoryDisk()) {
    this.scheduler = scheduler;
    this.disk = disk;
    this.rows = disk.contents();
  }

  private expectHere(): void {
    if (this.away) throw new Error('the engine was used before it had forgotten its reads');
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.expectHere();
    const row = this.rows.get(nameOf(key));
    return row === undefined ? undefined : copy(row.value);
  }

  write(batch: EngineBatch, sync: boolean, done: Done): void {
    this.expectHere();
    this.waiting.push(() => {
      if (this.closed) return;
      this.disk.writes++;
      const error = this.disk.failNextWrite;
      this.disk.failNextWrite = null;
      if (error !== null) {
        done(error);
        return;
      }
      const kept = {
        puts: batch.puts.map(({ key, value }) => ({ key: copy(key), value: copy(value) })),
        deletes: batch.deletes.map(copy),
      };
      apply(this.rows, kept);
      this.sorted = null;
      this.disk.unsynced.push(kept);
      if (sync) this.disk.sync();
      done(null);
    });
    this.scheduler.defer(() => this.waiting.shift()?.());
  }

  load(batch: EngineBatch, done: Done): void {
    this.write(batch, false, done);
  }

  iterate(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): EngineIterator {
    this.expectHere();
    this.sorted ??= [...this.rows.keys()].sort();
    const gte = nameOf(range.gte);
    const lt = nameOf(range.lt);
    const rows = this.sorted
      .slice(lowerBound(this.sorted, gte), lowerBound(this.sorted, lt))
      .map((name) => this.rows.get(name) as Row);
    let at = 0;
    let open = true;
    return {
      next: (max, done) => {
        this.scheduler.defer(() => {
          if (!open || this.closed) return;
          const chunk = rows.slice(at, at + max);
          at += chunk.length;
          done(
            null,
            chunk.map(({ key, value }): [Uint8Array, Uint8Array] => [copy(key), copy(value)]),
          );
        });
      },
      close: () => {
        open = false;
      },
    };
  }

  compactRange(_gte: Uint8Array, _lt: Uint8Array, done: Done): void {
    this.scheduler.defer(() => {
      if (!this.closed) done(null);
    });
  }

  forgetReads(done: Done): void {
    this.away = true;
    this.scheduler.defer(() => {
      this.away = false;
      if (!this.closed) done(null);
    });
  }

  sizeBytes(): number {
    let bytes = 0;
    for (const { key, value } of this.rows.values()) bytes += key.length + value.length;
    return bytes;
  }

  close(done: Done): void {
    this.scheduler.defer(() => {
      this.closed = true;
      done(null);
    });
  }

  /** The process dies: nothing is called back any more; the disk keeps a prefix that includes all synced batches. */
  crash(): void {
    this.closed = true;
    this.disk.crash(() => this.scheduler.randomU32());
  }

  /** Flips one bit of a stored value, for tests of damage. Requires: the row exists. */
  damage(key: Uint8Array, byte: number): void {
    const row = this.rows.get(nameOf(key)) as Row;
    row.value[byte] = (row.value[byte] as number) ^ 1;
  }

  keys(): Uint8Array[] {
    this.sorted ??= [...this.rows.keys()].sort();
    return this.sorted.map((name) => (this.rows.get(name) as Row).key);
  }
}

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A factory whose directories live in `disks` and outlast engines. */
export function memoryEngineFactory(
  scheduler: Scheduler,
  disks: Map<string, MemoryDisk>,
): EngineFactory {
  return (dir, done) => {
    let disk = disks.get(dir);
    if (disk === undefined) {
      disk = new MemoryDisk();
      disks.set(dir, disk);
    }
    const opened = new MemoryEngine(scheduler, disk);
    scheduler.defer(() => done(null, opened));
  };
}
