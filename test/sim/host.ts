import type { Env } from '../../src/base/env/env.js';
import type { MemberId, Message } from '../../src/raft/types.js';
import { silentLogger } from '../../src/base/observe/logger.js';
import type { Bootstrap } from '../../src/server/contract/bootstrap.js';
import { Member } from '../../src/server/member/member.js';
import { serviceTable } from '../../src/server/services/table.js';
import type { ServiceTable } from '../../src/rpc/service.js';
import { MemoryDisk } from '../support/memory-disk.js';
import type { MemoryDisk as EngineDisk } from '../support/memory-engine.js';
import { memoryEngineFactory } from '../support/memory-engine.js';
import type { Checker } from './checker.js';
import { SimTransport, type Network } from './network.js';
import type { Random, Scheduler } from './scheduler.js';

/** Settings that one run draws for all its hosts, so that rare code runs often. */
export interface Tuning {
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly snapshotCount: number;
  readonly catchupEntries: number;
  readonly segmentBytes: number;
  readonly maxAppendBytes: number;
  readonly diskMeanMs: number;
  /** Mean time of one operation of the storage engine. */
  readonly engineMeanMs: number;
  readonly preVote: boolean;
  readonly advanceElection: boolean;
}

export class SimFatal extends Error {
  override name = 'SimFatal';
}

/**
 * One machine of the simulated cluster: disks that outlast crashes, and the member process that may run on them.
 * The process is the product's own Member; only its environment is simulated.
 */
export class Host {
  readonly id: MemberId;
  readonly name: string;
  disk: MemoryDisk;
  member: Member | null = null;
  table: ServiceTable | null = null;
  /** Counts boots; work of an earlier boot never runs. */
  private epoch = 0;
  private pausedUntilResume: (() => void)[] | null = null;
  private readonly engines = new Map<string, EngineDisk>();
  /** An older state of both disks. */
  private copied: { readonly disk: MemoryDisk; readonly engines: Map<string, EngineDisk> } | null =
    null;
  private readonly scheduler: Scheduler;
  private readonly random: Random;
  private readonly network: Network;
  private readonly checker: Checker;
  private readonly tuning: Tuning;
  private readonly bootstrap: Bootstrap;

  constructor(parts: {
    readonly id: MemberId;
    readonly name: string;
    readonly scheduler: Scheduler;
    readonly random: Random;
    readonly network: Network;
    readonly checker: Checker;
    readonly tuning: Tuning;
    readonly bootstrap: Bootstrap;
  }) {
    this.id = parts.id;
    this.name = parts.name;
    this.scheduler = parts.scheduler;
    this.random = parts.random;
    this.network = parts.network;
    this.checker = parts.checker;
    this.tuning = parts.tuning;
    this.bootstrap = parts.bootstrap;
    this.disk = new MemoryDisk({
      schedule: (operation, _bytes, run) => {
        const slow = operation === 'datasync' || operation === 'create';
        const delay = slow ? this.random.exponential(this.tuning.diskMeanMs) : 0.02;
        const process = this.process();
        this.scheduler.after(delay, () => process(run));
      },
      onRemoved: (path) => {
        for (const dir of [...this.engines.keys()]) {
          if (dir === path || dir.startsWith(`${path}/`)) this.engines.delete(dir);
        }
      },
    });
  }

  /** Remembers the data directory as it is now. */
  copyData(): void {
    const engines = [...this.engines].map(([dir, disk]) => [dir, disk.clone()] as const);
    this.copied = { disk: this.disk.clone(), engines: new Map(engines) };
  }

  /** Puts the copy in the place of the data directory. Requires: no process runs. */
  rollBackData(): void {
    if (this.copied === null || this.isRunning) throw new Error('nothing to roll back to');
    this.disk = this.copied.disk;
    this.disk.crash(() => true);
    this.engines.clear();
    for (const [dir, disk] of this.copied.engines) this.engines.set(dir, disk);
    this.copied = null;
  }

  get isRunning(): boolean {
    return this.member !== null;
  }

  get isPaused(): boolean {
    return this.pausedUntilResume !== null;
  }

  /** Runs callbacks in the process that runs now: dropped after its end, postponed while it is paused. */
  process(): (callback: () => void) => void {
    const { epoch } = this;
    return (callback) => {
      const run = (): void => {
        if (epoch !== this.epoch) return;
        if (this.pausedUntilResume !== null) this.pausedUntilResume.push(run);
        else this.checker.guard(this.name, callback);
      };
      run();
    };
  }

