import { expect } from 'chai';
import type { Done } from '../../../src/base/env/env.js';
import { RawNode } from '../../../src/raft/raw-node.js';
import {
  EntryType,
  message,
  MessageType,
  NONE,
  Role,
  type Entry,
  type Message,
  type SnapshotMeta,
} from '../../../src/raft/types.js';
import type { RpcError } from '../../../src/rpc/service.js';
import { errors } from '../../../src/server/contract/errors.js';
import { silentLogger } from '../../../src/base/observe/logger.js';
import {
  CommandKind,
  ENVELOPE_BYTES,
  encodeCommand,
} from '../../../src/server/contract/command.js';
import { encodePutRequest } from '../../../src/gen/rpc.js';
import { ProposalQueue } from '../../../src/server/member/proposal-queue.js';
import { RaftDriver } from '../../../src/server/member/driver.js';
import { ReadIndex } from '../../../src/server/member/read-index.js';
import type { WalBatch } from '../../../src/wal/types.js';
import { FakeTransport } from '../../support/fake-transport.js';
import { ManualEnv } from './manual-env.js';

const TICK_MS = 100;
const TIMEOUT_MS = 7000;
const BACKLOG_BYTES = 64 * 1024 * 1024;

/** A driver with the real core; disk, network and state machine are played by the test. */
class Bench {
  readonly env = new ManualEnv();
  readonly node: RawNode;
  readonly proposals = new ProposalQueue(this.env, TIMEOUT_MS);
  readonly reads = new ReadIndex(this.env, TIMEOUT_MS);
  readonly driver: RaftDriver;
  readonly transport = new FakeTransport();
  readonly written: WalBatch[] = [];
  readonly applied: string[] = [];
  readonly batches: number[] = [];
  readonly snapshots: SnapshotMeta[] = [];
  readonly late: number[] = [];
  /** Completions of synced writes not yet reported. */
  readonly disk: Done[] = [];
  isDiskHeld = false;
  msPerEntry = 0;
  /** Calls that an entry of this name takes until it is applied. */
  callsNeeded = new Map<string, number>();
  forgotten = 0;
  backlogBytes = 0;
  ticks = 0;

  constructor(voters = 1) {
    const ids = Array.from({ length: voters }, (_, i) => BigInt(i + 1));
    this.node = new RawNode(
      {
        id: 1n,
        electionTicks: 10,
        heartbeatTicks: 1,
        preVote: true,
        checkQuorum: true,
        maxAppendBytes: 1 << 20,
        maxInflightMessages: 256,
        maxInflightBytes: 1 << 26,
        maxUncommittedBytes: 1 << 26,
        maxCommittedBytesPerReady: 1 << 26,
        incarnation: 1,
        random: () => 0,
      },
      {
        hardState: { term: 1, vote: NONE, commit: 0 },
        confState: { voters: ids, learners: [] },
        compactedIndex: 0,
        compactedTerm: 0,
        entries: [],
        applied: 0,
      },
    );
    const tick = this.node.tick.bind(this.node);
    this.node.tick = () => {
      this.ticks++;
      tick();
    };
    const backlogBytes = (): number => this.backlogBytes;
    this.driver = new RaftDriver({
      env: this.env,
      log: silentLogger,
      node: this.node,
      wal: {
        append: (batch, sync, done) => this.append(batch, sync, done),
        release: () => undefined,
        close: (done) => done(null),
        sizeBytes: 0,
      },
      transport: this.transport,
      proposals: this.proposals,
      reads: this.reads,
      applier: {
        applyEntry: (entry) => this.applyEntry(entry),
        forget: () => this.forgotten++,
        applyConfChange: () => this.node.applyConfChange(null),
        endBatch: (index) => this.batches.push(index),
        get backlogBytes() {
          return backlogBytes();
        },
      },
      events: {
        onSoftState: () => undefined,
        onSnapshot: (meta) => this.snapshots.push(meta),
        onSendSnapshot: () => undefined,
        onApplied: () => undefined,
        onLateHeartbeat: (ms) => this.late.push(ms),
      },
      tickMs: TICK_MS,
      advanceTicks: 0,
    });
  }

