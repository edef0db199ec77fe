import { expect } from 'chai';
import type { Env } from '../../src/base/env/env.js';
import type { Entry, HardState, SnapshotMeta } from '../../src/raft/types.js';
import type { WalBatch, WalOptions, WalRecovery } from '../../src/wal/types.js';
import { Wal } from '../../src/wal/wal.js';
import { MemoryDisk } from '../support/memory-disk.js';
import { memoryEnv, seededU32 } from '../support/memory-env.js';

export const DIR = '/data/wal';

export function walOptions(overrides: Partial<WalOptions> = {}): WalOptions {
  return {
    dir: DIR,
    identity: { clusterId: 0xc1n, memberId: 0xa1n },
    segmentBytes: 8192,
    witnessIndex: 0,
    ...overrides,
  };
}

/** A disk whose work completes only when `run` is called, one completion after another. */
export class SteppedDisk {
  readonly disk: MemoryDisk;
  private readonly tasks: (() => void)[] = [];

  constructor(disk?: MemoryDisk) {
    const schedule = (_operation: string, _bytes: number, run: () => void): void =>
      void this.tasks.push(run);
    this.disk = disk === undefined ? new MemoryDisk({ schedule }) : disk.clone({ schedule });
  }

  /** Completes up to `steps` operations; returns how many there were. */
  run(steps = Infinity): number {
    let done = 0;
    while (done < steps) {
      const task = this.tasks.shift();
      if (task === undefined) break;
      done++;
      task();
    }
    return done;
  }
}

/** The expected content of a log: the plain meaning of the batches it was handed. */
export class LogModel {
  hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  snapshot: SnapshotMeta = { index: 0, term: 0, confState: { voters: [], learners: [] } };
  /** Entry i has index base + 1 + i. */
  entries: Entry[] = [];
  base = 0;

  get lastIndex(): number {
    return this.base + this.entries.length;
  }

  apply(batch: WalBatch): void {
    const { snapshot, hardState } = batch;
    if (snapshot !== null) {
      const held = this.entries[snapshot.index - this.base - 1];
      if (snapshot.index > this.lastIndex || (held !== undefined && held.term !== snapshot.term)) {
        this.entries = [];
        this.base = snapshot.index;
      }
      this.snapshot = snapshot;
    }
    for (const added of batch.entries) {
      this.entries.length = added.index - this.base - 1;
      this.entries.push(added);
    }
    if (hardState !== null) this.hardState = hardState;
  }

  clone(): LogModel {
    const copy = new LogModel();
    copy.hardState = this.hardState;
    copy.snapshot = this.snapshot;
    copy.entries = [...this.entries];
    copy.base = this.base;
    return copy;
  }
}

/** Text that is equal exactly when two states are; commit indexes may lag and are left out. */
function fingerprint(state: {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  readonly entries: readonly Entry[];
}): string {
  const { hardState, snapshot } = state;
  const conf = `${snapshot.confState.voters.join()}/${snapshot.confState.learners.join()}`;
  const lines = [
    `hs ${hardState.term} ${hardState.vote}`,
    `snap ${snapshot.index} ${snapshot.term} ${conf}`,
  ];
  for (const e of state.entries)
    lines.push(`${e.index} ${e.term} ${e.type} ${Buffer.from(e.data).toString('hex')}`);
  return lines.join('\n');
}

export function modelPrint(model: LogModel): string {
  return fingerprint({
    hardState: model.hardState,
    snapshot: model.snapshot,
    entries: model.entries.slice(Math.max(0, model.snapshot.index - model.base)),
  });
}

export function recoveryPrint(recovery: WalRecovery): string {
  return fingerprint(recovery);
}

export function entry(index: number, term = 1, size = 10, seed = index): Entry {
  const data = new Uint8Array(size);
  const random = seededU32(seed * 31 + term);
  for (let i = 0; i < size; i++) data[i] = (random() & 0xff) | 1;
  return { index, term, type: index % 7 === 0 ? 1 : 0, data };
}

export function entries(from: number, to: number, term = 1, size = 10): Entry[] {
  const made: Entry[] = [];
  for (let index = from; index <= to; index++) made.push(entry(index, term, size));
  return made;
}

export function batchOf(fields: Partial<WalBatch>): WalBatch {
  return { hardState: null, entries: [], snapshot: null, ...fields };
}

export function snapshotAt(index: number, term = 1): SnapshotMeta {
  return { index, term, confState: { voters: [1n, 2n ** 64n - 1n], learners: [9n] } };
}

/** Appends synced batches one after another, each durable before the next. */
export function appendAll(stepped: SteppedDisk, wal: Wal, batches: readonly WalBatch[]): void {
  for (const batch of batches) {
    let durable = false;
    wal.append(batch, true, () => (durable = true));
    stepped.run();
    expect(durable, 'the batch became durable').to.equal(true);
  }
}

export function closeLog(stepped: SteppedDisk, wal: Wal): void {
  let closed = false;
  wal.close(() => (closed = true));
  stepped.run();
  expect(closed, 'the log closed').to.equal(true);
}

export function freshLog(
  options = walOptions(),
  seed = 1,
): { stepped: SteppedDisk; env: Env; wal: Wal } {
  const stepped = new SteppedDisk();
  const env = memoryEnv(stepped.disk, seed);
  return { stepped, env, wal: Wal.create(env, options) };
}

/** A batch such as raft may produce after `model`: appends, overwrites of the uncommitted tail, votes, snapshots. */
export function randomBatch(model: LogModel, random: () => number, maxEntryBytes = 900): WalBatch {
  const below = (n: number): number => random() % n;
  const { term, vote, commit } = model.hardState;
  const last = model.lastIndex;
  const roll = below(20);
  if (roll === 0) {
    const index = last + 1 + below(20);
    return batchOf({
      snapshot: snapshotAt(index, term + 1),
      hardState: { term: term + 1, vote, commit: index },
    });
  }
  if (roll === 1 && commit > model.snapshot.index) {
    const held = model.entries[commit - model.base - 1];
    return batchOf({ snapshot: snapshotAt(commit, held?.term ?? model.snapshot.term) });
  }
  if (roll === 2) return batchOf({ hardState: { term: term + 1, vote: BigInt(below(5)), commit } });
  if (roll === 3 && commit < last)
    return batchOf({ hardState: { term, vote, commit: commit + 1 + below(last - commit) } });
  const overwrite = roll < 7 && last > commit;
  const newTerm = overwrite ? term + 1 : Math.max(1, term);
  const from = overwrite ? commit + 1 + below(last - commit) : last + 1;
  const count = 1 + below(6);
  const made: Entry[] = [];
  for (let i = 0; i < count; i++)
    made.push(
      entry(from + i, newTerm, below(10) === 0 ? below(maxEntryBytes) : below(60), random()),
    );
  return batchOf({ entries: made, hardState: { term: newTerm, vote, commit } });
}
