import { expect } from 'chai';
import { SlicedWork } from '../../../src/base/slices/sliced-work.js';
import type { Store } from '../../../src/mvcc/store.js';
import type { RpcError } from '../../../src/rpc/service.js';
import { errors } from '../../../src/server/contract/errors.js';
import { ReadGate } from '../../../src/server/member/read-gate.js';
import { ManualEnv } from './manual-env.js';

type Confirmed = (error: RpcError | null) => void;

/** A gate whose read-index rounds end at the test's call. */
class Bench {
  readonly rounds: Confirmed[] = [];
  readonly outcomes: [string, RpcError | null][] = [];
  readonly gate = new ReadGate({} as Store, new SlicedWork(new ManualEnv()), (done) => {
    this.rounds.push(done);
  });

  read(name: string): void {
    this.gate.linearizable((error) => this.outcomes.push([name, error]));
  }

  /** Ends the oldest round. */
  confirm(error: RpcError | null = null): void {
    this.rounds.shift()?.(error);
  }
}

describe('ReadGate', () => {
  it('lets a linearizable read through once its round has ended, or hands on why it failed', () => {
    const b = new Bench();
    b.read('a');
    b.read('b');
    expect(b.outcomes).to.deep.equal([]);
    b.confirm();
    b.confirm(errors.timeout);
    expect(b.outcomes).to.deep.equal([
      ['a', null],
      ['b', errors.timeout],
    ]);
  });

  it('lets reads wait while the state is replaced, and then through in their order', () => {
    const b = new Bench();
    const order: string[] = [];
    b.read('linearizable');
    b.read('refused');
    b.gate.close();
    expect(b.gate.isClosed).to.equal(true);
    b.gate.whenReadable(() => order.push('serializable'));
    b.confirm();
    // A read that failed needs no state to say so.
    b.confirm(errors.leaderChanged);
    b.gate.whenReadable(() => order.push('later'));
    expect(order).to.deep.equal([]);
    expect(b.outcomes).to.deep.equal([['refused', errors.leaderChanged]]);
    b.gate.open();
    expect(b.gate.isClosed).to.equal(false);
    expect(order).to.deep.equal(['serializable', 'later']);
    expect(b.outcomes.at(-1)).to.deep.equal(['linearizable', null]);
  });

  it('keeps what waits when it is closed again', () => {
    const b = new Bench();
    let reads = 0;
    b.gate.close();
    b.gate.whenReadable(() => reads++);
    b.gate.close();
    b.gate.open();
    expect(reads).to.equal(1);
    b.gate.open();
    expect(reads).to.equal(1);
  });

  it('lets a read that begins within another one wait for the next opening if it is closed', () => {
    const b = new Bench();
    const order: string[] = [];
    b.gate.close();
    b.gate.whenReadable(() => {
      order.push('outer');
      b.gate.close();
      b.gate.whenReadable(() => order.push('inner'));
    });
    b.gate.open();
    expect(order).to.deep.equal(['outer']);
    b.gate.open();
    expect(order).to.deep.equal(['outer', 'inner']);
  });

  it('refuses linearizable reads once it was stopped, without a round', () => {
    const b = new Bench();
    b.gate.stop();
    b.read('late');
    expect(b.outcomes).to.deep.equal([['late', errors.stopped]]);
    expect(b.rounds).to.have.length(0);
  });
});
