import { expect } from 'chai';
import type { Env } from '../../src/base/env/env.js';
import type { WalRecovery } from '../../src/wal/types.js';
import { Wal } from '../../src/wal/wal.js';
import { FatalStop, memoryEnv, seededU32 } from '../support/memory-env.js';
import {
  DIR,
  LogModel,
  SteppedDisk,
  freshLog,
  modelPrint,
  randomBatch,
  recoveryPrint,
  walOptions,
} from './harness.js';

const OPTIONS = walOptions({ segmentBytes: 4096 });

/** Appends random batches and remembers the state after each, and how many of them were acknowledged. */
class Workload {
  readonly model: LogModel;
  /** prints[i]: state after i batches. */
  readonly prints: string[];
  /** commits[i]: commit index after i batches, which a state machine may have applied. */
  readonly commits: number[];
  /** Batches before this one are all acknowledged; a mere commit index may be so before what precedes it. */
  acknowledged = 0;
  private readonly early = new Set<number>();

  constructor(model = new LogModel()) {
    this.model = model;
    this.prints = [modelPrint(model)];
    this.commits = [model.hardState.commit];
  }

  step(wal: Wal, random: () => number): void {
    const batch = randomBatch(this.model, random);
    this.model.apply(batch);
    this.prints.push(modelPrint(this.model));
    this.commits.push(this.model.hardState.commit);
    const count = this.prints.length - 1;
    wal.append(batch, random() % 5 !== 0, () => this.acknowledge(count));
    if (random() % 8 === 0) wal.release(this.model.snapshot.index);
  }

  private acknowledge(count: number): void {
    this.early.add(count);
    while (this.early.delete(this.acknowledged + 1)) this.acknowledged++;
  }

  /** Requires the recovered state to be one after an acknowledged batch or a later one. */
  check(recovery: WalRecovery, what: string): void {
    const print = recoveryPrint(recovery);
    expect(this.prints.slice(this.acknowledged), what).to.include(print);
  }
}

function modelOf(recovery: WalRecovery): LogModel {
  const model = new LogModel();
  model.hardState = recovery.hardState;
  model.snapshot = recovery.snapshot;
  model.base = recovery.snapshot.index;
  model.entries = [...recovery.entries];
  return model;
}

/** Runs `work` until it ends or the environment is stopped. */
function untilFatal(work: () => void): FatalStop | null {
  try {
    work();
  } catch (error) {
    if (error instanceof FatalStop) return error;
    throw error;
  }
  return null;
}

describe('Wal against crashes', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

  it('keeps every acknowledged batch and opens, whichever unsynced sectors and names survive', () => {
    for (let round = 0; round < 200; round++) {
      const random = seededU32(seed * 1000 + round);
      const what = `SEED=${seed} round ${round}`;
      let { stepped, wal } = freshLog(OPTIONS, seed + round);
      let work = new Workload();
      for (let crashes = 0; crashes < 4; crashes++) {
        const steps = random() % 25;
        for (let i = 0; i < steps; i++) {
          work.step(wal, random);
          stepped.run(random() % 6);
        }
        const odds = random() % 5;
        stepped.disk.crash(() => random() % 4 < odds);
        stepped = new SteppedDisk(stepped.disk);
        const env = memoryEnv(stepped.disk, random());
        const witnessIndex = work.commits[work.acknowledged] ?? 0;
        const opened = Wal.open(env, { ...OPTIONS, witnessIndex });
        work.check(opened.recovery, what);
        wal = opened.wal;
        work = new Workload(modelOf(opened.recovery));
      }
    }
  });

  it('finds the same state again when it crashes while cutting off a torn tail', () => {
    for (let round = 0; round < 150; round++) {
      const random = seededU32(seed * 77 + round);
      const { stepped, wal } = freshLog(OPTIONS, seed + round);
      const work = new Workload();
      for (let i = 0; i < 8; i++) {
        work.step(wal, random);
        stepped.run(random() % 5);
      }
      stepped.disk.crash(() => random() % 2 === 0);
      const reference = recoveryPrint(Wal.open(memoryEnv(stepped.disk.clone()), OPTIONS).recovery);
      for (let failAt = 1; ; failAt++) {
        const disk = stepped.disk.clone();
        disk.fault = () => (disk.changes >= failAt ? new Error('EIO') : null);
        let isComplete = true;
        try {
          Wal.open(memoryEnv(disk), OPTIONS);
        } catch {
          isComplete = false;
        }
        disk.fault = null;
        disk.crash(() => random() % 2 === 0);
        expect(
          recoveryPrint(Wal.open(memoryEnv(disk), OPTIONS).recovery),
          `SEED=${seed} round ${round}`,
        ).to.equal(reference);
        if (isComplete) break;
      }
    }
  });

  it('is never half made: a crash while creating leaves no log or an empty one', () => {
    const random = seededU32(seed);
    for (let failAt = 1; failAt < 20; failAt++) {
      for (let round = 0; round < 20; round++) {
        const stepped = new SteppedDisk();
        stepped.disk.fault = () => (stepped.disk.changes >= failAt ? new Error('EIO') : null);
        const env = memoryEnv(stepped.disk);
        try {
          Wal.create(env, OPTIONS);
        } catch {
          // The planted error.
        }
        stepped.disk.fault = null;
        stepped.disk.crash(() => random() % 2 === 0);
        if (Wal.exists(env, DIR)) expect(Wal.open(env, OPTIONS).recovery.entries).to.deep.equal([]);
        else Wal.create(env, OPTIONS);
      }
    }
  });

  it('stops the process at any failed write, sync, creation or rename, and loses nothing acknowledged', () => {
    let fatals = 0;
    for (let failAt = 1; ; failAt++) {
      const random = seededU32(4711);
      const { stepped, env, wal } = freshLog(OPTIONS, 3);
      const work = new Workload();
      const before = stepped.disk.changes;
      let failed = '';
      stepped.disk.fault = (operation) => {
        if (failed !== '' || stepped.disk.changes - before !== failAt) return null;
        failed = operation;
        return new Error('EIO: planted');
      };
      const stop = untilFatal(() => {
        for (let i = 0; i < 60; i++) {
          work.step(wal, random);
          stepped.run();
        }
      });
      if (failed === '') break;
      stepped.disk.fault = null;
      if (failed === 'unlink' && stop === null) continue;
      if (stop === null) throw new Error(`a failed ${failed} did not stop the process`);
      fatals++;
      expect(stop.message).to.match(/^write-ahead log: cannot /);
      expect(stop.next).to.match(/disk/);
      const acknowledged = work.acknowledged;
      stepped.run();
      expect(work.acknowledged, 'nothing is acknowledged after the stop').to.equal(acknowledged);
      stepped.disk.crash(() => random() % 2 === 0);
      work.check(openAgain(env), `failed ${failed} at ${failAt}`);
    }
    expect(fatals).to.be.greaterThan(100);
  });
});

function openAgain(env: Env): WalRecovery {
  return Wal.open(env, OPTIONS).recovery;
}
