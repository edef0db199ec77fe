import { expect } from 'chai';
import fc from 'fast-check';
import { WorkQueue } from '../../../src/cluster/client/work-queue.js';
import { VirtualTime } from '../../support/virtual-time.js';

const LIMITS = { baseDelayMs: 5, maxDelayMs: 1_000_000 };

/** Takes all that can be had now, without `done`. */
async function takeAll(queue: WorkQueue): Promise<string[]> {
  const items: string[] = [];
  while (queue.length > 0) {
    const item = await queue.getNext();
    if (item !== undefined) items.push(item);
  }
  return items;
}

describe('work queue', () => {
  it('hands out an item once for many adds, and again when it was added while a worker had it', async () => {
    const queue = new WorkQueue(new VirtualTime());
    for (const item of ['a', 'b', 'a', 'a']) queue.add(item);
    expect(await takeAll(queue)).to.deep.equal(['a', 'b']);
    queue.add('a');
    queue.add('a');
    expect(await takeAll(queue)).to.deep.equal([]);
    queue.done('a');
    expect(await takeAll(queue)).to.deep.equal(['a']);
    queue.done('b');
    expect(queue.length).to.equal(0);
    expect(() => queue.done('b')).to.throw('no worker has b');
  });

  it('gives items to those who wait, and undefined to them at its end', async () => {
    const queue = new WorkQueue(new VirtualTime());
    const [first, second, third] = [queue.getNext(), queue.getNext(), queue.getNext()];
    queue.add('a');
    queue.add('b');
    queue.shutDown();
    expect(await Promise.all([first, second, third])).to.deep.equal(['a', 'b', undefined]);
  });

  it('hands out what waits after shut-down, and takes nothing more', async () => {
    const time = new VirtualTime();
    const queue = new WorkQueue(time);
    queue.add('a');
    queue.add('b');
    expect(await queue.getNext()).to.equal('a');
    queue.add('a');
    queue.addAfter('late', 10);
    queue.shutDown();
    queue.add('c');
    queue.addAfter('d', 0);
    await time.advance(1000);
    expect(await queue.getNext()).to.equal('b');
    queue.done('a');
    expect(await queue.getNext()).to.equal('a');
    expect(await queue.getNext()).to.equal(undefined);
  });

  it('adds later, at the earliest of several times', async () => {
    const time = new VirtualTime();
    const queue = new WorkQueue(time);
    queue.addAfter('a', 1000);
    queue.addAfter('a', 300);
    queue.addAfter('a', 2000);
    await time.advance(299);
    expect(queue.length).to.equal(0);
    await time.advance(1);
    expect(await takeAll(queue)).to.deep.equal(['a']);
    queue.done('a');
    await time.advance(5000);
    expect(queue.length).to.equal(0);
  });

  it('doubles the delay with each failure, up to the limit, until the item is well', async () => {
    const time = new VirtualTime();
    const queue = new WorkQueue(time, LIMITS);
    const delays: number[] = [];
    for (let i = 0; i < 20; i += 1) {
      const beganMs = time.monoMs();
      queue.addRateLimited('a');
      const next = queue.getNext();
      delays.push((await time.run(next.then(() => time.monoMs()))) - beganMs);
      queue.done('a');
    }
    expect(delays.slice(0, 4)).to.deep.equal([5, 10, 20, 40]);
    expect(delays.slice(-3)).to.deep.equal([655_360, 1_000_000, 1_000_000]);
    expect(queue.retries('a')).to.equal(20);
    queue.forget('a');
    expect(queue.retries('a')).to.equal(0);
    queue.addRateLimited('a');
    await time.advance(5);
    expect(await takeAll(queue)).to.deep.equal(['a']);
  });

  it('limits the retries of all items together by the bucket', async () => {
    const time = new VirtualTime();
    const queue = new WorkQueue(time, { ...LIMITS, bucket: { perSecond: 10, burst: 2 } });
    for (const item of ['a', 'b', 'c', 'd']) queue.addRateLimited(item);
    await time.advance(5);
    expect(await takeAll(queue)).to.deep.equal(['a', 'b']);
    await time.advance(95);
    expect(await takeAll(queue)).to.deep.equal(['c']);
    await time.advance(100);
    expect(await takeAll(queue)).to.deep.equal(['d']);
  });

  it('keeps its guarantees for any order of adds, workers and ends (property)', async () => {
    const item = fc.constantFrom('a', 'b', 'c', 'd');
    const step = fc.oneof(
      fc.record({ type: fc.constant('add' as const), item }),
      fc.record({ type: fc.constant('take' as const), item }),
      fc.record({ type: fc.constant('done' as const), item }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const queue = new WorkQueue(new VirtualTime());
        const wanted = new Set<string>();
        const held = new Set<string>();
        for (const { type, item: one } of steps) {
          if (type === 'add') {
            queue.add(one);
            wanted.add(one);
          } else if (type === 'done' && held.delete(one)) queue.done(one);
          const free = [...wanted].filter((other) => !held.has(other));
          expect(queue.length).to.equal(free.length);
          if (type !== 'take' || free.length === 0) continue;
          const taken = await queue.getNext();
          expect(free).to.include(taken);
          held.add(taken ?? '');
          wanted.delete(taken ?? '');
        }
      }),
    );
  });
});
