import { expect } from 'chai';
import { KubeletBench, container } from './support/kubelet-bench.js';
import { PODS } from '../../../src/cluster/client/resource-types.js';
import { serviceUnavailable } from '../../../src/cluster/api/status.js';

describe('kubelet: end of a pod', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
  });

  afterEach(() => bench.close());

  const preStop = { exec: { command: ['bye'] } };

  it('runs the preStop hook within the grace, before the signal', async () => {
    const calls: string[] = [];
    bench.runtime.onExec = async (_, command) => {
      calls.push(command.join(' '));
      await new Promise<void>((resolve) => bench.time.after(4000, resolve));
      return { stdout: new Uint8Array(), stderr: new Uint8Array(), exitCode: 0 };
    };
    bench.addPod('web', { containers: [container('app', { lifecycle: { preStop } })] });
    await bench.untilRunning('web');
    await bench.deletePod('web');
    await bench.time.runUntil(() => bench.pod('web') === undefined, 20_000);
    expect(calls).to.deep.equal(['bye']);
    expect(bench.runtime.history).to.include('stop app/0 26');
  });

  it('gives a container two seconds after a preStop hook that took all the grace', async () => {
    bench.runtime.onExec = () => new Promise(() => undefined);
    bench.addPod('web', {
      terminationGracePeriodSeconds: 5,
      containers: [container('app', { lifecycle: { preStop } })],
    });
    await bench.untilRunning('web');
    await bench.deletePod('web');
    await bench.time.runUntil(() => bench.pod('web') === undefined, 20_000);
    expect(bench.runtime.history).to.include('stop app/0 2');
  });

  it('tells of a preStop hook that fails and goes on', async () => {
    bench.runtime.onExec = () =>
      Promise.resolve({ stdout: new Uint8Array(), stderr: new Uint8Array(), exitCode: 1 });
    bench.addPod('web', { containers: [container('app', { lifecycle: { preStop } })] });
    await bench.untilRunning('web');
    await bench.deletePod('web');
    await bench.time.runUntil(() => bench.pod('web') === undefined, 20_000);
    expect(bench.messages('FailedPreStopHook')).to.deep.equal(['PreStopHook failed']);
  });

  it('hurries when a second delete shortens the grace', async () => {
    bench.runtime.defaultStopMs = Infinity;
    bench.addPod('web');
    await bench.untilRunning('web');
    await bench.deletePod('web');
    await bench.time.advance(5000);
    expect(bench.pod('web')).to.not.be.undefined;
    const beganMs = bench.time.monoMs();
    await bench.deletePod('web', 3);
    await bench.time.runUntil(() => bench.pod('web') === undefined, 20_000);
    expect(bench.time.monoMs() - beganMs).to.be.lessThan(5000);
    expect(bench.messages('Killing')).to.have.length(1);
  });

  it('writes the last status before it deletes the object', async () => {
    const statuses: unknown[] = [];
    bench.api.intercept((call) => {
      if (call.method === 'DELETE') statuses.push(bench.containerStatus('web')?.state?.terminated);
      return undefined;
    });
    bench.addPod('web');
    await bench.untilRunning('web');
    await bench.deletePod('web');
    await bench.time.runUntil(() => bench.pod('web') === undefined, 20_000);
    expect(statuses.at(-1)).to.include({ exitCode: 143, reason: 'Error' });
  });

  it('ends containers of a pod that is gone all at once', async () => {
    const pod = bench.addPod('web');
    await bench.untilRunning('web');
    bench.api.remove(PODS, pod);
    await bench.time.runUntil(() => bench.runtime.sandboxes.size === 0, 60_000);
    expect(bench.runtime.running()).to.have.length(0);
  });

  it('kills a container whose postStart hook fails', async () => {
    bench.runtime.onExec = () =>
      Promise.resolve({ stdout: new Uint8Array(), stderr: new Uint8Array(), exitCode: 1 });
    const lifecycle = { postStart: { exec: { command: ['hello'] } } };
    bench.addPod('web', { containers: [container('app', { lifecycle })] });
    await bench.time.runUntil(() => bench.reasons('Pod/web').includes('Killing'), 10_000);
    expect(bench.messages('FailedPostStartHook')).to.deep.equal(['PostStartHook failed']);
    await bench.time.runUntil(
      () => bench.containerStatus('web')?.state?.waiting?.reason === 'PostStartHookError',
      10_000,
    );
  });

  it('tells the newest status once the API server is back', async () => {
    bench.addPod('web');
    await bench.untilRunning('web');
    const restore = bench.api.intercept((call) => {
      if (call.method === 'PATCH') throw serviceUnavailable('away');
      return undefined;
    });
    bench.runtime.exit(bench.runtime.container('app'), 1);
    await bench.time.runUntil(() => bench.runtime.container('app').config.attempt === 1, 5000);
    bench.runtime.exit(bench.runtime.container('app'), 2);
    await bench.time.advance(60_000);
    expect(bench.runtime.container('app').config.attempt).to.equal(2);
    expect(bench.containerStatus('web')?.restartCount).to.equal(0);
    restore();
    await bench.time.runUntil(() => bench.containerStatus('web')?.restartCount === 2, 15_000);
    expect(bench.isRunning('web')).to.be.true;
  });

  it('takes an end that somebody else wrote into the status', async () => {
    const pod = bench.addPod('web');
    await bench.untilRunning('web');
    const current = bench.pod('web') ?? pod;
    const status = { ...current.status, phase: 'Failed', reason: 'Evicted', message: 'no room' };
    bench.api.put(PODS, { ...current, status });
    await bench.time.runUntil(() => bench.runtime.running().length === 0, 60_000);
    await bench.time.advance(5000);
    expect(bench.status('web')).to.include({
      phase: 'Failed',
      reason: 'Evicted',
      message: 'no room',
    });
    expect(bench.condition('web', 'Ready')).to.equal('False');
  });

  it('puts a condition right that somebody else changed', async () => {
    const pod = bench.addPod('web');
    await bench.untilRunning('web');
    const current = bench.pod('web') ?? pod;
    const conditions = (current.status?.conditions ?? []).map((one) =>
      one.type === 'Ready' ? { ...one, status: 'False', reason: 'NodeNotReady' } : one,
    );
    const gate = { type: 'example.com/gate', status: 'True' };
    const status = { ...current.status, conditions: [...conditions, gate] };
    bench.api.put(PODS, { ...current, status });
    await bench.time.runUntil(() => bench.isRunning('web'), 5000);
    const ready = bench.status('web').conditions?.find(({ type }) => type === 'Ready');
    expect(ready).to.not.have.property('reason');
    expect(bench.condition('web', 'example.com/gate')).to.equal('True');
  });
});
