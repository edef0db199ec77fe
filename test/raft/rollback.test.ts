import { expect } from 'chai';

import { Role } from '../../src/raft/types.js';
import { Random, seeds } from './support/random.js';
import { Sim } from './support/sim.js';
import type { SimNode } from './support/sim.js';

const SEEDS = seeds(1, Number(process.env['RAFT_SEEDS'] ?? 400));

/** Terms by index of what a member holds as committed and still has in memory. */
function committedBy(node: SimNode): Map<number, number> {
  const terms = new Map<number, number>();
  const { core } = node;
  if (core === null) return terms;
  for (let i = Math.max(1, core.status().compactedIndex); i <= core.commitIndex; i++) {
    const term = core.termAt(i);
    if (term !== undefined) terms.set(i, term);
  }
  return terms;
}

function differs(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): boolean {
  for (const [index, term] of a) if ((b.get(index) ?? term) !== term) return true;
  return false;
}

class Rollback {
  readonly sim: Sim;
  readonly random: Random;
  readonly witness: SimNode;
  readonly rolledBack: SimNode;
  readonly other: SimNode;
  /** Commit index with which the witness returns: one that it did not write down is no witness. */
  witnessed = new Map<number, number>();
  /** The witness took a snapshot: the leader no longer has the entries by which the histories could be compared. */
  isReplaced = false;

  constructor(seed: number) {
    this.random = new Random(seed ^ 0x1b873593);
    this.sim = new Sim({
      seed,
      members: 3,
      spares: 0,
      preVote: true,
      churn: false,
      onReady: (id, rd) => {
        if (id === this.witness.id && rd.snapshot !== null) this.isReplaced = true;
      },
    });
    const [a, b, c] = this.sim.list();
    if (a === undefined || b === undefined || c === undefined) throw new Error('three members');
    this.witness = a;
    this.rolledBack = b;
    this.other = c;
  }

  /** Lets `node` try to become leader with the vote of `voter` alone. */
  private elect(node: SimNode, voter: SimNode): void {
    for (let i = 0; i < 3 && node.core?.role !== Role.leader; i++) {
      voter.core?.forgetLeader();
      node.core?.forgetLeader();
      node.core?.campaign();
      this.sim.settle([node.id, voter.id]);
    }
  }

  private write(leader: SimNode, among: readonly SimNode[], times: number): void {
    for (let i = 0; i < times; i++) {
      this.sim.propose(leader, 1 + this.random.below(3));
      this.sim.settle(among.map((n) => n.id));
      const node = this.random.pick(among);
      if (node !== undefined && this.random.chance(200)) {
        this.sim.checkpoint(node, this.random.below(4));
      }
    }
  }

  /** The witness and the later rolled back member commit what the third does not have; then both go down. */
  commitWithWitness(): void {
    const { sim, random, witness, rolledBack, other } = this;
    this.elect(witness, rolledBack);
    sim.settle();
    this.write(witness, [witness, rolledBack, other], random.below(4));
    sim.copy(rolledBack);
    if (random.chance(300)) this.elect(rolledBack, witness);
    if (random.chance(300)) this.elect(witness, rolledBack);
    const leader = sim.leaderNode() ?? witness;
    this.write(leader, [witness, rolledBack], random.below(6));
    for (let i = 0; i < 3; i++) {
      for (const node of [witness, rolledBack]) sim.tick(node);
      sim.settle([witness.id, rolledBack.id]);
    }
    sim.crash(witness);
    sim.crash(rolledBack);
    sim.network.splice(0);
  }

  /** The other two go on without the witness, one of them on its old copy. */
  goOn(): void {
    const { sim, random, rolledBack, other } = this;
    sim.rollBack(rolledBack);
    sim.start(rolledBack);
    const both = random.chance(500) ? [rolledBack, other] : [other, rolledBack];
    const [leader, voter] = both as [SimNode, SimNode];
    this.elect(leader, voter);
    this.write(sim.leaderNode() ?? leader, both, random.below(8));
  }

  /** The witness returns; messages are lost and leaders change until nothing more can come to light. */
  returnWitness(): void {
    const { sim, random } = this;
    sim.start(this.witness);
    this.witnessed = committedBy(this.witness);
    this.isReplaced = false;
    for (let round = 0; round < 120; round++) {
      for (const node of sim.live()) {
        sim.tick(node);
        if (round < 60 && random.chance(20)) node.core?.forgetLeader();
      }
      if (round < 60 && random.chance(300)) {
        const leader = sim.leaderNode();
        if (leader !== undefined) sim.propose(leader, 1);
      }
      while (round < 60 && sim.network.length > 0 && random.chance(300)) {
        sim.lose(random.below(sim.network.length));
      }
      sim.settle();
      if (round % 10 === 0) sim.reportLostSnapshots();
    }
  }
}

describe('a member rolled back to an older copy of its data', function () {
  this.timeout(120_000);

  it('ends in a stop of a member with the finding, never in two histories', () => {
    let contradictions = 0;
    let unharmed = 0;
    for (const seed of SEEDS) {
      const r = new Rollback(seed);
      try {
        r.commitWithWitness();
        r.goOn();
        r.returnWitness();
      } catch (error) {
        throw new Error(`SEED=${seed}: ${String(error)}`, { cause: error });
      }
      const live = r.sim.live();
      for (const a of live) {
        for (const b of live) {
          expect(differs(committedBy(a), committedBy(b)), `SEED=${seed} ${a.id} ${b.id}`)
            .to //
            .equal(false);
        }
      }
      const isStopped = r.witness.contradiction !== null;
      if (isStopped) contradictions++;
      else unharmed++;
      const isLost = r.sim.live().some((n) => differs(r.witnessed, committedBy(n)));
      if (isLost && !r.isReplaced)
        expect(isStopped, `SEED=${seed}: a lost commit went unnoticed`).to.equal(true);
      const quorum = live.length >= 2;
      expect(quorum, `SEED=${seed}: more than one member stopped`).to.equal(true);
      expect(r.sim.leaderNode(), `SEED=${seed}: no leader`).not.to.equal(undefined);
    }
    // Both outcomes have to occur, or the test proves nothing.
    if (SEEDS.length < 50) return;
    expect(contradictions).to.be.greaterThan(SEEDS.length / 10);
    expect(unharmed).to.be.greaterThan(SEEDS.length / 10);
  });
});
