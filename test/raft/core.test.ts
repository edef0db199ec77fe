import { expect } from 'chai';

import { message, MessageType as T, Role } from '../../src/raft/types.js';
import type { Message } from '../../src/raft/types.js';
import { entriesOf, Lone } from './support/lone.js';
import type { LoneSetup } from './support/lone.js';

const bytes = (n: number): Uint8Array => new Uint8Array(n);
const ofType = (messages: readonly Message[], type: number): Message[] =>
  messages.filter((m) => m.type === type);

function settledLeader(setup: LoneSetup = {}): Lone {
  const l = new Lone(setup);
  l.elect();
  for (const v of l.node.status().confState.voters) {
    if (v !== 1n) l.step(T.appendResponse, v, { index: l.node.lastIndex });
  }
  return l;
}

/** Reads answered by everything the member hands out from now on. */
function readsOf(l: Lone): number[] {
  const contexts: number[] = [];
  const ready = l.node.ready.bind(l.node);
  l.node.ready = () => {
    const rd = ready();
    for (const s of rd.readStates) contexts.push(s.context);
    return rd;
  };
  return contexts;
}

describe('elections', () => {
  it('count no own vote that became durable after the election was lost (C11)', () => {
    const l = new Lone();
    l.node.campaign();
    l.hold = true;
    l.pump();
    l.step(T.heartbeat, 2n, { term: 1, context: 1 });
    l.release();
    l.pump();
    expect(l.node.role).to.equal(Role.follower);
    expect(l.node.leader).to.equal(2n);
  });

  it('count no pre-vote granted for another term (R9)', () => {
    for (const term of [4, 6]) {
      const l = new Lone({ term: 4, config: { preVote: true } });
      l.node.campaign();
      l.pump();
      l.step(T.preVoteResponse, 2n, { term });
      expect(l.node.role, `granted for ${term}`).to.equal(Role.preCandidate);
      l.step(T.preVoteResponse, 2n, { term: 5 });
      expect(l.node.role).to.equal(Role.candidate);
    }
  });

  it('grant a pre-vote without recording anything (R9)', () => {
    const l = new Lone({ term: 3 });
    const [answer] = l.step(T.preVote, 2n, { term: 4, index: 0 });
    expect(answer).to.include({ type: T.preVoteResponse, term: 4, reject: false });
    expect(l.node.status().hardState).to.include({ term: 3, vote: 0n });
    expect(l.syncs).to.equal(0);
  });

  it('answer a pre-vote of an old term with the own one, so that no candidate is stuck behind (C21)', () => {
    const l = new Lone({ term: 9 });
    expect(l.step(T.preVote, 2n, { term: 4 })[0]).to.include({ term: 9, reject: true });
  });

  it('ignore requests while a leader is alive, except those of a transfer (R10)', () => {
    for (const type of [T.vote, T.preVote]) {
      const l = new Lone({ config: { checkQuorum: true } });
      l.step(T.heartbeat, 2n, { term: 1, context: 1 });
      expect(l.step(type, 3n, { term: 5, logTerm: 5, index: 9 })).to.have.length(0);
      expect(l.node.term).to.equal(1);
      l.tick(10);
      expect(l.step(type, 3n, { term: 5, logTerm: 5, index: 9 })[0]?.reject).to.equal(false);
    }
    const l = new Lone({ config: { checkQuorum: true } });
    l.step(T.heartbeat, 2n, { term: 1, context: 1 });
    const forced = l.step(T.vote, 3n, { term: 5, logTerm: 5, index: 9, force: true });
    expect(forced[0]?.reject).to.equal(false);
  });

  it('work in a cluster where some members use pre-vote and others do not (C21)', () => {
    const plain = new Lone({ term: 2, config: { preVote: false } });
    expect(plain.step(T.preVote, 2n, { term: 3 })[0]?.reject).to.equal(false);
    const pre = new Lone({ term: 2, config: { preVote: true } });
    expect(pre.step(T.vote, 2n, { term: 3 })[0]?.reject).to.equal(false);
  });

  it('are not held by a member outside the configuration (R11)', () => {
    const l = new Lone({ voters: 3 });
    l.node.applyConfChange({ type: 1, memberId: 1n, context: bytes(0) });
    l.node.campaign();
    l.tick(100);
    expect(l.sent).to.have.length(0);
    expect(l.node.propose([bytes(1)])).to.equal('removed');
  });
});