  private append(batch: WalBatch, sync: boolean, done: Done): void {
    this.written.push(batch);
    if (!sync) return done(null);
    this.disk.push(done);
    if (!this.isDiskHeld) this.env.defer(() => this.completeWrite());
  }

  /** Reports the oldest write as durable. */
  completeWrite(): void {
    this.disk.shift()?.(null);
  }

  private applyEntry(entry: Entry): boolean {
    this.env.sleep(this.msPerEntry);
    if (entry.data.length < ENVELOPE_BYTES) {
      this.proposals.termApplied(entry.term);
      return true;
    }
    const name = Buffer.from(entry.data.subarray(ENVELOPE_BYTES)).toString();
    const calls = this.callsNeeded.get(name) ?? 1;
    this.callsNeeded.set(name, calls - 1);
    if (calls > 1) return false;
    this.applied.push(name);
    this.proposals.take(entry.data)?.(null, new Uint8Array(0));
    return true;
  }

  propose(name: string): { outcome: RpcError | 'ok' | undefined } {
    const result: { outcome: RpcError | 'ok' | undefined } = { outcome: undefined };
    this.proposals.add(CommandKind.put, Buffer.from(name), (error) => {
      result.outcome = error ?? 'ok';
    });
    this.driver.schedule();
    return result;
  }

  read(): { outcome: RpcError | 'ok' | undefined } {
    const result: { outcome: RpcError | 'ok' | undefined } = { outcome: undefined };
    this.driver.linearizable((error) => {
      result.outcome = error ?? 'ok';
    });
    return result;
  }

  receive(type: MessageType, from: bigint, fields: Partial<Message> = {}): void {
    this.driver.onMessages([message(type, 1n, { from, term: this.node.term, ...fields })]);
  }

  sentOf(type: MessageType): Message[] {
    return this.transport.sent.filter((m) => m.type === type);
  }

  start(): this {
    this.driver.start();
    this.env.settle();
    return this;
  }
}

function entries(term: number, from: number, count: number, size = 0): Entry[] {
  return Array.from({ length: count }, (_, i) => {
    const data = Buffer.alloc(ENVELOPE_BYTES + size);
    return { term, index: from + i, type: EntryType.normal, data };
  });
}

