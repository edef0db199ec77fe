import { expect } from 'chai';

import type { Raft } from '../../src/raft/raft.js';
import { ConfChangeType, Role } from '../../src/raft/types.js';
import type { ConfChange } from '../../src/raft/types.js';
import { Random, seeds } from './support/random.js';
import { Sim } from './support/sim.js';
import type { SimNode } from './support/sim.js';

const SEEDS = seeds(1, Number(process.env['RAFT_SEEDS'] ?? 300));
const STEPS = 8000;

interface Faults {
  readonly drop: number;
  readonly duplicate: number;
  readonly crash: number;
  readonly partition: number;
  readonly change: number;
  readonly transfer: number;
  readonly slowApply: number;
  readonly slowDisk: number;
  readonly compact: number;
  readonly ticks: number;
  readonly unrest: number;
}

/** Each run stresses some things and leaves others alone; a mixture of everything hides what only one of them shows. */
function drawFaults(random: Random, churn: boolean): Faults {
  const some = (max: number): number => (random.chance(500) ? random.below(max) : 0);
  return {
    drop: some(250),
    duplicate: some(200),
    crash: some(12),
    partition: some(12),
    change: churn ? 4 + random.below(12) : 0,
    transfer: some(8),
    slowApply: some(900),
    slowDisk: some(900),
    compact: some(60),
    ticks: some(300),
    unrest: some(60),
  };
}

function randomChange(sim: Sim): ConfChange {
  const { random } = sim;
  const id = BigInt(1 + random.below(sim.nodes.size));
  const type = random.pick([
    ConfChangeType.addVoter,
    ConfChangeType.addLearner,
    ConfChangeType.removeMember,
    ConfChangeType.updateMember,
  ]);
  return { type: type ?? ConfChangeType.addVoter, memberId: id, context: new Uint8Array(0) };
}

/** Ids are never reused (R34): a member that was removed is not proposed again. */
function proposeChange(sim: Sim, node: SimNode): void {
  const change = randomChange(sim);
  if (change.type !== ConfChangeType.removeMember && sim.removed.has(change.memberId)) return;
  const leader = sim.leaderNode();
  const conf = leader?.conf;
  if (conf === undefined) return;
  if (change.type === ConfChangeType.removeMember && conf.voters.length <= 2) return;
  sim.change(node, change);
}

/** Heals, cuts random directed links, or cuts a leader off in one direction or both. */
function partition(sim: Sim): void {
  const { random } = sim;
  const nodes = sim.list();
  sim.cut.clear();
  if (random.chance(300)) return;
  const leader = sim.leaderNode();
  if (leader !== undefined && random.chance(500)) {
    const ways = 1 + random.below(3);
    for (const n of nodes) {
      if ((ways & 1) !== 0) sim.cut.add(`${leader.id}>${n.id}`);
      if ((ways & 2) !== 0) sim.cut.add(`${n.id}>${leader.id}`);
    }
    return;
  }
  for (const a of nodes) {
    for (const b of nodes) if (random.chance(400)) sim.cut.add(`${a.id}>${b.id}`);
  }
}

/** Some member, or one in the role of leader: stale reads come from those. */
function anyOrLeader(sim: Sim, node: SimNode): SimNode {
  if (sim.random.chance(500)) return node;
  return sim.random.pick(sim.live().filter((n) => n.core?.role === Role.leader)) ?? node;
}

