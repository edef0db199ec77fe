import { verifyInvariants } from '../../src/base/invariant.js';
import type { MemberId } from '../../src/raft/types.js';
import type { Member } from '../../src/server/member/member.js';
import { bootstrapClusterId, bootstrapMemberId } from '../../src/server/config/ids.js';
import { Checker, type Violation } from './checker.js';
import { Watcher, Writer, type Load } from './clients.js';
import { Host, type Tuning } from './host.js';
import { Network, type NetworkFaults } from './network.js';
import { Random, Scheduler } from './scheduler.js';

/**
 * One run: a cluster of whole members, clients and faults, all derived from one seed. First faults are on and safety
 * is checked; then everything is healed and the cluster must come to agree on all that was acknowledged.
 */
export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | null;
  /** Equal for two runs of one seed. */
  readonly trace: number;
  readonly events: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly refused: ReadonlyMap<string, number>;
  readonly revisions: number;
  readonly leaderChanges: number;
  readonly crashes: number;
  readonly stops: number;
  readonly watchEvents: number;
  readonly platterChecks: number;
}

export interface RunOptions {
  readonly seed: number;
  readonly simulatedMs: number;
  /** Fixes what the seed would otherwise draw. */
  readonly size?: number;
  readonly tuning?: Partial<Tuning>;
  readonly faults?: Partial<FaultRates>;
  /** Called with each member before it starts: plants a bug to prove that the checks can fail. */
  readonly sabotage?: (member: Member) => void;
}

const HEAL_MS = 25_000;
const SETTLE_MS = 15_000;

export function simulate(options: RunOptions): RunResult {
  verifyInvariants();
  const { seed } = options;
  const scheduler = new Scheduler();
  const config = new Random(seed, 'config');
  const checker = new Checker(scheduler, new Random(seed, 'checker'));
  const network = new Network(scheduler, new Random(seed, 'network'));
  const size = options.size ?? config.pick([1, 3, 3, 3, 3, 5]);
  const heartbeatMs = config.pick([50, 100, 100, 200]);
  const tuning: Tuning = {
    heartbeatMs,
    electionMs: heartbeatMs * 10,
    snapshotCount: config.pick([5, 20, 100, 1000]),
    catchupEntries: config.pick([1, 10, 50]),
    segmentBytes: config.pick([8, 32, 64]) * 1024,
    maxAppendBytes: config.pick([1, 200, 1024 * 1024]),
    diskMeanMs: config.pick([0.1, 1, 5, 30]),
    engineMeanMs: config.pick([0.2, 0.2, 2, 10]),
    preVote: config.chance(0.9),
    advanceElection: config.chance(0.5),
    ...options.tuning,
  };
  const peers = Array.from({ length: size }, (_, i) => `http://m${i}:2380`);
  const ids = peers.map((url) => bootstrapMemberId([url], 'sim'));
  const members = ids.map((id, i) => ({
    id,
    name: `m${String(id)}`,
    peerURLs: [peers[i] ?? ''],
  }));
  const clusterId = bootstrapClusterId([...ids].sort((a, b) => (a < b ? -1 : 1)));
  const hosts = ids.map(
    (id, i) =>
      new Host({
        id,
        name: `m${i}`,
        scheduler,
        random: new Random(seed, `host${i}`),
        network,
        checker,
        tuning,
        bootstrap: { memberId: id, clusterId, members },
      }),
  );
  if (options.sabotage !== undefined) checker.sabotage = options.sabotage;
  for (const host of hosts) host.start();

  const load: Load = {
    scheduler,
    random: new Random(seed, 'load'),
    checker,
    hosts,
    floor: 1,
    acknowledged: 0,
    unknown: 0,
    refused: new Map(),
    watchEvents: 0,
  };
  const writers = Array.from({ length: 3 + config.below(6) }, (_, i) => new Writer(load, `c${i}`));
  const watchers = Array.from(
    { length: 1 + config.below(4) },
    (_, i) => new Watcher(load, `w${i}`),
  );
  for (const w of writers) w.start();
  for (const w of watchers) w.run();

  const rates = { ...drawRates(config), ...options.faults };
  const faults = new Faults(scheduler, new Random(seed, 'faults'), network, hosts, rates);
  const faultyMs = Math.max(0, options.simulatedMs - HEAL_MS);
  checker.onNewLeader = (host) => faults.newLeader(host);
  faults.start();
  runUntil(scheduler, checker, faultyMs);
  faults.stop();
  const deadline = Math.max(options.simulatedMs, faultyMs + HEAL_MS);
  runUntil(scheduler, checker, deadline - SETTLE_MS);
  for (const w of writers) w.stopped = true;
  runUntil(scheduler, checker, deadline);
  if (checker.violation === null) checkEnd(checker, hosts, watchers, load);
  return {
    seed,
    violation: checker.violation,
    trace: checker.trace,
    events: scheduler.executed,
    acknowledged: load.acknowledged,
    unknown: load.unknown,
    refused: load.refused,
    revisions: checker.maxRevision,
    leaderChanges: checker.leaderChanges,
    crashes: faults.crashes,
    stops: faults.stops,
    watchEvents: load.watchEvents,
    platterChecks: checker.platterChecks,
  };
}

