import { expect } from 'chai';
import type { RpcError } from '../../../src/rpc/service.js';
import { errors } from '../../../src/server/contract/errors.js';
import { ReadIndex } from '../../../src/server/member/read-index.js';
import { ManualEnv } from './manual-env.js';

const TIMEOUT_MS = 7000;
const PENDING = 'pending';

class Bench {
  readonly env = new ManualEnv();
  readonly reads = new ReadIndex(this.env, TIMEOUT_MS);
  readonly asked: number[] = [];
  hasLeader = true;
  private readonly outcomes = new Map<string, RpcError | null>();

  readonly ask = (context: number): boolean => {
    this.asked.push(context);
    return this.hasLeader;
  };

  read(name: string): void {
    this.reads.add((error) => {
      expect(this.outcomes.has(name), `${name} answered twice`).to.equal(false);
      this.outcomes.set(name, error);
    });
  }

  /** A read, and a round for it unless one is under way. */
  submit(name: string): void {
    this.read(name);
    this.reads.start(this.ask);
  }

  /** Answers the newest round. */
  confirm(index: number, appliedIndex = index): void {
    this.reads.onReadState(this.lastAsked, index, appliedIndex);
  }

  outcome(name: string): RpcError | null | typeof PENDING {
    const outcome = this.outcomes.get(name);
    return outcome === undefined ? PENDING : outcome;
  }

  get lastAsked(): number {
    return this.asked.at(-1) ?? NaN;
  }

  tickAfter(ms: number): void {
    this.env.advance(ms);
    this.reads.tick(this.ask);
  }
}

describe('ReadIndex', () => {
  it('gives all reads that wait one round, and those that come later the next', () => {
    const b = new Bench();
    b.read('a');
    b.submit('b');
    b.submit('c');
    expect(b.asked).to.have.length(1);
    const first = b.lastAsked;
    b.reads.onReadState(first, 5, 5);
    expect(b.outcome('a')).to.equal(null);
    expect(b.outcome('b')).to.equal(null);
    expect(b.outcome('c')).to.equal(PENDING);
    b.reads.start(b.ask);
    expect(b.asked).to.have.length(2);
    // A second answer to the first round is no answer to the second.
    b.reads.onReadState(first, 5, 5);
    expect(b.outcome('c')).to.equal(PENDING);
    b.confirm(5);
    expect(b.outcome('c')).to.equal(null);
    expect(b.reads.pending).to.equal(0);
  });

  it('waits until the confirmed index is applied', () => {
    const b = new Bench();
    b.submit('a');
    b.confirm(10, 8);
    b.reads.onApplied(9);
    expect(b.outcome('a')).to.equal(PENDING);
    b.submit('b');
    b.confirm(12, 9);
    b.reads.onApplied(10);
    expect(b.outcome('a')).to.equal(null);
    expect(b.outcome('b')).to.equal(PENDING);
    b.reads.onApplied(12);
    expect(b.outcome('b')).to.equal(null);
  });

  it('asks again after 500 ms with a context never used before, and takes an answer to either', () => {
    for (const answered of [0, 1, 2]) {
      const b = new Bench();
      b.submit('a');
      b.tickAfter(499);
      expect(b.asked).to.have.length(1);
      b.tickAfter(1);
      b.tickAfter(500);
      expect(b.asked).to.have.length(3);
      expect(new Set(b.asked).size).to.equal(3);
      expect(b.reads.slow).to.equal(2);
      b.reads.onReadState(b.asked[answered] ?? NaN, 1, 1);
      expect(b.outcome('a')).to.equal(null);
    }
  });

  it('does not take answers to the contexts of a round that was given up', () => {
    const b = new Bench();
    b.submit('a');
    b.tickAfter(500);
    b.reads.leaderChanged();
    expect(b.outcome('a')).to.equal(errors.leaderChanged);
    b.submit('b');
    for (const old of b.asked.slice(0, 2)) b.reads.onReadState(old, 1, 1);
    expect(b.outcome('b')).to.equal(PENDING);
    b.confirm(1);
    expect(b.outcome('b')).to.equal(null);
    expect(b.reads.failed).to.equal(1);
  });

  it('fails on a change of leader only reads asked of the old one', () => {
    const b = new Bench();
    b.submit('confirmed');
    b.confirm(10, 8);
    b.submit('asked');
    b.read('waiting');
    b.reads.leaderChanged();
    expect(b.outcome('asked')).to.equal(errors.leaderChanged);
    expect(b.outcome('waiting')).to.equal(PENDING);
    expect(b.reads.hasWork).to.equal(true);
    b.reads.onApplied(10);
    expect(b.outcome('confirmed')).to.equal(null);
  });

  it('asks a leader that appears at once', () => {
    const b = new Bench();
    b.hasLeader = false;
    b.submit('a');
    b.hasLeader = true;
    b.env.advance(10);
    b.reads.leaderAppeared(b.ask);
    expect(b.asked).to.have.length(2);
    expect(b.reads.slow).to.equal(0);
    // Its own retry begins anew.
    b.tickAfter(499);
    expect(b.asked).to.have.length(2);
    b.confirm(1);
    expect(b.outcome('a')).to.equal(null);
    b.reads.leaderAppeared(b.ask);
    expect(b.asked).to.have.length(2);
  });

  it('fails a read that was not confirmed, or not applied, within the request timeout', () => {
    const b = new Bench();
    b.submit('applied late');
    b.confirm(100, 1);
    b.submit('never confirmed');
    for (let ms = 0; ms < TIMEOUT_MS - 100; ms += 100) b.tickAfter(100);
    expect(b.outcome('applied late')).to.equal(PENDING);
    expect(b.outcome('never confirmed')).to.equal(PENDING);
    b.tickAfter(100);
    expect(b.outcome('applied late')).to.equal(errors.timeout);
    expect(b.outcome('never confirmed')).to.equal(errors.timeout);
    expect(b.reads.failed).to.equal(2);
    expect(b.reads.pending).to.equal(0);
    b.reads.onApplied(100);
  });

  it('fails all reads at the end, in every state', () => {
    const b = new Bench();
    b.submit('confirmed');
    b.confirm(10, 8);
    b.submit('asked');
    b.read('waiting');
    b.reads.failAll(errors.stopped);
    for (const name of ['confirmed', 'asked', 'waiting'])
      expect(b.outcome(name)).to.equal(errors.stopped);
    expect(b.reads.pending).to.equal(0);
  });

  it('lets a read begin from within the answer to another', () => {
    const b = new Bench();
    b.reads.add(() => b.read('inner'));
    b.reads.start(b.ask);
    b.confirm(1);
    b.reads.start(b.ask);
    b.confirm(1);
    expect(b.outcome('inner')).to.equal(null);
  });
});
