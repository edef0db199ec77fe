import { expect } from 'chai';

import { message, MessageType as T, Role } from '../../src/raft/types.js';
import type { Message } from '../../src/raft/types.js';
import { entriesOf, Lone } from './support/lone.js';
import type { LoneSetup } from './support/lone.js';

const bytes = (n: number): Uint8Array => new Uint8Array(n);
const ofType = (messages: readonly Message[], type: number): Message[] =>
  messages.filter((m) => m.type === type);

function leader(setup: LoneSetup = {}): Lone {
  const l = new Lone(setup);
  l.elect();
  expect(l.node.role).to.equal(Role.leader);
  return l;
}

/** A leader all of whose followers hold everything. */
function settledLeader(setup: LoneSetup = {}): Lone {
  const l = leader(setup);
  for (const v of l.node.status().confState.voters) {
    if (v !== 1n) l.step(T.appendResponse, v, { index: l.node.lastIndex });
  }
  return l;
}

/** Electing a member of each role, as the paper's rules for all servers need them. */
const roles: Record<string, () => Lone> = {
  follower: () => {
    const l = new Lone();
    l.step(T.heartbeat, 2n, { term: 1, context: 1 });
    return l;
  },
  candidate: () => {
    const l = new Lone();
    l.node.campaign();
    l.pump();
    return l;
  },
  leader: () => leader(),
};

