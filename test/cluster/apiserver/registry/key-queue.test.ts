import { expect } from 'chai';
import { KeyQueue } from '../../../../src/cluster/apiserver/registry/key-queue.js';

describe('cluster/apiserver/registry/key-queue', () => {
  it('works on one key in the order of asking, each from the outcome before', async () => {
    const queue = new KeyQueue<string>();
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
    const queue = new KeyQueue<string>();
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
});
