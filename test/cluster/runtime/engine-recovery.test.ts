import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unmountBelow } from '../../../src/cluster/runtime/mounts.js';
import { until } from '../../support/until.js';
import { directoriesIn, EngineUnderTest } from './engine-under-test.js';
import { whereEngineRuns } from './facilities-needed.js';
import { containerConfig } from './container-config.js';
import { sandboxConfig } from './sandbox-config.js';
import type { ClosableRuntime } from './pod-suite.js';

whereEngineRuns('the engine, when others fail', () => {
  const under = new EngineUnderTest();
  let runtime: ClosableRuntime;

  before(async () => {
    runtime = await under.open();
  });
  after(async () => {
    runtime.close();
    await under.cleanUp();
  });

  async function startPod(uid: string): Promise<{ sandbox: string; container: string }> {
    const sandbox = await runtime.runPodSandbox(
      sandboxConfig({
        uid,
        logDirectory: join(under.dir, 'logs', uid),
        cgroupParent: `${under.cgroup}/${uid}`,
      }),
    );
    const image = await runtime.imageStatus('busybox');
    const config = containerConfig({ imageId: image?.id ?? '', command: ['sleep', '1000'] });
    const container = await runtime.createContainer(sandbox, config);
    await runtime.startContainer(container);
    return { sandbox, container };
  }

  function numberIn(container: string, file: string): number {
    const path = join(directoriesIn(under.dir).rootDir, 'containers', container, file);
    return Number(readFileSync(path, 'utf8'));
  }

  it('goes on without the monitor of a container, and sees the container end', async () => {
    const { sandbox, container } = await startPod('unwatched');
    process.kill(numberIn(container, 'monitor.pid'), 'SIGKILL');
    const { stdout } = await runtime.execSync(container, ['echo', 'alive'], 0);
    expect(Buffer.from(stdout).toString()).to.equal('alive\n');
    process.kill(numberIn(container, 'pid'), 'SIGKILL');
    await until(async () => (await runtime.containerStatus(container)).state === 'exited');
    const status = await runtime.containerStatus(container);
    expect(status).to.include({ exitCode: 137, reason: 'Error' });
    expect(status.message).to.contain('monitor');
    await runtime.removePodSandbox(sandbox);
  });

  it('reports the sandboxes that a restart of the machine ended, and removes them', async () => {
    const { sandbox, container } = await startPod('restarted');
    runtime.close();
    process.kill(numberIn(container, 'monitor.pid'), 'SIGKILL');
    process.kill(numberIn(container, 'pid'), 'SIGKILL');
    await unmountBelow(under.dir);
    runtime = await under.open();
    expect((await runtime.podSandboxStatus(sandbox)).isReady).to.equal(false);
    expect(await runtime.containerStatus(container)).to.include({ state: 'exited', exitCode: 137 });
    await runtime.removePodSandbox(sandbox);
    expect(await runtime.listContainers()).to.deep.equal([]);
    const { sandbox: next } = await startPod('next');
    expect((await runtime.podSandboxStatus(next)).ips).to.have.length(1);
    await runtime.removePodSandbox(next);
  });

  it('keeps the layers of an image for the container that runs on it', async () => {
    const { sandbox, container } = await startPod('orphan');
    await runtime.removeImage('busybox');
    expect(await runtime.listImages()).to.deep.equal([]);
    await runtime.execSync(container, ['ls', '/bin'], 0);
    const { stdout } = await runtime.execSync(container, ['cat', '/etc/group'], 0);
    expect(Buffer.from(stdout).toString()).to.contain('root');
    await runtime.removePodSandbox(sandbox);
    expect((await runtime.imageFsUsage()).usedBytes).to.be.below(100_000);
    runtime.close();
    runtime = await under.open();
    expect(await runtime.imageStatus('busybox')).to.not.equal(undefined);
  });
});
