import { expect } from 'chai';
import { silentLogger, type Logger } from '../../../src/base/observe/logger.js';
import { Lessor } from '../../../src/lease/lessor.js';
import { NONE, Role } from '../../../src/raft/types.js';
import { LeadershipTracker } from '../../../src/server/member/leadership.js';
import { ManualEnv } from './manual-env.js';

const OWN = 0xan;
const OTHER = 0xbn;

/** The tracker of member a; the test plays the core. */
class Bench {
  readonly env = new ManualEnv();
  readonly lessor = new Lessor({ minTtlSec: 1 });
  readonly lines: string[] = [];
  readonly node = { role: Role.follower, leader: NONE, term: 1, commitIndex: 7, appliedIndex: 5 };
  readonly tracker: LeadershipTracker;
  reigns = 0;

  constructor() {
    const log: Logger = { ...silentLogger, info: (msg) => void this.lines.push(msg) };
    this.tracker = new LeadershipTracker({
      env: this.env,
      log,
      memberId: OWN,
      node: this.node,
      lessor: this.lessor,
      electionMs: 1000,
      onLead: () => this.reigns++,
    });
  }

  become(role: Role, leader: bigint): void {
    Object.assign(this.node, { role, leader });
    this.tracker.onSoftState({ role, leader });
  }
}

describe('LeadershipTracker', () => {
  it('tells since when there is no leader', () => {
    const b = new Bench();
    b.env.advance(500);
    expect(b.tracker.leaderlessSinceMs).to.equal(0);
    b.become(Role.follower, OTHER);
    expect(b.tracker.leaderlessSinceMs).to.equal(undefined);
    b.env.advance(500);
    b.become(Role.preCandidate, NONE);
    b.env.advance(500);
    b.become(Role.candidate, NONE);
    expect(b.tracker.leaderlessSinceMs).to.equal(1000);
    b.become(Role.leader, OWN);
    expect(b.tracker.leaderlessSinceMs).to.equal(undefined);
  });

  it('lets others wait for a leader, once each', () => {
    const b = new Bench();
    const led: string[] = [];
    b.tracker.onceLed(() => {
      led.push('first');
      b.tracker.onceLed(() => led.push('within'));
    });
    b.become(Role.candidate, NONE);
    expect(led).to.deep.equal([]);
    b.become(Role.follower, OTHER);
    b.tracker.onceLed(() => led.push('at once'));
    b.become(Role.follower, NONE);
    b.become(Role.leader, OWN);
    expect(led).to.deep.equal(['first', 'within', 'at once']);
  });

  it('counts leaders, a return of the same one included, and no report twice', () => {
    const b = new Bench();
    for (const leader of [OTHER, OTHER, NONE, OTHER, 0xcn]) b.become(Role.follower, leader);
    expect(b.tracker.changes).to.equal(3);
  });

  it('logs changes of leader in the words of etcd', () => {
    const b = new Bench();
    b.become(Role.follower, OTHER);
    b.node.term = 2;
    b.become(Role.follower, 0xcn);
    b.node.term = 3;
    b.become(Role.follower, NONE);
    expect(b.lines).to.deep.equal([
      'raft.node: a elected leader b at term 1',
      'raft.node: a changed leader from b to c at term 2',
      'raft.node: a lost leader c at term 3',
    ]);
  });

  it('has the lessor keep time on the leader only, and reports each reign once', () => {
    const b = new Bench();
    b.lessor.grant(1n, 10);
    b.become(Role.leader, OWN);
    b.become(Role.leader, OWN);
    expect([b.lessor.isPrimary, b.reigns]).to.deep.equal([true, 1]);
    expect(b.tracker.isLeader).to.equal(true);
    b.become(Role.follower, OTHER);
    expect([b.lessor.isPrimary, b.reigns]).to.deep.equal([false, 1]);
    b.become(Role.leader, OWN);
    expect([b.lessor.isPrimary, b.reigns]).to.deep.equal([true, 2]);
  });

  it('answers from the core itself', () => {
    const b = new Bench();
    b.become(Role.follower, OTHER);
    b.node.term = 9;
    const { leaderId, term, committedIndex, appliedIndex, electionMs, isLeader } = b.tracker;
    expect({ leaderId, term, committedIndex, appliedIndex, electionMs, isLeader }).to.deep.equal({
      leaderId: OTHER,
      term: 9,
      committedIndex: 7,
      appliedIndex: 5,
      electionMs: 1000,
      isLeader: false,
    });
  });
});