/** Executes in steps, so that a run ends soon after its first violation. */
function runUntil(scheduler: Scheduler, checker: Checker, untilMs: number): void {
  while (scheduler.now < untilMs && checker.violation === null) {
    scheduler.run(Math.min(untilMs, scheduler.now + 50));
  }
}

/** After healing: a leader, equal states everywhere, nothing acknowledged lost, every watch complete (I25). */
function checkEnd(
  checker: Checker,
  hosts: readonly Host[],
  watchers: readonly Watcher[],
  load: Load,
): void {
  const running = hosts.flatMap((h) => (h.member === null ? [] : [h.member]));
  if (running.length !== hosts.length)
    return checker.fail('I25 liveness', 'a member did not come back');
  if (!running.some((m) => m.leadership.isLeader))
    return checker.fail('I25 liveness', 'no leader after healing');
  for (const member of running) {
    if (member.store.currentRevision < load.floor) {
      checker.fail(
        'nothing acknowledged is lost',
        `a member is at ${member.store.currentRevision}, ${load.floor} was acknowledged`,
      );
    }
    const first = running[0];
    if (first !== undefined && member.store.currentRevision !== first.store.currentRevision) {
      checker.fail(
        'I25 convergence',
        `revisions ${member.store.currentRevision} and ${first.store.currentRevision} after healing (applied ${member.leadership.appliedIndex} and ${first.leadership.appliedIndex})`,
      );
    }
    compareState(checker, member);
  }
  for (const [i, w] of watchers.entries()) {
    if (!w.isCaughtUp) checker.fail('I25 watches complete', `watcher ${i} is behind after healing`);
  }
}

function compareState(checker: Checker, member: NonNullable<Host['member']>): void {
  const { store } = member;
  const rows = store.list({ start: '', end: null }, store.currentRevision, 0);
  const got = rows.map((r) => `${r.key}@${r.modRevision}`).join();
  const want = checker
    .stateAt(store.currentRevision, '', null)
    .map((r) => `${r.key}@${r.mod}`)
    .join();
  if (got !== want) checker.fail('I9 equal states', `final keys ${got}, expected ${want}`);
}

/** Mean times between faults; Infinity for never. */
export interface FaultRates {
  readonly crashEveryMs: number;
  /** Probability that a new leader loses power soon after its election, and its mean age then. */
  readonly leaderCrashChance: number;
  readonly leaderCrashMs: number;
  readonly maxDownMs: number;
  /** Mean time between members that stop as SIGTERM asks. */
  readonly stopEveryMs: number;
  readonly pauseEveryMs: number;
  readonly cutEveryMs: number;
  readonly network: NetworkFaults;
}