describe('linearizable reads', () => {
  it('of an earlier term are never answered, not even when the member leads again (R12)', () => {
    const l = settledLeader();
    const reads = readsOf(l);
    l.node.readIndex(7);
    l.pump();
    // Another leader commits something in the meantime.
    l.step(T.append, 2n, { term: 2, index: 1, logTerm: 1, entries: entriesOf([2], 1), commit: 2 });
    l.elect();
    l.step(T.appendResponse, 2n, { index: l.node.lastIndex });
    l.node.readIndex(8);
    const round = ofType(l.pump(), T.heartbeat).at(-1)?.context ?? 0;
    l.step(T.heartbeatResponse, 2n, { context: round });
    expect(reads).to.deep.equal([8]);
  });

  it('answer a follower with its own context and boot, and a follower takes only its own boot (D2)', () => {
    const l = settledLeader();
    const sent = l.step(T.readIndex, 2n, { term: 0, context: 5, incarnation: 99 });
    const round = ofType(sent, T.heartbeat)[0]?.context ?? 0;
    const [answer] = ofType(
      l.step(T.heartbeatResponse, 3n, { context: round }),
      T.readIndexResponse,
    );
    expect(answer).to.include({ to: 2n, context: 5, incarnation: 99, index: 1 });

    const follower = new Lone({ config: { incarnation: 99 } });
    const reads = readsOf(follower);
    follower.step(T.heartbeat, 2n, { term: 1, context: 1 });
    expect(follower.node.readIndex(5)).to.equal(true);
    expect(ofType(follower.pump(), T.readIndex)[0]).to.include({
      context: 5,
      incarnation: 99,
      to: 2n,
    });
    follower.step(T.readIndexResponse, 2n, { context: 5, index: 0, incarnation: 98 });
    expect(reads).to.deep.equal([]);
    follower.step(T.readIndexResponse, 2n, { context: 5, index: 0, incarnation: 99 });
    expect(reads).to.deep.equal([5]);
  });

  it('are refused at once without a leader, so that the caller retries (D5)', () => {
    expect(new Lone().node.readIndex(1)).to.equal(false);
  });

  it('of one turn share one round, of members and learners alike (D6)', () => {
    const l = settledLeader({ learners: [9n] });
    l.node.readIndex(1);
    l.node.readIndex(2);
    l.node.step({ ...probe, type: T.readIndex, from: 9n, term: 0, context: 3 });
    expect(ofType(l.pump(), T.heartbeat).filter((m) => m.to === 2n)).to.have.length(1);
    expect(
      ofType(l.step(T.readIndex, 8n, { term: 0, context: 3 }), T.heartbeat),
      'a stranger',
    ).to.have.length(0);
  });

  it('are not confirmed by learners', () => {
    const l = settledLeader({ learners: [8n, 9n] });
    const reads = readsOf(l);
    l.node.readIndex(1);
    const round = ofType(l.pump(), T.heartbeat)[0]?.context ?? 0;
    l.step(T.heartbeatResponse, 8n, { context: round });
    l.step(T.heartbeatResponse, 9n, { context: round });
    expect(reads).to.deep.equal([]);
  });

  it('use rounds that never repeat over terms', () => {
    const l = settledLeader();
    l.node.readIndex(1);
    const first = ofType(l.pump(), T.heartbeat)[0]?.context ?? 0;
    l.step(T.append, 2n, { term: 2, index: 1, logTerm: 1 });
    l.elect();
    l.step(T.appendResponse, 2n, { index: l.node.lastIndex });
    l.node.readIndex(2);
    expect(ofType(l.pump(), T.heartbeat).at(-1)?.context).to.be.greaterThan(first);
  });
});

