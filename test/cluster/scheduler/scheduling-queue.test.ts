import { expect } from 'chai';
import { podInfoOf, type PodInfo } from '../../../src/cluster/scheduler/pod-info.js';
import { SchedulingQueue } from '../../../src/cluster/scheduler/scheduling-queue.js';
import { VirtualTime } from '../../support/virtual-time.js';

function info(name: string, priority = 0, labels: Record<string, string> = {}): PodInfo {
  return podInfoOf({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'd', uid: name, labels },
    spec: { priority, containers: [{ name: 'c', image: 'i' }] },
  });
}

describe('SchedulingQueue', () => {
  let time: VirtualTime;
  let queue: SchedulingQueue;
  /** Names in the order in which they were taken, with the time of each in ms. */
  let taken: string[];

  /** Takes whatever comes, for as long as the test runs. */
  async function takeAll(): Promise<void> {
    for (;;) {
      const next = await queue.take();
      if (next === undefined) return;
      taken.push(`${next.uid} ${time.monoMs()}`);
    }
  }

  beforeEach(() => {
    time = new VirtualTime();
    queue = new SchedulingQueue(time);
    taken = [];
  });

  afterEach(() => queue.close());

  it('gives the highest priority first, and the oldest of one priority', async () => {
    queue.set(info('a'));
    queue.set(info('b', 5));
    await time.advance(10);
    queue.set(info('c', 5));
    queue.set(info('d', 2_000_000_000));
    queue.set(info('e', -1));
    void takeAll();
    await time.settle();
    expect(taken).to.deep.equal(['d 10', 'b 10', 'c 10', 'a 10', 'e 10']);
  });

  it('keeps a failed pod until something changes, and then waits out its back-off', async () => {
    queue.set(info('a'));
    void takeAll();
    await time.settle();
    queue.failed('a');
    await time.advance(60_000);
    expect(taken).to.deep.equal(['a 0']);
    queue.moveAll();
    await time.settle();
    expect(taken, 'the back-off is over long ago').to.deep.equal(['a 0', 'a 60000']);
    queue.failed('a');
    queue.moveAll();
    queue.moveAll();
    await time.advance(1999);
    expect(taken).to.have.length(2);
    await time.advance(1);
    expect(taken.at(-1)).to.equal('a 62000');
  });

  it('doubles the back-off from one second to ten', async () => {
    queue.set(info('a'));
    void takeAll();
    await time.settle();
    const pauses: number[] = [];
    for (let i = 0; i < 6; i++) {
      const beganMs = time.monoMs();
      const count = taken.length;
      queue.failed('a');
      queue.moveAll();
      await time.runUntil(() => taken.length > count);
      pauses.push(time.monoMs() - beganMs);
    }
    expect(pauses).to.deep.equal([1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  it('tries again a pod for which something changed while it was being tried', async () => {
    queue.set(info('a'));
    expect((await queue.take())?.uid).to.equal('a');
    queue.moveAll();
    queue.failed('a');
    void takeAll();
    await time.advance(1000);
    expect(taken).to.deep.equal(['a 1000']);
  });

  it('moves only pods that a change concerns', async () => {
    queue.set(info('a'));
    queue.set(info('b'));
    void takeAll();
    await time.settle();
    queue.failed('a');
    queue.failed('b');
    queue.moveAll(({ uid }) => uid === 'b');
    await time.advance(10_000);
    expect(taken).to.deep.equal(['a 0', 'b 0', 'b 1000']);
  });

  it('tries a pod again that nothing moved, after five minutes', async () => {
    queue.set(info('a'));
    void takeAll();
    await time.settle();
    queue.failed('a');
    await time.advance(5 * 60_000);
    expect(taken).to.have.length(1);
    await time.advance(30_000);
    expect(taken).to.have.length(2);
  });

  it('tries a pod again whose labels or spec changed, but not for its status', async () => {
    queue.set(info('a'));
    void takeAll();
    await time.settle();
    queue.failed('a');
    queue.set(info('a'));
    await time.advance(5000);
    expect(taken).to.have.length(1);
    queue.set(info('a', 0, { x: 'y' }));
    await time.settle();
    expect(taken).to.have.length(2);
  });

  it('forgets a pod that was deleted, in back-off too', async () => {
    queue.set(info('a'));
    void takeAll();
    await time.settle();
    queue.retry('a');
    queue.delete('a');
    await time.advance(20_000);
    expect(taken).to.have.length(1);
    expect(queue.size).to.equal(0);
  });

  it('leaves no timer when it is closed, and ends who waits', async () => {
    queue.set(info('a'));
    const all = takeAll();
    await time.settle();
    queue.retry('a');
    queue.close();
    await all;
    expect(time.pendingTimers).to.equal(0);
  });
});
