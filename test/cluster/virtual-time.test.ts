import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { sleep } from '../../src/cluster/env.js';
import { VirtualTime } from '../support/virtual-time.js';

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return String(error);
  }
  return 'none';
}

describe('virtual time', () => {
  it('moves from timer to timer, in their order', async () => {
    const time = new VirtualTime();
    const seen: string[] = [];
    time.after(200, () => seen.push(`late ${time.monoMs()}`));
    time.after(100, () => seen.push(`first ${time.monoMs()}`));
    time.after(100, () => seen.push(`second ${time.monoMs()}`));
    time.after(150, () => seen.push('cancelled')).cancel();
    await time.advance(1000);
    expect(seen).to.deep.equal(['first 100', 'second 100', 'late 200']);
    expect(time.monoMs()).to.equal(1000);
    expect(time.wallMs()).to.equal(Date.UTC(2026, 0, 1) + 1000);
  });

  it('stands still while promises, immediates and file operations go on', async () => {
    const time = new VirtualTime();
    const seen: string[] = [];
    time.after(1, () => seen.push('timer'));
    const work = async (): Promise<void> => {
      for (let i = 0; i < 50; i += 1) {
        await new Promise((resolve) => setImmediate(resolve));
        await Promise.resolve();
      }
      await readFile(import.meta.filename);
      seen.push('work');
    };
    await Promise.all([work(), time.advance(10)]);
    expect(seen).to.deep.equal(['work', 'timer']);
  });

  it('runs chains of sleeps to their end', async () => {
    const time = new VirtualTime();
    const work = async (): Promise<number> => {
      for (let i = 0; i < 10; i += 1) await sleep(time, 3_600_000);
      return time.monoMs();
    };
    expect(await time.run(work())).to.equal(36_000_000);
    expect(time.pendingTimers).to.equal(0);
  });

  it('says why a condition never comes', async () => {
    const time = new VirtualTime();
    expect(await failure(time.runUntil(() => false))).to.contain('no timer is set');
    const again = (): void => void time.after(1000, again);
    again();
    expect(await failure(time.runUntil(() => false, 5000))).to.contain('not within 5000 ms');
    const spin = (): void => void time.after(0, spin);
    spin();
    expect(await failure(time.settle())).to.contain('set one another for ever');
  });
});