describe('replication', () => {
  it('answers several appends of one turn with one acknowledgement, but never merges a rejection into it', () => {
    const l = new Lone();
    const from2 = { ...probe, type: T.append, from: 2n, term: 1 };
    l.node.step({ ...from2, entries: entriesOf([1]) });
    l.node.step({ ...from2, index: 1, logTerm: 1, entries: entriesOf([1], 1) });
    expect(l.pump().map((m) => [m.index, m.reject])).to.deep.equal([[2, false]]);
    const from3 = { ...from2, from: 3n, term: 3 };
    l.node.step({ ...from3, index: 1, logTerm: 2 });
    l.node.step({ ...from3, index: 2, logTerm: 1, entries: entriesOf([3], 2) });
    expect(l.pump().map((m) => [m.index, m.reject])).to.deep.equal([
      [1, true],
      [3, false],
    ]);
  });

  it('sends the entries of several proposals of one turn in one message per follower', () => {
    const l = settledLeader();
    for (let i = 0; i < 5; i++) l.node.propose([bytes(1), bytes(1)]);
    expect(l.pump().map((m) => [m.to, m.type, m.entries.length])).to.deep.equal([
      [2n, T.append, 10],
      [3n, T.append, 10],
    ]);
  });

  it('is held by the window in messages and in bytes (R20)', () => {
    const sentWith = (config: LoneSetup['config']): number => {
      const l = settledLeader({ config: { maxAppendBytes: 1, ...config } });
      l.node.propose(Array.from({ length: 9 }, () => bytes(100)));
      return ofType(l.pump(), T.append).filter((m) => m.to === 2n).length;
    };
    expect(sentWith({ maxInflightMessages: 3 })).to.equal(3);
    expect(sentWith({ maxInflightBytes: 248 })).to.equal(2);
    expect(sentWith({})).to.equal(9);
  });

  it('goes on after the window opened', () => {
    const l = settledLeader({ config: { maxAppendBytes: 1, maxInflightMessages: 2 } });
    l.node.propose([bytes(1), bytes(1), bytes(1), bytes(1)]);
    l.pump();
    const more = l.step(T.appendResponse, 2n, { index: 2 });
    expect(ofType(more, T.append).map((m) => m.index)).to.deep.equal([3]);
  });

  it('probes again when the transport lost the member, and is not led astray by old answers', () => {
    const l = settledLeader();
    l.node.propose([bytes(1)]);
    l.pump();
    l.node.reportUnreachable(2n);
    expect(ofType(l.pump(), T.append).map((m) => [m.to, m.index])).to.deep.equal([[2n, 1]]);
    expect(l.node.status().progress.get(2n)?.state).to.equal('probe');
    l.step(T.appendResponse, 2n, { index: 2 });
    expect(l.node.status().progress.get(2n)).to.include({ state: 'replicate', match: 2 });
  });

  it('sends followers the commit index in the turn it advances, without asking for an answer (C28)', () => {
    const l = settledLeader();
    l.node.propose([bytes(1)]);
    l.pump();
    const sent = l.step(T.appendResponse, 2n, { index: 2 });
    expect(sent.map((m) => [m.to, m.type, m.commit, m.context])).to.deep.equal([
      [2n, T.heartbeat, 2, 0],
    ]);
    const follower = new Lone();
    expect(follower.step(T.heartbeat, 2n, { term: 1, context: 0 })).to.have.length(0);
  });

  it('writes nothing durable for a commit index alone (C8, R4)', () => {
    const l = settledLeader();
    const { syncs } = l;
    for (let i = 0; i < 10; i++) {
      l.node.propose([bytes(1)]);
      l.pump();
      l.step(T.appendResponse, 2n, { index: l.node.lastIndex });
    }
    expect(l.syncs - syncs).to.equal(10);
    expect(l.hardStates.at(-1)?.commit).to.equal(11);
  });

  it('persists the commit index along with entries that came with it (R16)', () => {
    const l = new Lone();
    l.hold = true;
    l.node.step({
      ...probe,
      type: T.append,
      from: 2n,
      term: 1,
      entries: entriesOf([1, 1]),
      commit: 1,
    });
    const rd = l.node.ready();
    expect(rd.entries).to.have.length(2);
    expect(rd.hardState?.commit).to.equal(1);
    expect(rd.committed, 'not durable yet').to.have.length(0);
  });

  it('counts no uncommitted bytes when nothing is uncommitted, over changes of leadership (C7)', () => {
    const l = settledLeader({ config: { maxUncommittedBytes: 100 } });
    for (let i = 0; i < 20; i++) {
      expect(l.node.propose([bytes(90)])).to.equal('ok');
      expect(l.node.propose([bytes(90)])).to.equal('too-much-uncommitted');
      l.pump();
      if (i % 3 === 0) {
        l.step(T.append, 2n, {
          term: l.node.term + 1,
          index: l.node.lastIndex,
          logTerm: l.node.term,
        });
        l.elect();
        expect(l.node.propose([bytes(90)]), 'the inherited tail counts').to.equal(
          'too-much-uncommitted',
        );
      }
      l.step(T.appendResponse, 2n, { index: l.node.lastIndex });
    }
  });
});

