import { expect } from 'chai';
import type { ProposeResult } from '../../../src/raft/types.js';
import type { RpcError } from '../../../src/rpc/service.js';
import { errors } from '../../../src/server/contract/errors.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { ENVELOPE_BYTES, kindOf } from '../../../src/server/contract/command.js';
import { ProposalQueue } from '../../../src/server/member/proposal-queue.js';
import { ManualEnv } from './manual-env.js';

const TIMEOUT_MS = 7000;
const OK = 'ok';

class Bench {
  readonly env: ManualEnv;
  readonly proposals: ProposalQueue;
  readonly log: Uint8Array[] = [];
  readonly outcomes: [string, RpcError | typeof OK][] = [];
  result: ProposeResult = 'ok';

  constructor(seed = 7) {
    this.env = new ManualEnv(undefined, seed);
    this.proposals = new ProposalQueue(this.env, TIMEOUT_MS);
  }

  propose(name: string): void {
    this.proposals.add(CommandKind.put, Buffer.from(name), (error) => {
      this.outcomes.push([name, error ?? OK]);
    });
  }

  submit(term = 1): void {
    this.proposals.submit(term, (data) => {
      if (this.result === 'ok') this.log.push(...data);
      return this.result;
    });
  }

  commit(data: Uint8Array): boolean {
    const done = this.proposals.take(data);
    done?.(null, new Uint8Array(0));
    return done !== undefined;
  }

  outcome(name: string): RpcError | typeof OK | undefined {
    const all = this.outcomes.filter(([other]) => other === name);
    expect(all.length, `answers to ${name}`).to.be.lessThan(2);
    return all[0]?.[1];
  }
}

function bodyOf(data: Uint8Array): string {
  return Buffer.from(data.subarray(ENVELOPE_BYTES)).toString();
}

describe('Proposals', () => {
  it('hands commands over in order, in one call, with a copy of the request', () => {
    const b = new Bench();
    const request = Buffer.from('first');
    b.proposals.add(CommandKind.txn, request, () => undefined);
    request.fill(0);
    b.propose('second');
    b.submit();
    expect(b.log.map(bodyOf)).to.deep.equal(['first', 'second']);
    expect(b.log.map(kindOf)).to.deep.equal([CommandKind.txn, CommandKind.put]);
    expect(b.proposals.pending).to.equal(2);
    expect(b.proposals.bytesQueued).to.equal(0);
    b.submit();
    expect(b.log).to.have.length(2);
  });

  it('answers a command once, however often it is applied', () => {
    const b = new Bench();
    b.propose('a');
    b.submit();
    const [data] = b.log;
    expect(b.commit(data as Uint8Array)).to.equal(true);
    expect(b.commit(data as Uint8Array)).to.equal(false);
    expect(b.outcome('a')).to.equal(OK);
    expect(b.proposals.pending).to.equal(0);
  });

  it('does not take the commands of another member, or of an earlier life, for its own', () => {
    const b = new Bench(1);
    const other = new Bench(2);
    other.propose('theirs');
    other.submit();
    b.propose('ours');
    b.submit();
    expect(b.commit(other.log[0] as Uint8Array)).to.equal(false);
    expect(b.outcome('ours')).to.equal(undefined);
  });

  for (const result of ['no-leader', 'transferring'] as const) {
    it(`keeps the queue and its order while the core returns ${result}`, () => {
      const b = new Bench();
      b.result = result;
      b.propose('a');
      b.submit();
      b.propose('b');
      b.submit();
      expect(b.proposals.hasQueued).to.equal(true);
      b.result = 'ok';
      b.submit();
      expect(b.log.map(bodyOf)).to.deep.equal(['a', 'b']);
      expect(b.proposals.hasQueued).to.equal(false);
    });
  }

  it('refuses proposals that the core does not take', () => {
    const b = new Bench();
    b.result = 'too-much-uncommitted';
    b.propose('a');
    b.submit();
    expect(b.outcome('a')).to.equal(errors.tooManyRequests);
    b.result = 'removed';
    b.propose('b');
    b.submit();
    expect(b.outcome('b')).to.equal(errors.stopped);
    expect(b.proposals.failed).to.equal(2);
    expect(b.proposals.pending).to.equal(0);
    expect(b.proposals.bytesQueued).to.equal(0);
  });

  it('lets the deadline decide: handed over is unknown, still queued was never sent', () => {
    const b = new Bench();
    b.propose('sent');
    b.submit();
    b.env.advance(1);
    b.result = 'no-leader';
    b.propose('queued');
    b.submit();
    b.env.advance(TIMEOUT_MS - 1);
    b.proposals.expire(b.env.nowMs);
    expect(b.outcome('sent')).to.equal(errors.timeout);
    expect(b.outcome('queued')).to.equal(undefined);
    b.env.advance(1);
    b.propose('young');
    b.proposals.expire(b.env.nowMs);
    expect(b.outcome('queued')).to.equal(errors.deadlineExceeded);
    expect(b.proposals.pending).to.equal(1);
    b.result = 'ok';
    b.submit();
    expect(b.log.map(bodyOf)).to.deep.equal(['sent', 'young']);
    // Applied after its deadline: no caller waits any more.
    expect(b.commit(b.log[0] as Uint8Array)).to.equal(false);
  });

  it('may be used again from within an answer that expires', () => {
    const b = new Bench();
    b.result = 'no-leader';
    b.proposals.add(CommandKind.put, new Uint8Array(3), () => b.propose('again'));
    b.env.advance(TIMEOUT_MS);
    b.proposals.expire(b.env.nowMs);
    expect(b.proposals.pending).to.equal(1);
    expect(b.proposals.bytesQueued).to.equal(ENVELOPE_BYTES + 5);
    b.result = 'ok';
    b.submit();
    expect(b.log.map(bodyOf)).to.deep.equal(['again']);
  });

  it('gives up the commands of earlier terms once a later one is applied', () => {
    const b = new Bench();
    b.propose('term 1');
    b.submit(1);
    b.propose('term 2');
    b.submit(2);
    b.proposals.termApplied(2);
    expect(b.outcome('term 1')).to.equal(errors.timeoutLeaderFailure);
    expect(b.outcome('term 2')).to.equal(undefined);
    expect(b.commit(b.log[1] as Uint8Array)).to.equal(true);
  });

  it('fails everything at the end', () => {
    const b = new Bench();
    b.propose('sent');
    b.submit();
    b.propose('queued');
    b.proposals.failAll(errors.stopped);
    expect(b.outcome('sent')).to.equal(errors.stopped);
    expect(b.outcome('queued')).to.equal(errors.stopped);
    expect(b.proposals.pending).to.equal(0);
    expect(b.proposals.bytesQueued).to.equal(0);
  });
});