  /** Like process(), but for what only the process itself can ask for: an ended one that asks is a fault of the simulator. */
  private ownWork(): (callback: () => void) => () => void {
    const { epoch } = this;
    const run = this.process();
    return (callback) => {
      if (epoch !== this.epoch) {
        this.checker.fail('simulator', `an ended process of ${this.name} still works`);
      }
      return () => run(callback);
    };
  }

  private env(): Env {
    const { scheduler, random } = this;
    const own = this.ownWork();
    return {
      clock: { monoMs: () => scheduler.now, wallMs: () => scheduler.now },
      disk: this.disk,
      after: (delayMs, callback) => ({
        cancel: scheduler.after(delayMs, own(callback)),
      }),
      defer: (callback) => void scheduler.after(0, own(callback)),
      randomU32: () => random.u32(),
      fatal: (what, next, cause): never => {
        throw new SimFatal(`${this.name}: ${what} (${next})`, { cause });
      },
    };
  }

  /** Boots a process on the present content of the disks. */
  start(): void {
    if (this.member !== null) return;
    this.epoch++;
    const env = this.env();
    const { tuning } = this;
    const own = this.ownWork();
    const engineDefer = (callback: () => void): void => {
      this.scheduler.after(0.01 + this.random.exponential(tuning.engineMeanMs), own(callback));
    };
    Member.open(
      {
        env,
        log: silentLogger,
        name: this.name,
        dataDir: '/data',
        bootstrap: this.bootstrap,
        clientUrls: [`http://${this.name}:2379`],
        heartbeatMs: tuning.heartbeatMs,
        electionMs: tuning.electionMs,
        preVote: tuning.preVote,
        advanceElection: tuning.advanceElection,
        snapshotCount: tuning.snapshotCount,
        snapshotCatchupEntries: tuning.catchupEntries,
        maxRequestBytes: 1_572_864,
        quotaBytes: Infinity,
        segmentBytes: tuning.segmentBytes,
        maxAppendBytes: tuning.maxAppendBytes,
        noFsync: false,
        leaseCheckpoint: false,
        skippedIndexes: new Set(),
        compaction: { sliceRows: 10, pauseMs: 5 },
        openEngine: memoryEngineFactory(
          { defer: engineDefer, randomU32: () => this.random.u32() },
          this.engines,
        ),
        createTransport: (identity) =>
          new SimTransport(identity.memberId, this.network, this.process(), (message: Message) =>
            this.checker.onSend(this, message),
          ),
      },
      (error, member) => {
        if (member === null) {
          this.checker.fail('start', `${this.name} does not start: ${String(error?.message)}`);
          return;
        }
        this.member = member;
        this.table = serviceTable(member.roles, member.machine, {
          maxTxnOps: 128,
          maxRequestBytes: 1_572_864,
          watchProgressIntervalMs: 5000,
        });
        this.checker.onStart(this, member);
        member.start(() => undefined);
      },
    );
  }

  /** Ends as SIGTERM asks: the member stops by itself while everything else goes on; `done` runs when it has ended. */
  stopGracefully(done: () => void): void {
    this.member?.stop(() => {
      this.kill();
      done();
    });
  }

  /** Loses power: the process ends, and so does what was not synced (or any part of it). */
  crash(): void {
    this.stopProcess();
    const keepRate = this.random.unit();
    this.disk.crash(() => this.random.chance(keepRate));
    for (const engine of this.engines.values()) engine.crash(() => this.random.u32());
  }

  /** The process is killed; what it wrote stays in the operating system's cache. */
  kill(): void {
    this.stopProcess();
    this.disk.crash(() => true);
  }

  private stopProcess(): void {
    this.epoch++;
    this.pausedUntilResume = null;
    this.checker.onStop(this);
    this.member = null;
    this.table = null;
    this.network.detach(this.id);
  }

  pause(): void {
    this.pausedUntilResume ??= [];
  }

  /** Everything that fell due meanwhile happens at once, in the order in which it fell due. */
  resume(): void {
    const due = this.pausedUntilResume ?? [];
    this.pausedUntilResume = null;
    for (const run of due) run();
  }
}