describe('snapshots', () => {
  it('are installed before anything else is handed out; heartbeats are answered meanwhile', () => {
    const l = new Lone();
    const confState = { voters: [1n, 2n, 3n], learners: [] };
    const snapshot = { index: 9, term: 1, confState };
    l.node.step({ ...probe, type: T.snapshot, from: 2n, term: 1, snapshot });
    const first = l.node.ready();
    expect(
      first.hardState,
      'the commit of a snapshot that is not there yet stays off the disk',
    ).to.deep.equal({
      term: 1,
      vote: 0n,
      commit: 0,
    });
    expect(first.snapshot).to.equal(null);
    l.node.synced(0, 1);
    expect(l.node.ready().snapshot).to.deep.equal(snapshot);
    l.node.step({
      ...probe,
      type: T.append,
      from: 2n,
      term: 1,
      index: 9,
      logTerm: 1,
      entries: entriesOf([1], 9),
    });
    l.node.step({ ...probe, type: T.heartbeat, from: 2n, term: 1, context: 4 });
    const meanwhile = l.node.ready();
    expect(meanwhile.messages.map((m) => m.type)).to.deep.equal([T.heartbeatResponse]);
    expect([meanwhile.entries.length, meanwhile.messagesAfterSync.length]).to.deep.equal([0, 0]);
    expect(l.node.hasReady()).to.equal(false);
    l.node.snapshotInstalled(snapshot);
    const after = l.node.ready();
    expect(after.hardState?.commit).to.equal(9);
    expect(after.entries.map((e) => e.index)).to.deep.equal([10]);
    expect(after.messagesAfterSync.map((m) => m.index)).to.deep.equal([10]);
  });

  it('that do not contain this member are refused', () => {
    const l = new Lone();
    const confState = { voters: [2n, 3n], learners: [] };
    l.step(T.snapshot, 2n, { term: 1, snapshot: { index: 9, term: 1, confState } });
    expect(l.node.lastIndex).to.equal(0);
  });

  it('may arrive while earlier entries are still being applied', () => {
    const l = new Lone({ log: [1, 1], commit: 2, term: 1 });
    expect(l.node.ready().committed).to.have.length(2);
    const snapshot = { index: 9, term: 1, confState: { voters: [1n, 2n], learners: [] } };
    l.node.step({ ...probe, type: T.snapshot, from: 2n, term: 1, snapshot });
    l.node.applied(1);
    expect(l.node.ready().snapshot).to.deep.equal(snapshot);
    l.node.applied(2);
    l.node.snapshotInstalled(snapshot);
    expect(l.node.appliedIndex).to.equal(9);
  });
});

const probe = message(T.append, 1n, { from: 2n });

describe('the bounds in bytes', () => {
  const tiny = {
    maxAppendBytes: 1,
    maxInflightBytes: 1,
    maxUncommittedBytes: 1,
    maxCommittedBytesPerReady: 1,
  };
  const large = new Uint8Array(200_000);

  it('let an entry pass that is larger than each of them, alone, from proposal to apply', () => {
    const l = settledLeader({ config: tiny });
    for (let round = 0; round < 3; round++) {
      expect(l.node.propose([large])).to.equal('ok');
      expect(l.node.propose([large])).to.equal('too-much-uncommitted');
      const appends = ofType(l.pump(), T.append);
      expect(appends.map((m) => [m.to, m.entries.length])).to.deep.equal([
        [2n, 1],
        [3n, 1],
      ]);
      for (const v of [2n, 3n]) l.step(T.appendResponse, v, { index: l.node.lastIndex });
      expect(l.node.appliedIndex).to.equal(l.node.lastIndex);
    }
  });

  it('let a large entry and those after it pass to a member that is behind', () => {
    const l = settledLeader({ config: tiny });
    for (const data of [large, bytes(1), large]) {
      l.node.propose([data]);
      l.pump();
      l.step(T.appendResponse, 2n, { index: l.node.lastIndex });
    }
    for (let held = 1; held < l.node.lastIndex; held++) {
      const [append] = ofType(l.sent, T.append)
        .filter((m) => m.to === 3n)
        .slice(-1);
      expect(append).to.include({ index: held });
      expect(append?.entries).to.have.length(1);
      l.step(T.appendResponse, 3n, { index: held + 1 });
    }
    expect(l.node.status().progress.get(3n)?.match).to.equal(l.node.lastIndex);
  });

  it('let a follower forward a large proposal, alone', () => {
    const l = new Lone({ config: tiny });
    l.step(T.heartbeat, 2n, { term: 1, context: 1 });
    expect(l.node.propose([bytes(1), large, bytes(1)])).to.equal('ok');
    const forwarded = ofType(l.pump(), T.propose);
    expect(forwarded.map((m) => m.entries.map((e) => e.data.length))).to.deep.equal([
      [1],
      [large.length],
      [1],
    ]);
  });

  it('that let nothing pass are refused at once', () => {
    for (const name of Object.keys(tiny)) {
      expect(() => new Lone({ config: { ...tiny, [name]: 0 } })).to.throw(`${name} is 0`);
    }
    expect(() => new Lone({ config: { electionTicks: 1 } })).to.throw('election timeout of 1');
  });
});