describe('RaftDriver', () => {
  describe('of a lone voter', () => {
    it('answers a proposal only when its own write is durable', () => {
      const b = new Bench().start();
      expect(b.node.role).to.equal(Role.leader);
      b.isDiskHeld = true;
      const put = b.propose('a');
      b.env.settle();
      expect(b.written.at(-1)?.entries).to.have.length(1);
      expect(b.applied).to.deep.equal([]);
      expect(put.outcome).to.equal(undefined);
      b.completeWrite();
      b.env.settle();
      expect(put.outcome).to.equal('ok');
    });

    it('writes everything proposed in one turn with one sync, in order', () => {
      const b = new Bench().start();
      const before = b.written.length;
      const puts = ['a', 'b', 'c'].map((name) => b.propose(name));
      b.env.settle();
      const batches = b.written.slice(before).filter((batch) => batch.entries.length > 0);
      expect(batches).to.have.length(1);
      expect(b.applied).to.deep.equal(['a', 'b', 'c']);
      expect(puts.map((put) => put.outcome)).to.deep.equal(['ok', 'ok', 'ok']);
    });

    it('serves reads at once when everything committed is applied, and waits for the rest otherwise', () => {
      const b = new Bench().start();
      expect(b.read().outcome).to.equal('ok');
      b.backlogBytes = BACKLOG_BYTES + 1;
      b.propose('a');
      b.env.settle();
      expect(b.node.commitIndex).to.be.greaterThan(b.node.appliedIndex);
      const read = b.read();
      b.env.settle();
      expect(read.outcome).to.equal(undefined);
      b.backlogBytes = 0;
      b.env.advance(5);
      expect(read.outcome).to.equal('ok');
      expect(b.applied).to.deep.equal(['a']);
    });

    it('applies in slices, and lets others run in between', () => {
      const b = new Bench().start();
      b.msPerEntry = 0.5;
      const count = 500;
      for (let i = 0; i < count; i++) b.propose(`${i}`);
      const seen: number[] = [];
      const watch = (): void => {
        seen.push(b.applied.length);
        if (b.applied.length < count) b.env.defer(watch);
      };
      b.env.defer(watch);
      b.env.settle();
      expect(b.applied).to.deep.equal(Array.from({ length: count }, (_, i) => `${i}`));
      const steps = seen.map((n, i) => n - (seen[i - 1] ?? 0));
      expect(Math.max(...steps)).to.be.at.most(32);
      // Each slice ends a batch of the backend.
      expect(b.batches.length).to.be.at.least(count / 32);
      expect(b.batches).to.deep.equal([...b.batches].sort((x, y) => x - y));
    });

    it('goes on with an entry that is not applied yet in slices, and lets none overtake it', () => {
      const b = new Bench().start();
      b.msPerEntry = 1;
      const CALLS = 100;
      b.callsNeeded.set('long', CALLS);
      b.propose('before');
      const long = b.propose('long');
      b.propose('behind');
      const { appliedIndex } = b.node;
      const left: number[] = [CALLS];
      while (long.outcome === undefined && b.env.step()) {
        const calls = b.callsNeeded.get('long') ?? 0;
        if (calls === left.at(-1)) continue;
        left.push(calls);
        if (calls === 0) continue;
        expect(b.applied).to.deep.equal(['before']);
        expect(b.node.appliedIndex).to.be.at.most(appliedIndex + 1);
      }
      expect(long.outcome).to.equal('ok');
      // A slice ends at the first look at the clock after 4 ms.
      const slices = left.slice(1).map((calls, i) => (left[i] as number) - calls);
      expect(Math.max(...slices)).to.be.at.most(5);
      b.env.settle();
      expect(b.applied).to.deep.equal(['before', 'long', 'behind']);
      expect(b.batches).to.deep.equal([...b.batches].sort((x, y) => x - y));
    });

    it('stops applying while the backend has too much to write', () => {
      const b = new Bench().start();
      b.backlogBytes = BACKLOG_BYTES + 1;
      const put = b.propose('a');
      b.env.settle();
      b.env.advance(50);
      expect(b.applied).to.deep.equal([]);
      b.backlogBytes = 0;
      b.env.advance(2);
      expect(b.applied).to.deep.equal(['a']);
      expect(put.outcome).to.equal('ok');
    });

    it('is overloaded when too much that is committed waits for apply', () => {
      const b = new Bench().start();
      b.backlogBytes = BACKLOG_BYTES + 1;
      for (let i = 0; i < 5001; i++) b.propose('x');
      b.env.settle();
      expect(b.driver.overloaded).to.equal(true);
      b.backlogBytes = 0;
      b.env.advance(2);
      expect(b.driver.overloaded).to.equal(false);
    });

    it('fails all waiters when it stops, and does nothing afterwards', () => {
      const b = new Bench().start();
      b.isDiskHeld = true;
      const put = b.propose('a');
      b.env.settle();
      const queued = b.propose('b');
      b.driver.stop();
      expect(put.outcome).to.equal(errors.stopped);
      expect(queued.outcome).to.equal(errors.stopped);
      expect(b.read().outcome).to.equal(errors.stopped);
      const written = b.written.length;
      b.completeWrite();
      b.env.advance(1000);
      expect(b.applied).to.deep.equal([]);
      expect(b.written).to.have.length(written);
      expect(b.env.waiting).to.equal(0);
    });
  });

  describe('of one of three', () => {
    it('counts a stall as one tick, however long, and small delays one by one', () => {
      const b = new Bench(3).start();
      b.env.advance(3 * TICK_MS);
      expect(b.ticks).to.equal(3);
      b.env.sleep(0.9 * TICK_MS);
      b.env.advance(1.1 * TICK_MS);
      expect(b.ticks).to.equal(5);
      expect(b.late).to.deep.equal([]);
      b.env.sleep(50 * TICK_MS);
      b.env.settle();
      expect(b.ticks).to.equal(6);
      expect(b.late).to.deep.equal([49 * TICK_MS]);
      b.env.advance(TICK_MS - 1);
      expect(b.ticks).to.equal(6);
      b.env.advance(1);
      expect(b.ticks).to.equal(7);
      b.env.sleep(3.5 * TICK_MS);
      b.env.advance(0.9 * TICK_MS);
      expect(b.ticks).to.equal(8);
    });

    it('does not campaign before it read the messages of a stall', () => {
      for (const hasHeard of [true, false]) {
        const b = new Bench(3).start();
        b.receive(MessageType.heartbeat, 2n);
        b.env.advance(9 * TICK_MS);
        expect(b.node.role).to.equal(Role.follower);
        b.env.sleep(30 * TICK_MS);
        // The timer runs first; the leader's message is read before what the timer deferred.
        expect(b.env.step()).to.equal(true);
        if (hasHeard) b.receive(MessageType.heartbeat, 2n);
        b.env.settle();
        expect(b.sentOf(MessageType.preVote).length > 0).to.equal(!hasHeard);
        expect(b.node.role).to.equal(hasHeard ? Role.follower : Role.preCandidate);
      }
    });

    it('lets no forwarded command into the log that a member could not apply', () => {
      const b = new Bench(3).start();
      b.env.advance(25 * TICK_MS);
      b.receive(MessageType.preVoteResponse, 2n, { term: b.node.term + 1 });
      b.env.settle();
      b.receive(MessageType.voteResponse, 2n);
      b.env.settle();
      expect(b.node.role).to.equal(Role.leader);
      const request = encodePutRequest({ key: Buffer.from('k') });
      const forward = (type: EntryType, data: Uint8Array): void => {
        const proposed = [{ term: 0, index: 0, type, data }];
        b.receive(MessageType.propose, 2n, { term: 0, entries: proposed });
        b.env.settle();
      };
      const logged = (): number => b.written.flatMap((batch) => batch.entries).length;
      const before = logged();
      forward(EntryType.normal, encodeCommand(250 as CommandKind, 1, 1, request));
      forward(EntryType.normal, encodeCommand(CommandKind.put, 1, 1, request.subarray(0, 2)));
      forward(EntryType.normal, Buffer.alloc(0));
      forward(EntryType.confChange, Buffer.from([0x0a, 0x7f]));
      expect(logged()).to.equal(before);
      forward(EntryType.normal, encodeCommand(CommandKind.put, 1, 1, request));
      expect(logged()).to.equal(before + 1);
    });

    it('sends a vote only when it is durable', () => {
      const b = new Bench(3).start();
      b.isDiskHeld = true;
      b.receive(MessageType.vote, 2n, { term: 5 });
      b.env.settle();
      expect(b.sentOf(MessageType.voteResponse)).to.deep.equal([]);
      expect(b.written.at(-1)?.hardState).to.include({ term: 5, vote: 2n });
      b.completeWrite();
      b.env.settle();
      expect(b.sentOf(MessageType.voteResponse)).to.have.length(1);
    });

    it('acknowledges entries only when they are durable, each with its own write', () => {
      const b = new Bench(3).start();
      b.receive(MessageType.heartbeat, 2n);
      b.env.settle();
      b.isDiskHeld = true;
      b.receive(MessageType.append, 2n, { entries: entries(1, 1, 2) });
      b.env.settle();
      b.receive(MessageType.append, 2n, { index: 2, logTerm: 1, entries: entries(1, 3, 1) });
      b.env.settle();
      const acknowledged = (): number[] =>
        b.sentOf(MessageType.appendResponse).map((m) => (m.reject ? -1 : m.index));
      expect(acknowledged()).to.deep.equal([]);
      b.completeWrite();
      b.env.settle();
      expect(Math.max(...acknowledged())).to.equal(2);
      b.completeWrite();
      b.env.settle();
      expect(Math.max(...acknowledged())).to.equal(3);
      expect(acknowledged()).to.not.include(-1);
    });

    it('forwards waiting proposals as soon as there is a leader', () => {
      const b = new Bench(3).start();
      const put = b.propose('a');
      const read = b.read();
      b.env.advance(TICK_MS);
      expect(b.transport.sent).to.deep.equal([]);
      b.receive(MessageType.heartbeat, 2n);
      b.env.settle();
      const [forwarded] = b.sentOf(MessageType.propose);
      expect(forwarded?.to).to.equal(2n);
      const asked = b.sentOf(MessageType.readIndex);
      expect(asked).to.have.length(1);
      b.receive(MessageType.readIndexResponse, 2n, {
        context: asked[0]?.context ?? 0,
        incarnation: asked[0]?.incarnation ?? 0,
        index: 0,
      });
      b.env.settle();
      expect(read.outcome).to.equal('ok');
      const data = forwarded?.entries[0]?.data as Uint8Array;
      const entry = { term: 1, index: 1, type: EntryType.normal, data };
      b.receive(MessageType.append, 2n, { entries: [entry], commit: 1 });
      b.env.settle();
      expect(put.outcome).to.equal('ok');
    });

    it('fails reads when the leader they were asked of is gone', () => {
      const b = new Bench(3).start();
      b.receive(MessageType.heartbeat, 2n);
      b.env.settle();
      const read = b.read();
      b.env.settle();
      expect(read.outcome).to.equal(undefined);
      b.receive(MessageType.heartbeat, 3n, { term: 2 });
      b.env.settle();
      expect(read.outcome).to.equal(errors.leaderChanged);
    });

    it('answers a proposal that a new leader did not have with an unknown outcome', () => {
      const b = new Bench(3).start();
      b.receive(MessageType.heartbeat, 2n);
      b.env.settle();
      const put = b.propose('lost');
      b.env.settle();
      const first = { term: 2, index: 1, type: EntryType.normal, data: new Uint8Array(0) };
      b.receive(MessageType.append, 3n, { term: 2, entries: [first], commit: 1 });
      b.env.settle();
      expect(put.outcome).to.equal(errors.timeoutLeaderFailure);
    });

    it('drops entries that wait for apply when a snapshot contains them, and goes on behind it', () => {
      const b = new Bench(3).start();
      b.backlogBytes = BACKLOG_BYTES + 1;
      b.receive(MessageType.append, 2n, { entries: entries(1, 1, 3, 1), commit: 3 });
      b.env.settle();
      expect(b.node.commitIndex).to.equal(3);
      const confState = { voters: [1n, 2n, 3n], learners: [] };
      const snapshot = { index: 10, term: 1, confState };
      const read = b.read();
      b.env.settle();
      const [asked] = b.sentOf(MessageType.readIndex);
      b.receive(MessageType.readIndexResponse, 2n, {
        context: asked?.context ?? 0,
        incarnation: asked?.incarnation ?? 0,
        index: 9,
      });
      b.env.settle();
      b.receive(MessageType.snapshot, 2n, { snapshot });
      b.env.settle();
      expect(b.snapshots.map((meta) => meta.index)).to.deep.equal([10]);
      expect(b.forgotten).to.equal(1);
      b.backlogBytes = 0;
      b.env.advance(10);
      expect(b.applied).to.deep.equal([]);
      expect(read.outcome).to.equal(undefined);
      b.driver.snapshotInstalled(snapshot);
      b.env.settle();
      expect(b.node.appliedIndex).to.equal(10);
      expect(read.outcome).to.equal('ok');
      b.receive(MessageType.append, 2n, {
        index: 10,
        logTerm: 1,
        entries: entries(1, 11, 1, 1),
        commit: 11,
      });
      b.env.settle();
      expect(b.applied).to.have.length(1);
    });
  });
});
