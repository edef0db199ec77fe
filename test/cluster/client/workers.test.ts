import { expect } from 'chai';
import { silentLogger, type Logger } from '../../../src/base/observe/logger.js';
import { conflict } from '../../../src/cluster/api/status.js';
import { runWorkers } from '../../../src/cluster/client/workers.js';
import { WorkQueue } from '../../../src/cluster/client/work-queue.js';
import { sleep, type ClusterEnv } from '../../../src/cluster/env.js';
import { VirtualTime } from '../../support/virtual-time.js';

function collectingLogger(lines: string[]): Logger {
  const write =
    (level: string) =>
    (msg: string): void =>
      void lines.push(`${level} ${msg}`);
  return { ...silentLogger, debug: write('debug'), error: write('error') };
}

describe('workers', () => {
  it('reconcile several items at once, none twice at the same time, and end when drained', async () => {
    const time = new VirtualTime();
    const queue = new WorkQueue(time);
    const running = new Set<string>();
    let most = 0;
    let runs = 0;
    const reconcile = async (item: string): Promise<void> => {
      expect(running.has(item)).to.be.false;
      running.add(item);
      most = Math.max(most, running.size);
      runs += 1;
      await sleep(time, 100);
      running.delete(item);
    };
    const ended = runWorkers({ env: time, log: silentLogger, queue, count: 3, reconcile });
    for (let i = 0; i < 9; i += 1) queue.add(`item ${i}`);
    await time.advance(50);
    queue.add('item 0');
    queue.shutDown();
    await time.run(ended);
    expect(most).to.equal(3);
    expect(runs).to.equal(10);
    expect(time.monoMs()).to.equal(400);
  });

  it('retry what failed with back-off, and go on with the rest', async () => {
    const time = new VirtualTime();
    const queue = new WorkQueue(time);
    const seen: string[] = [];
    const lines: string[] = [];
    const reconcile = (item: string): Promise<void> => {
      seen.push(`${item} ${time.monoMs()}`);
      if (item === 'bad' && time.monoMs() < 10) throw new Error('broken');
      const of = { group: '', resource: 'pods' };
      if (item === 'late' && time.monoMs() < 10) return Promise.reject(conflict(of, 'p', 'newer'));
      return Promise.resolve();
    };
    const log = collectingLogger(lines);
    const ended = runWorkers({ env: time, log, queue, count: 1, reconcile });
    for (const item of ['bad', 'late', 'good']) queue.add(item);
    await time.advance(1000);
    expect(seen).to.deep.equal([
      ...['bad 0', 'late 0', 'good 0', 'bad 5', 'late 5', 'bad 15', 'late 15'],
    ]);
    expect(lines.filter((line) => line === 'error reconcile failed, will be retried')).length(2);
    expect(lines.filter((line) => line === 'debug reconcile met a newer object')).length(2);
    expect(queue.retries('bad')).to.equal(0);
    queue.shutDown();
    await ended;
  });

  it('leave turns of the event loop to others', async () => {
    let nowMs = 0;
    const time = new VirtualTime();
    const env: ClusterEnv = {
      monoMs: () => nowMs,
      wallMs: () => nowMs,
      after: (delayMs, callback) => time.after(delayMs, callback),
      randomU32: time.randomU32,
    };
    const queue = new WorkQueue(env);
    let others = 0;
    let isOver = false;
    const count = (): void => {
      others += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const reconcile = (): Promise<void> => {
      nowMs += 1;
      return Promise.resolve();
    };
    for (let i = 0; i < 100; i += 1) queue.add(String(i));
    queue.shutDown();
    await runWorkers({ env, log: silentLogger, queue, count: 2, reconcile });
    isOver = true;
    expect(others).to.be.greaterThan(30);
  });
});