function oneStep(sim: Sim, faults: Faults): void {
  const { random } = sim;
  const nodes = sim.list();
  const node = random.pick(nodes);
  if (node === undefined) return;
  if (random.chance(faults.crash)) {
    if (node.core === null) sim.start(node);
    else sim.crash(node);
    return;
  }
  if (random.chance(faults.partition)) {
    partition(sim);
    return;
  }
  if (random.chance(faults.change)) return proposeChange(sim, node);
  if (random.chance(faults.transfer)) {
    node.core?.transferLeader(random.pick(nodes)?.id ?? 0n);
    return;
  }
  if (random.chance(faults.compact)) return sim.checkpoint(node, random.below(10));
  if (random.chance(faults.unrest)) {
    // Members lose faith in their leader, and one of them acts on it.
    for (const n of nodes) if (random.chance(500)) n.core?.forgetLeader();
    if (random.chance(500)) node.core?.campaign();
    return;
  }
  if (random.chance(faults.ticks)) return sim.tick(node);
  switch (random.below(12)) {
    case 0:
      return sim.tick(node);
    case 1:
      if (random.chance(300)) sim.propose(anyOrLeader(sim, node), 1 + random.below(3));
      return;
    case 2:
      if (random.chance(300)) sim.read(anyOrLeader(sim, node));
      return;
    case 3:
    case 4:
      sim.takeReady(node);
      return;
    case 5:
    case 6:
      if (!random.chance(faults.slowDisk)) sim.finishWrite(node);
      return;
    case 7:
      if (!random.chance(faults.slowApply)) sim.applyOne(node);
      return;
    case 8:
      if (random.chance(20)) node.core?.reportUnreachable(random.pick(nodes)?.id ?? 0n);
      if (random.chance(5)) node.core?.forgetLeader();
      return;
    default: {
      if (sim.network.length === 0) return;
      const at = random.below(sim.network.length);
      if (random.chance(faults.drop)) sim.lose(at);
      else sim.deliver(at, random.chance(faults.duplicate));
      while (sim.network.length > 400) sim.lose(0);
    }
  }
}

/** With every fault gone the cluster must work again: elect, commit, catch everybody up, answer reads (I25). */
function heal(sim: Sim): void {
  sim.cut.clear();
  while (sim.network.length > 0) sim.lose(0);
  sim.reportLostSnapshots();
  for (const n of sim.list()) if (n.core === null) sim.start(n);
  let rounds = 0;
  const isDone = (): boolean => {
    const leader = sim.leaderNode();
    if (leader?.core === null || leader === undefined) return false;
    const members = [...leader.conf.voters, ...leader.conf.learners];
    return members.every((id) => sim.nodes.get(id)?.applied === leader.core?.lastIndex);
  };
  for (const wanted of ['leader', 'progress']) {
    let context = 0;
    for (; ; rounds++) {
      if (rounds > 400) throw new Error(`no ${wanted} after ${rounds} rounds without faults`);
      for (const n of sim.live()) sim.tick(n);
      sim.settle();
      const leader = sim.leaderNode();
      if (leader !== undefined && wanted === 'leader') {
        sim.propose(leader, 2);
        break;
      }
      if (leader !== undefined && (context === 0 || !sim.isReadPending(context))) {
        if (context !== 0 && isDone()) break;
        const asker = sim.random.pick(leader.conf.voters) ?? 0n;
        context = sim.read(sim.nodes.get(asker) ?? leader);
      } else if (rounds % 20 === 0) context = 0;
    }
  }
  for (const n of sim.live()) {
    const raft = Reflect.get(n.core ?? {}, 'raft') as Raft;
    if (raft.role !== Role.leader) continue;
    if (raft.log.committed === raft.log.lastIndex) {
      expect(raft.uncommittedBytes, 'C7 bytes counted as uncommitted when nothing is').to.equal(0);
    }
    for (const p of raft.tracker.peers) {
      if (p.match === raft.log.lastIndex)
        expect(p.inflights.bytes, 'C5 window not empty').to.equal(0);
    }
  }
}

