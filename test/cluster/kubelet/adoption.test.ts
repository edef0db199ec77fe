import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { KubeletBench, container } from './support/kubelet-bench.js';
import { PODS } from '../../../src/cluster/client/resource-types.js';

describe('kubelet: start beside running containers', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
  });

  afterEach(() => bench.close());

  it('takes over what runs and restarts nothing', async () => {
    const readinessProbe = { httpGet: { port: 80 } };
    bench.addPod('web', { containers: [container('app', { readinessProbe })] });
    await bench.untilRunning('web');
    const { id } = bench.runtime.container('app');
    await bench.stop();
    expect(bench.runtime.running()).to.have.length(1);
    const statuses: string[] = [];
    bench.api.intercept((call) => {
      if (call.path.endsWith('/status')) statuses.push(`${call.method} ${call.path}`);
      return undefined;
    });
    await bench.start();
    await bench.time.advance(30_000);
    expect(bench.runtime.running().map((one) => one.id)).to.deep.equal([id]);
    expect(bench.isRunning('web')).to.be.true;
    // It was ready, and stays so without a word.
    expect(statuses.filter((path) => path.includes('pods'))).to.deep.equal([]);
  });

  it('goes on with a restart that happened while it was away', async () => {
    bench.addPod('web');
    await bench.untilRunning('web');
    await bench.stop();
    bench.runtime.exit(bench.runtime.container('app'), 1);
    await bench.start();
    await bench.time.runUntil(() => bench.containerStatus('web')?.restartCount === 1, 10_000);
  });

  it('ends a pod that was deleted while it was away', async () => {
    const pod = bench.addPod('web');
    const other = bench.addPod('other');
    await bench.untilRunning('web');
    await bench.untilRunning('other');
    await bench.stop();
    bench.api.remove(PODS, pod);
    await bench.start();
    await bench.time.runUntil(() => bench.runtime.sandboxes.size === 1, 60_000);
    expect(bench.runtime.running()[0]?.config.labels['io.kubernetes.pod.uid']).to.equal(
      other.metadata.uid,
    );
  });

  it('finishes the end of a pod that was under way', async () => {
    bench.runtime.defaultStopMs = 8000;
    bench.addPod('web');
    await bench.untilRunning('web');
    await bench.deletePod('web');
    await bench.time.advance(2000);
    await bench.stop();
    await bench.start();
    await bench.time.runUntil(() => bench.pod('web') === undefined, 60_000);
  });

  it('starts a container that a kubelet before it only made', async () => {
    let isDead = false;
    bench.runtime.before = (operation) =>
      operation === 'start' && !isDead ? new Promise<void>(() => undefined) : undefined;
    bench.addPod('web');
    await bench.time.runUntil(() => bench.runtime.containers.size === 1, 5000);
    // As if it was killed: what it waits for never comes.
    isDead = true;
    bench.kubelet = undefined;
    await bench.start();
    await bench.untilRunning('web');
    expect(bench.containerStatus('web')?.restartCount).to.equal(0);
    expect(bench.runtime.containers.size).to.equal(1);
  });

  it('removes files of pods that nobody knows', async () => {
    const left = join(bench.config.rootDirectory, 'pods', 'uid-gone', 'volumes', 'x');
    const logs = join(bench.config.podLogsDirectory, 'default_gone_uid-gone');
    await mkdir(left, { recursive: true });
    await mkdir(logs, { recursive: true });
    await writeFile(join(left, 'file'), 'x');
    await bench.time.advance(5000);
    expect(existsSync(join(bench.config.rootDirectory, 'pods', 'uid-gone'))).to.be.false;
    expect(existsSync(logs)).to.be.false;
  });
});
