import { expect } from 'chai';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { VirtualTime } from '../../../support/virtual-time.js';
import { KeyQueue } from '../../../../src/cluster/apiserver/registry/key-queue.js';

describe('cluster/apiserver/registry/key-queue', () => {
  it('works on one key in the order of asking, each from the outcome before', async () => {
    const queue = new KeyQueue<string>(systemClusterEnv(), 60_000);
    const add = (key: string, text: string): Promise<string> =>
      queue.run(
        key,
        async (latest = '') => Promise.resolve(latest + text),
        (result) => result,
      );
    const all = [add('a', '1'), add('a', '2'), add('b', 'x'), add('a', '3')];
    expect(await Promise.all(all)).to.deep.equal(['1', '12', 'x', '123']);
    expect(queue.size).to.equal(0);
    expect(await add('a', '4'), 'nothing is kept').to.equal('4');
  });

  it('goes on after a failure, which has no outcome', async () => {
    const queue = new KeyQueue<string>(systemClusterEnv(), 60_000);
    const seen: (string | undefined)[] = [];
    const work = (fails: boolean): Promise<string> =>
      queue.run(
        'a',
        async (latest) => {
          seen.push(latest);
          await Promise.resolve();
          if (fails) throw new Error('no');
          return 'yes';
        },
        (result) => result,
      );
    const all = [work(false), work(true), work(false)];
    expect((await Promise.allSettled(all)).map(({ status }) => status)).to.deep.equal([
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(seen).to.deep.equal([undefined, 'yes', undefined]);
    expect(queue.size).to.equal(0);
  });

  it('waits for other work no longer than it was told', async () => {
    const time = new VirtualTime();
    const queue = new KeyQueue<string>(time, 5000);
    let finish: () => void = () => undefined;
    const slow = queue.run(
      'a',
      () => new Promise<string>((resolve) => (finish = () => resolve('1'))),
      String,
    );
    let seen: string | undefined = 'nothing yet';
    const next = queue.run('a', async (latest) => Promise.resolve((seen = latest)), String);
    await time.advance(4999);
    expect(seen).to.equal('nothing yet');
    await time.advance(1);
    expect(seen).to.equal(undefined);
    await time.run(next);
    finish();
    expect(await slow).to.equal('1');
    expect(queue.size).to.equal(0);
  });
});