function run(seed: number, churn: boolean): Sim {
  const random = new Random(seed ^ 0x5bd1e995);
  const members = churn ? 3 : (random.pick([1, 2, 3, 3, 3, 5]) ?? 3);
  const sim = new Sim({
    seed,
    members,
    spares: churn ? 4 : 0,
    preVote: random.chance(800),
    churn,
  });
  const faults = drawFaults(random, churn);
  try {
    for (let i = 0; i < STEPS; i++) oneStep(sim, faults);
    heal(sim);
  } catch (error) {
    throw new Error(`SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  return sim;
}

/**
 * Rounds of: split the members in two, let some of them seek election, let a little happen on each side. Messages that cross
 * the split is delayed, not lost, so that the words of deposed leaders and earlier followers arrive late.
 */
function storm(seed: number, churn: boolean): Sim {
  const random = new Random(seed ^ 0x2545f491);
  const members = random.pick([3, 3, 4, 5]) ?? 3;
  const sim = new Sim({ seed, members, spares: churn ? 3 : 0, preVote: random.chance(300), churn });
  const slowDisk = random.pick([0, 500, 900]) ?? 0;
  const slowApply = random.pick([0, 500, 900]) ?? 0;
  try {
    for (let round = 0; round < 50; round++) {
      const nodes = sim.list();
      const side = new Set(nodes.filter(() => random.chance(500)).map((n) => n.id));
      const isWhole = random.chance(300);
      const reaches = (a: bigint, b: bigint): boolean => isWhole || side.has(a) === side.has(b);
      for (const n of nodes) {
        if (random.chance(n.core === null ? 400 : 30)) {
          if (n.core === null) sim.start(n);
          else sim.crash(n);
        }
        if (random.chance(400)) n.core?.forgetLeader();
        if (random.chance(120)) n.core?.campaign();
      }
      const first = random.pick(nodes);
      if (churn && first !== undefined && random.chance(500)) {
        proposeChange(sim, anyOrLeader(sim, first));
      }
      for (let left = 100 + random.below(300); left > 0; left--) {
        const node = random.pick(nodes) ?? nodes[0];
        if (node === undefined) break;
        switch (random.below(9)) {
          case 0:
            if (random.chance(150)) sim.propose(anyOrLeader(sim, node), 1);
            break;
          case 1:
            if (random.chance(150)) sim.read(anyOrLeader(sim, node));
            break;
          case 2:
          case 3:
            sim.takeReady(node);
            break;
          case 4:
            if (!random.chance(slowDisk)) sim.finishWrite(node);
            break;
          case 5:
            if (!random.chance(slowApply)) sim.applyOne(node);
            break;
          case 6:
            if (random.chance(60)) sim.tick(node);
            else if (random.chance(30)) sim.checkpoint(node, random.below(4));
            break;
          default: {
            const at = random.below(sim.network.length);
            const m = sim.network[at];
            if (m === undefined || !reaches(m.from, m.to)) break;
            if (random.chance(20)) sim.lose(at);
            else sim.deliver(at, random.chance(50));
          }
        }
        while (sim.network.length > 300) sim.lose(random.below(sim.network.length));
      }
    }
    heal(sim);
  } catch (error) {
    throw new Error(`SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  return sim;
}

describe('a cluster under random faults', function () {
  this.timeout(120_000);

  for (const [name, churn, play] of [
    ['events at random, fixed membership', false, run],
    ['events at random, changing membership', true, run],
    ['splits and elections, fixed membership', false, storm],
    ['splits and elections, changing membership', true, storm],
  ] as const) {
    it(`keeps I1-I7, I11 and recovers: ${name}`, () => {
      const total = { commits: 0, reads: 0, snapshots: 0, changes: 0, crashes: 0, terms: 0 };
      for (const seed of SEEDS) {
        const sim = play(seed, churn);
        total.commits += sim.commits;
        total.reads += sim.readsAnswered;
        total.snapshots += sim.snapshotsInstalled;
        total.changes += sim.changesApplied;
        total.crashes += sim.crashes;
        total.terms += sim.leaders.size;
      }
      if (process.env['VERBOSE'] !== undefined) console.log(total);
      expect(total.commits).to.be.greaterThan(SEEDS.length);
      // The run means nothing unless it reached what it is meant to stress.
      if (SEEDS.length < 50) return;
      expect(total.reads).to.be.greaterThan(SEEDS.length);
      expect(total.snapshots).to.be.greaterThan(10);
      expect(total.crashes).to.be.greaterThan(100);
      expect(total.terms).to.be.greaterThan(SEEDS.length);
      if (churn) expect(total.changes).to.be.greaterThan(100);
    });
  }
});
