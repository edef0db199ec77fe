import { expect } from 'chai';
import { appendFile, mkdir, readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KubeletBench } from '../support/kubelet-bench.js';

describe('kubelet: rotation of logs', () => {
  let bench: KubeletBench;
  let path: string;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
    const { uid = '' } = bench.addPod('web').metadata;
    await bench.untilRunning('web');
    path = join(bench.config.podLogsDirectory, `default_web_${uid}`, 'app', '0.log');
    await mkdir(dirname(path), { recursive: true });
  });

  afterEach(() => bench.close());

  const names = async (): Promise<string[]> => (await readdir(dirname(path))).sort();

  it('renames a full log, lets the runtime open a new one, and keeps three files', async () => {
    for (let round = 0; round < 5; round += 1) {
      await appendFile(path, `${round}`.repeat(1001));
      await bench.time.advance(10_000);
    }
    const found = await names();
    expect(found).to.have.length(2);
    expect(found.every((name) => /^0\.log\.\d{8}-\d{6}$/.test(name))).to.be.true;
    expect(await readFile(join(dirname(path), found.at(-1) ?? ''), 'utf8')).to.match(/^4+$/);
    expect(bench.runtime.history.filter((line) => line === 'reopen app/0')).to.have.length(5);
  });

  it('leaves small logs alone', async () => {
    await appendFile(path, 'small');
    await bench.time.advance(30_000);
    expect(await names()).to.deep.equal(['0.log']);
  });

  it('puts the log back when the runtime does not open a new one', async () => {
    bench.runtime.before = (operation) => {
      if (operation === 'reopen') throw new Error('no');
    };
    await appendFile(path, 'x'.repeat(1001));
    await bench.time.advance(15_000);
    expect(await names()).to.deep.equal(['0.log']);
  });
});
