import { expect } from 'chai';
import { Deadlines } from '../../src/rpc/http2/deadlines.js';
import { ManualEnv } from './support/raw-client.js';

describe('Deadlines', () => {
  const make = (): {
    env: ManualEnv;
    deadlines: Deadlines;
    expired: string[];
    add: (name: string, inMs: number) => ReturnType<Deadlines['add']>;
  } => {
    const env = new ManualEnv();
    const deadlines = new Deadlines(env);
    const expired: string[] = [];
    const add = (name: string, inMs: number): ReturnType<Deadlines['add']> =>
      deadlines.add(env.clock.monoMs() + inMs, { expire: () => expired.push(name) });
    return { env, deadlines, expired, add };
  };
  const step = (env: ManualEnv, ms: number): void => {
    env.advance(ms);
    env.advance(15);
  };

  it('reports each deadline once, after it has passed', () => {
    const { env, expired, add } = make();
    add('b', 500);
    add('a', 100);
    step(env, 60);
    expect(expired).to.eql([]);
    step(env, 60);
    expect(expired).to.eql(['a']);
    step(env, 500);
    step(env, 500);
    expect(expired).to.eql(['a', 'b']);
  });

  it('keeps deadlines beyond one turn of the wheel', () => {
    const { env, expired, add } = make();
    add('hour', 3_600_000);
    add('soon', 10_250);
    for (let n = 0; n < 10; n++) step(env, 1000);
    expect(expired).to.eql([]);
    step(env, 1000);
    expect(expired).to.eql(['soon']);
    step(env, 3_580_000);
    expect(expired).to.eql(['soon']);
    step(env, 20_000);
    expect(expired).to.eql(['soon', 'hour']);
  });

  it('reports a deadline that has passed already', () => {
    const { env, expired, add } = make();
    add('keeps the timer', 60_000);
    step(env, 5000);
    add('past', -3000);
    step(env, 20);
    expect(expired).to.eql(['past']);
  });

  it('forgets a removed deadline', () => {
    const { env, deadlines, expired, add } = make();
    const gone = add('gone', 100);
    add('stays', 100);
    deadlines.remove(gone);
    deadlines.remove(gone);
    step(env, 200);
    expect(expired).to.eql(['stays']);
  });

  it('starts again after it was empty', () => {
    const { env, expired, add } = make();
    add('first', 50);
    step(env, 100);
    step(env, 60_000);
    add('second', 50);
    step(env, 100);
    expect(expired).to.eql(['first', 'second']);
  });
});