describe('the Raft paper', () => {
  for (const [name, make] of Object.entries(roles)) {
    it(`§5.1 a ${name} that sees a higher term adopts it and follows`, () => {
      const l = make();
      l.step(T.append, 2n, { term: 7 });
      expect(l.node.term).to.equal(7);
      expect(l.node.role).to.equal(Role.follower);
      expect(l.node.leader).to.equal(2n);
    });
  }

  it('§5.1 a request of an old term is rejected and changes nothing', () => {
    const l = new Lone({ term: 5, log: [1, 2] });
    const answers = l.step(T.append, 2n, {
      term: 3,
      index: 2,
      logTerm: 2,
      entries: entriesOf([3], 2),
    });
    expect(l.node.lastIndex).to.equal(2);
    expect(l.node.leader).to.equal(0n);
    expect(answers.map((m) => [m.term, m.reject])).to.deep.equal([[5, true]]);
  });

  it('§5.1 a vote request of an old term is refused with the own term', () => {
    const l = new Lone({ term: 5 });
    const [answer] = l.step(T.vote, 2n, { term: 4, index: 9, logTerm: 4 });
    expect(answer).to.include({ type: T.voteResponse, term: 5, reject: true });
  });

  it('§5.2 a member starts as a follower', () => {
    expect(new Lone().node.role).to.equal(Role.follower);
  });

  it('§5.2 a leader sends heartbeats to all others at every interval', () => {
    const l = settledLeader({ config: { heartbeatTicks: 3 } });
    expect(ofType(l.tick(2), T.heartbeat)).to.have.length(0);
    expect(ofType(l.tick(1), T.heartbeat).map((m) => m.to)).to.deep.equal([2n, 3n]);
  });

  for (const name of ['follower', 'candidate']) {
    it(`§5.2 a ${name} without messages starts an election: next term, a vote for itself, requests to all`, () => {
      const l = roles[name]?.() ?? new Lone();
      const before = l.node.term;
      const requests = ofType(l.tick(11), T.vote);
      expect(l.node.role).to.equal(Role.candidate);
      expect(l.node.term).to.equal(before + 1);
      expect(l.node.status().hardState.vote).to.equal(1n);
      expect(requests.map((m) => [m.to, m.term])).to.deep.equal([
        [2n, before + 1],
        [3n, before + 1],
      ]);
    });
  }

  for (const [voters, granted, refused, outcome] of [
    [1, 0, 0, Role.leader],
    [3, 2, 0, Role.leader],
    [3, 1, 0, Role.leader],
    [5, 4, 0, Role.leader],
    [5, 3, 0, Role.leader],
    [5, 2, 0, Role.leader],
    [3, 0, 2, Role.follower],
    [5, 0, 4, Role.follower],
    [5, 1, 3, Role.follower],
    [3, 0, 0, Role.candidate],
    [5, 1, 0, Role.candidate],
    [5, 1, 2, Role.candidate],
  ] as const) {
    it(`§5.2 of ${voters} voters ${granted} others grant and ${refused} refuse: role ${outcome}`, () => {
      const l = new Lone({ voters });
      l.node.campaign();
      l.pump();
      for (let i = 0; i < granted; i++) l.step(T.voteResponse, BigInt(2 + i));
      for (let i = 0; i < refused; i++) {
        l.step(T.voteResponse, BigInt(2 + granted + i), { reject: true });
      }
      expect(l.node.role).to.equal(outcome);
      expect(l.node.term).to.equal(1);
    });
  }

  it('§5.2 votes at most once per term, first come first served, even after a restart', () => {
    const l = new Lone();
    expect(l.step(T.vote, 2n, { term: 1 })[0]?.reject).to.equal(false);
    expect(l.step(T.vote, 3n, { term: 1 })[0]?.reject).to.equal(true);
    expect(l.step(T.vote, 2n, { term: 1 })[0]?.reject, 'the same candidate again').to.equal(false);
    const { hardState } = l.node.status();
    const again = new Lone({ term: hardState.term, vote: hardState.vote });
    expect(again.step(T.vote, 3n, { term: 1 })[0]?.reject).to.equal(true);
  });

  it('§5.2 a candidate that gets an append of its term follows its leader', () => {
    const l = roles['candidate']?.() ?? new Lone();
    l.step(T.append, 3n, { term: l.node.term });
    expect(l.node.role).to.equal(Role.follower);
    expect(l.node.leader).to.equal(3n);
  });

  it('§5.2 election timeouts are spread over [electionTicks, 2 * electionTicks)', () => {
    const seen = new Set<number>();
    for (let draw = 0; draw < 10; draw++) {
      const l = new Lone({ config: { random: (n) => draw % n } });
      let ticks = 0;
      while (l.node.role === Role.follower) {
        l.tick(1);
        ticks++;
      }
      // The tick after the expiry holds the election.
      seen.add(ticks - 1);
    }
    expect([...seen].sort((a, b) => a - b)).to.deep.equal([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });

  it('§5.3 a leader appends a proposal and sends it to all', () => {
    const l = settledLeader();
    const index = l.node.lastIndex;
    expect(l.node.propose([bytes(3)])).to.equal('ok');
    const appends = ofType(l.pump(), T.append);
    expect(appends.map((m) => [m.to, m.index, m.entries.length])).to.deep.equal([
      [2n, index, 1],
      [3n, index, 1],
    ]);
    expect(l.written.at(-1)).to.include({ index: index + 1, term: 1 });
  });

  for (const voters of [1, 3, 5]) {
    it(`§5.3 an entry is committed once a majority of ${voters} hold it`, () => {
      const l = settledLeader({ voters });
      const index = l.node.lastIndex + 1;
      l.node.propose([bytes(3)]);
      l.pump();
      for (let held = 1; ; held++) {
        const isMajority = held > voters / 2;
        expect(l.node.commitIndex >= index, `${held} of ${voters}`).to.equal(isMajority);
        if (isMajority) break;
        l.step(T.appendResponse, BigInt(held + 1), { index });
      }
      expect(l.appliedEntries.at(-1)?.index).to.equal(index);
    });
  }

  it('§5.3 committing an entry commits all before it, those of earlier leaders too', () => {
    const l = leader({ log: [1, 2, 2], term: 2 });
    expect(l.node.commitIndex).to.equal(0);
    l.step(T.appendResponse, 2n, { index: 4 });
    expect(l.node.commitIndex).to.equal(4);
    expect(l.appliedEntries.map((e) => e.term)).to.deep.equal([1, 2, 2, 3]);
  });

  it('§5.3 a follower applies committed entries in order', () => {
    const l = new Lone();
    l.step(T.append, 2n, { term: 1, entries: entriesOf([1, 1]), commit: 1 });
    expect(l.appliedEntries.map((e) => e.index)).to.deep.equal([1]);
    l.step(T.heartbeat, 2n, { term: 1, commit: 2, context: 1 });
    expect(l.appliedEntries.map((e) => e.index)).to.deep.equal([1, 2]);
  });

  it('§5.3 a message commits no further than the entries it vouches for', () => {
    const l = new Lone({ log: [1, 1, 1], term: 1 });
    l.step(T.append, 2n, { term: 2, index: 1, logTerm: 1, entries: [], commit: 3 });
    expect(l.node.commitIndex).to.equal(1);
  });

  for (const [index, logTerm, reject] of [
    [0, 0, false],
    [1, 1, false],
    [2, 2, false],
    [1, 2, true],
    [2, 1, true],
    [3, 3, true],
  ] as const) {
    it(`§5.3 a follower with terms [1 2] ${reject ? 'rejects' : 'takes'} an append after ${logTerm}/${index}`, () => {
      const l = new Lone({ log: [1, 2], commit: 0 });
      const [answer] = l.step(T.append, 2n, { term: 3, index, logTerm });
      expect(answer?.reject).to.equal(reject);
    });
  }

  for (const [index, logTerm, sent, expected] of [
    [2, 2, [3], [1, 2, 3]],
    [1, 1, [3, 4], [1, 3, 4]],
    [0, 0, [1], [1, 2]],
    [0, 0, [3], [3]],
  ] as const) {
    it(`§5.3 terms [1 2] become [${expected.join(' ')}] by [${sent.join(' ')}] after ${index}`, () => {
      const l = new Lone({ log: [1, 2], term: 4 });
      l.step(T.append, 2n, { term: 4, index, logTerm, entries: entriesOf(sent, index) });
      const terms = Array.from({ length: l.node.lastIndex }, (_, i) => l.node.termAt(i + 1));
      expect(terms).to.deep.equal(expected);
    });
  }

  // Figure 7: the leader of term 8 and the followers (a) to (f).
  const figure7: Record<string, readonly number[]> = {
    a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
    b: [1, 1, 1, 4],
    c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    e: [1, 1, 1, 4, 4, 4, 4],
    f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  };
  for (const [name, log] of Object.entries(figure7)) {
    it(`§5.3 figure 7: the leader makes follower (${name}) equal to itself in few rounds`, () => {
      const terms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
      const lead = leader({ log: terms, term: 7 });
      const follower = new Lone({ log, term: 7 });
      let inbox = lead.sent.filter((m) => m.to === 2n && m.type === T.append);
      let rejections = 0;
      while (inbox.length > 0) {
        const answers: Message[] = [];
        for (const m of inbox) {
          // A member with id 1 plays follower 2; only the addresses differ.
          follower.node.step({ ...m, to: 1n, from: 2n });
          answers.push(...follower.pump().filter((a) => a.type === T.appendResponse));
        }
        rejections += answers.filter((a) => a.reject).length;
        const before = lead.sent.length;
        for (const a of answers) {
          lead.node.step({ ...a, to: 1n, from: 2n });
          lead.pump();
        }
        inbox = lead.sent.slice(before).filter((m) => m.to === 2n && m.type === T.append);
      }
      const result = Array.from({ length: follower.node.lastIndex }, (_, i) =>
        follower.node.termAt(i + 1),
      );
      expect(result).to.deep.equal([...terms, 8]);
      expect(rejections).to.be.at.most(3);
    });
  }

  for (const [index, logTerm, granted] of [
    [2, 2, true],
    [3, 2, true],
    [1, 3, true],
    [1, 2, false],
    [9, 1, false],
  ] as const) {
    it(`§5.4.1 a voter with terms [1 2] ${granted ? 'grants' : 'refuses'} a log ending in ${logTerm}/${index}`, () => {
      const l = new Lone({ log: [1, 2], term: 2 });
      expect(l.step(T.vote, 2n, { term: 4, index, logTerm })[0]?.reject).to.equal(!granted);
    });
  }

  it('§5.4.1 vote requests carry the last entry', () => {
    const l = new Lone({ log: [1, 2, 2], term: 3 });
    l.node.campaign();
    expect(l.pump().map((m) => [m.type, m.index, m.logTerm])).to.deep.equal([
      [T.vote, 3, 2],
      [T.vote, 3, 2],
    ]);
  });

  it('§5.4.2 does not commit by counting replicas of an earlier term', () => {
    const l = leader({ log: [1, 2], term: 2, voters: 3 });
    l.step(T.appendResponse, 2n, { index: 1 });
    l.step(T.appendResponse, 3n, { index: 2 });
    expect(l.node.commitIndex).to.equal(0);
    l.step(T.appendResponse, 3n, { index: 3 });
    expect(l.node.commitIndex).to.equal(3);
  });

  it('§5.5 a lost append is sent again, a repeated one changes nothing', () => {
    const l = new Lone();
    const append = { term: 1, entries: entriesOf([1, 1]), commit: 2 };
    l.step(T.append, 2n, append);
    const syncs = l.syncs;
    const [answer] = l.step(T.append, 2n, append);
    expect(answer).to.include({ index: 2, reject: false });
    expect(l.syncs).to.equal(syncs);
    expect(l.appliedEntries).to.have.length(2);
  });

  it('§5.6 nothing that rests on term, vote or entries leaves before they are durable', () => {
    const l = new Lone();
    l.hold = true;
    expect(l.step(T.vote, 2n, { term: 1 })).to.have.length(0);
    l.release();
    expect(l.sent.map((m) => m.type)).to.deep.equal([T.voteResponse]);
    expect(l.step(T.append, 2n, { term: 1, entries: entriesOf([1]) })).to.have.length(0);
    l.release();
    expect(l.pump().concat(l.sent).at(-1)).to.include({ type: T.appendResponse, index: 1 });
  });

  it('§7 a follower that needs compacted entries gets a snapshot and then the rest', () => {
    const l = leader({
      compacted: { index: 10, term: 2 },
      log: [2, 2],
      term: 2,
      commit: 12,
      applied: 12,
    });
    l.step(T.heartbeatResponse, 2n, { context: 1 });
    const sent = l.step(T.appendResponse, 2n, {
      index: 12,
      reject: true,
      rejectHint: 3,
      logTerm: 1,
    });
    expect(ofType(sent, T.snapshot)[0]?.snapshot).to.deep.include({ index: 12, term: 2 });
    expect(ofType(l.step(T.heartbeatResponse, 2n, { context: 1 }), T.append)).to.have.length(0);
    const rest = ofType(l.step(T.appendResponse, 2n, { index: 12 }), T.append);
    expect(rest.map((m) => [m.index, m.entries.length])).to.deep.equal([[12, 1]]);
  });

  it('§5.4.3 a member whose committed entry the leader denies stops and acknowledges nothing', () => {
    // Log 1 1 2 3 from index 3 on (1 and 2 are compacted), committed up to 5.
    const cases: readonly [string, Partial<Message>, readonly number[]][] = [
      ['the entry before the append', { index: 4, logTerm: 1 }, [4, 2]],
      ['an entry of the append', { index: 3, logTerm: 1, entries: entriesOf([4], 3) }, [4, 2]],
      ['a later log with a lower term', { index: 9, logTerm: 2 }, [5, 3]],
      ['an entry at the compaction point', { index: 2, logTerm: 3 }, [2, 1]],
      ['an entry before the compaction point', { index: 1, logTerm: 2 }, [2, 1]],
      ['an entry below in the append', { index: 0, entries: entriesOf([4]) }, [2, 1]],
    ];
    for (const [name, fields, own] of cases) {
      const l = new Lone({
        compacted: { index: 2, term: 1 },
        log: [1, 2, 3],
        term: 9,
        commit: 5,
        applied: 2,
      });
      l.node.step(message(T.append, 1n, { from: 2n, term: 9, ...fields }));
      const { contradiction, ...rest } = l.node.ready();
      expect(contradiction, name).to.deep.include({
        kind: 'committed-entry',
        term: 9,
        leader: 2n,
        own: { index: own[0], term: own[1] },
      });
      expect([rest.messages, rest.messagesAfterSync, rest.committed, rest.entries], name)
        .to.deep //
        .equal([[], [], [], []]);
      l.node.step(message(T.append, 1n, { from: 2n, term: 9, index: 5, logTerm: 3 }));
      l.node.tick();
      l.node.campaign();
      expect(l.node.hasReady(), `${name}: work after the finding`).to.equal(false);
      expect(l.node.lastIndex, name).to.equal(5);
    }
  });

  it('§5.4.3 a snapshot that denies a committed entry stops the member', () => {
    const confState = { voters: [1n, 2n, 3n], learners: [] };
    for (const snapshot of [
      { index: 2, term: 1, confState },
      { index: 9, term: 2, confState },
    ]) {
      const l = new Lone({ log: [1, 2, 3], term: 9, commit: 3 });
      l.node.step(message(T.snapshot, 1n, { from: 2n, term: 9, snapshot }));
      expect(l.node.ready().contradiction).to.deep.include({
        theirs: { index: snapshot.index, term: snapshot.term },
      });
    }
  });

  it('§5.3 an append that agrees below the commit index is acknowledged by index and term', () => {
    const l = new Lone({ log: [1, 2, 3], term: 9, commit: 3 });
    const [answer] = l.step(T.append, 2n, { term: 9, index: 1, logTerm: 1 });
    expect(answer).to.include({ type: T.appendResponse, reject: false, index: 3, logTerm: 3 });
    const more = l.step(T.append, 2n, {
      index: 1,
      logTerm: 1,
      entries: entriesOf([2, 3, 3, 9], 1),
    });
    expect(more[0]).to.include({ reject: false, index: 5, logTerm: 9 });
    expect(l.node.lastIndex).to.equal(5);
  });

  it('§7 a snapshot replaces a log that does not reach or contradicts it, and only that', () => {
    const snapshot = (index: number, term: number): Partial<Message> => ({
      term: 5,
      snapshot: { index, term, confState: { voters: [1n, 2n, 3n], learners: [] } },
    });
    const behind = new Lone({ log: [1, 1], term: 1 });
    behind.node.step(messageFrom2(snapshot(9, 4)));
    const rd = takeSnapshot(behind);
    expect(rd).to.equal(9);
    behind.node.snapshotInstalled({
      index: 9,
      term: 4,
      confState: { voters: [1n, 2n, 3n], learners: [] },
    });
    expect(behind.node.lastIndex).to.equal(9);
    expect(behind.pump().at(-1)).to.include({ type: T.appendResponse, index: 9 });

    const ahead = new Lone({ log: [1, 1, 4], term: 4 });
    ahead.node.step(messageFrom2(snapshot(2, 1)));
    expect(takeSnapshot(ahead)).to.equal(undefined);
    expect(ahead.node.lastIndex).to.equal(3);
    expect(ahead.node.commitIndex).to.equal(2);
  });

  it('§8 a read is answered only after a majority confirmed the leader in a round begun after it', () => {
    const l = settledLeader();
    l.node.readIndex(77);
    const round = ofType(l.pump(), T.heartbeat)[0]?.context ?? 0;
    l.node.step({ ...messageFrom2({}), type: T.heartbeatResponse, term: 1, context: round - 1 });
    expect(l.node.ready().readStates).to.have.length(0);
    l.node.step({ ...messageFrom2({}), type: T.heartbeatResponse, term: 1, context: round });
    expect(l.node.ready().readStates).to.deep.equal([{ context: 77, index: 1 }]);
  });
});

function messageFrom2(fields: Partial<Message>): Message {
  return message(T.snapshot, 1n, { from: 2n, term: 1, ...fields });
}

/** Drives the member until it hands out a snapshot; its index, or undefined when there is none. */
function takeSnapshot(l: Lone): number | undefined {
  while (l.node.hasReady()) {
    const rd = l.node.ready();
    if (rd.snapshot !== null) return rd.snapshot.index;
    if (rd.mustSync)
      l.node.synced(rd.entries.at(-1)?.index ?? 0, rd.entries.at(-1)?.term ?? l.node.term);
    const last = rd.committed.at(-1);
    if (last !== undefined) l.node.applied(last.index);
  }
  return undefined;
}