function drawRates(config: Random): FaultRates {
  return {
    crashEveryMs: config.pick([2000, 5000, 15_000, Infinity]),
    leaderCrashChance: config.pick([0, 0, 0.2, 0.6]),
    leaderCrashMs: config.pick([10, 40, 200]),
    maxDownMs: config.pick([500, 5000]),
    stopEveryMs: config.pick([2000, 10_000, Infinity]),
    pauseEveryMs: config.pick([3000, 10_000, Infinity]),
    cutEveryMs: config.pick([3000, 8000, Infinity]),
    network: {
      dropRate: config.pick([0, 0.01, 0.1, 0.3]),
      duplicateRate: config.pick([0, 0.05, 0.3]),
      meanDelayMs: config.pick([0.2, 1, 5, 30]),
      reorderRate: config.pick([0, 0.01, 0.1]),
    },
  };
}

/** Breaks hosts and links at random moments; always ready to mend everything. */
class Faults {
  crashes = 0;
  stops = 0;
  private active = true;
  private readonly scheduler: Scheduler;
  private readonly random: Random;
  private readonly network: Network;
  private readonly hosts: readonly Host[];
  private readonly rates: FaultRates;

  constructor(
    scheduler: Scheduler,
    random: Random,
    network: Network,
    hosts: readonly Host[],
    rates: FaultRates,
  ) {
    this.scheduler = scheduler;
    this.random = random;
    this.network = network;
    this.hosts = hosts;
    this.rates = rates;
    network.faults = rates.network;
  }

  start(): void {
    this.repeat(this.rates.crashEveryMs, () => this.crash());
    this.repeat(this.rates.stopEveryMs, () => this.stopOne());
    this.repeat(this.rates.pauseEveryMs, () => this.pauseOne());
    this.repeat(this.rates.cutEveryMs, () => this.partition());
  }

  /** A leader that dies young leaves entries behind which only some have: the hard case of replication. */
  newLeader(host: Host): void {
    if (!this.active || !this.random.chance(this.rates.leaderCrashChance)) return;
    this.scheduler.after(this.random.exponential(this.rates.leaderCrashMs), () =>
      this.crashHost(host),
    );
  }

  private repeat(everyMs: number, act: () => void): void {
    if (everyMs === Infinity) return;
    this.scheduler.after(this.random.exponential(everyMs), () => {
      if (!this.active) return;
      act();
      this.repeat(everyMs, act);
    });
  }

  private crash(): void {
    this.crashHost(this.random.pick(this.hosts));
  }

  private crashHost(host: Host): void {
    if (!this.active || !host.isRunning) return;
    this.crashes++;
    if (this.random.chance(0.7)) host.crash();
    else host.kill();
    this.scheduler.after(this.random.between(5, this.rates.maxDownMs), () => host.start());
  }

  private stopOne(): void {
    const host = this.random.pick(this.hosts);
    if (!host.isRunning || host.isPaused) return;
    this.stops++;
    host.stopGracefully(() => {
      // At the end of all faults every host has to come back at once.
      const downMs = this.active ? this.random.between(5, this.rates.maxDownMs) : 0;
      this.scheduler.after(downMs, () => host.start());
    });
  }

  private pauseOne(): void {
    const host = this.random.pick(this.hosts);
    if (!host.isRunning || host.isPaused) return;
    host.pause();
    this.scheduler.after(this.random.exponential(1500), () => host.resume());
  }

  private partition(): void {
    const ids = this.hosts.map((h) => h.id);
    const shape = this.random.below(3);
    const cut = (from: MemberId, to: MemberId): void => this.network.cutLink(from, to);
    if (shape === 0) {
      const alone = this.random.pick(ids);
      for (const id of ids) {
        if (id === alone) continue;
        cut(alone, id);
        cut(id, alone);
      }
    } else if (shape === 1) {
      const side = new Set(ids.filter(() => this.random.chance(0.5)));
      for (const a of ids) {
        for (const b of ids) if (side.has(a) !== side.has(b)) cut(a, b);
      }
    } else {
      // One direction only.
      cut(this.random.pick(ids), this.random.pick(ids));
    }
    this.scheduler.after(this.random.between(200, 6000), () => this.network.heal());
  }

  /** Mends everything for good. */
  stop(): void {
    this.active = false;
    this.network.heal();
    this.network.faults = { dropRate: 0, duplicateRate: 0, meanDelayMs: 1, reorderRate: 0 };
    for (const host of this.hosts) {
      if (host.isPaused) host.resume();
      if (!host.isRunning) host.start();
    }
  }
}
