import { expect } from 'chai';
import { KubeletBench, container } from './support/kubelet-bench.js';

describe('kubelet: restarts', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
  });

  afterEach(() => bench.close());

  const starts = (): number =>
    bench.runtime.history.filter((line) => line.startsWith('start app')).length;

  it('restarts at once, then after 10 s, 20 s ... 300 s, and says so', async () => {
    const { uid = '' } = bench.addPod('web').metadata;
    const delays: number[] = [];
    const messages: string[] = [];
    await bench.untilRunning('web');
    for (let restart = 1; restart <= 8; restart += 1) {
      const endedMs = bench.time.monoMs();
      bench.runtime.exit(bench.runtime.container('app'), 1);
      await bench.time.runUntil(() => {
        const waiting = bench.containerStatus('web')?.state?.waiting;
        if (waiting?.reason === 'CrashLoopBackOff') {
          expect(bench.condition('web', 'Ready')).to.equal('False');
          if (!messages.includes(waiting.message ?? '')) messages.push(waiting.message ?? '');
        }
        return starts() === restart + 1;
      });
      delays.push(Math.round((bench.time.monoMs() - endedMs) / 1000));
      await bench.untilRunning('web');
      expect(bench.containerStatus('web')?.restartCount).to.equal(restart);
      expect(bench.containerStatus('web')?.lastState?.terminated).to.include({
        exitCode: 1,
        reason: 'Error',
      });
    }
    expect(delays).to.deep.equal([0, 10, 20, 40, 80, 160, 300, 300]);
    expect(messages[0]).to.equal(
      `back-off 10s restarting failed container=app pod=web_default(${uid})`,
    );
    expect(messages[3]).to.contain('back-off 1m20s restarting');
    expect(bench.messages('BackOff')[0]).to.equal(
      `Back-off restarting failed container app in pod web_default(${uid})`,
    );
  });

  it('forgets the back-off of a container that ran for more than ten minutes', async () => {
    bench.addPod('web');
    await bench.untilRunning('web');
    bench.runtime.exit(bench.runtime.container('app'), 1);
    await bench.time.runUntil(() => starts() === 2);
    await bench.time.advance(601_000);
    const endedMs = bench.time.monoMs();
    bench.runtime.exit(bench.runtime.container('app'), 1);
    await bench.time.runUntil(() => starts() === 3);
    expect(bench.time.monoMs() - endedMs).to.be.lessThan(2000);
  });

  it('keeps one dead container besides the newest', async () => {
    bench.addPod('web');
    await bench.untilRunning('web');
    for (let n = 0; n < 4; n += 1) {
      bench.runtime.exit(bench.runtime.container('app'), 0);
      await bench.time.runUntil(() => starts() === n + 2);
    }
    await bench.time.advance(5000);
    expect([...bench.runtime.containers.values()].map((one) => one.config.attempt)).to.deep.equal([
      3, 4,
    ]);
  });

  const ends: [string, number, string, number][] = [
    ['Never', 0, 'Succeeded', 1],
    ['Never', 3, 'Failed', 1],
    ['OnFailure', 0, 'Succeeded', 1],
  ];
  for (const [restartPolicy, exitCode, phase, count] of ends) {
    it(`ends with phase ${phase} after exit code ${exitCode} with policy ${restartPolicy}`, async () => {
      bench.addPod('job', { restartPolicy });
      await bench.untilRunning('job');
      bench.runtime.exit(bench.runtime.container('app'), exitCode);
      await bench.time.runUntil(() => bench.status('job').phase === phase, 10_000);
      await bench.time.advance(60_000);
      expect(starts()).to.equal(count);
      expect(bench.containerStatus('job')?.state?.terminated?.exitCode).to.equal(exitCode);
      expect(bench.condition('job', 'Ready')).to.equal('False');
      // Its containers stay, for their logs.
      expect(bench.runtime.containers.size).to.equal(1);
      expect([...bench.runtime.sandboxes.values()].map(({ isReady }) => isReady)).to.deep.equal([
        false,
      ]);
    });
  }

  it('restarts a failed container with policy OnFailure', async () => {
    bench.addPod('job', { restartPolicy: 'OnFailure' });
    await bench.untilRunning('job');
    bench.runtime.exit(bench.runtime.container('app'), 1);
    await bench.time.runUntil(() => starts() === 2, 5000);
  });

  it('restarts by exit code where the container has rules of its own', async () => {
    const restartPolicyRules = [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }];
    bench.addPod('job', {
      restartPolicy: 'Never',
      containers: [container('app', { restartPolicy: 'Never', restartPolicyRules })],
    });
    await bench.untilRunning('job');
    bench.runtime.exit(bench.runtime.container('app'), 42);
    await bench.time.runUntil(() => starts() === 2, 5000);
    bench.runtime.exit(bench.runtime.container('app'), 1);
    await bench.time.runUntil(() => bench.status('job').phase === 'Failed', 20_000);
  });

  it('runs init containers in order before the others', async () => {
    bench.addPod('web', { initContainers: [container('first'), container('second')] });
    await bench.time.runUntil(() => bench.runtime.running().length === 1, 10_000);
    await bench.time.advance(1000);
    expect(bench.containerStatus('web')?.state?.waiting?.reason).to.equal('PodInitializing');
    const initialized = bench.status('web').conditions?.find(({ type }) => type === 'Initialized');
    expect(initialized).to.include({
      status: 'False',
      reason: 'ContainersNotInitialized',
      message: 'containers with incomplete status: [first second]',
    });
    bench.runtime.exit(bench.runtime.container('first'), 0);
    await bench.time.runUntil(() => bench.runtime.running()[0]?.config.name === 'second', 10_000);
    expect(bench.status('web').phase).to.equal('Pending');
    bench.runtime.exit(bench.runtime.container('second'), 0);
    await bench.untilRunning('web');
    expect(bench.containerStatus('web', 'first')).to.include({ ready: true });
    expect(bench.containerStatus('web', 'first')?.state?.terminated?.reason).to.equal('Completed');
  });

  it('fails a pod whose init container fails with policy Never', async () => {
    bench.addPod('web', { restartPolicy: 'Never', initContainers: [container('first')] });
    await bench.time.runUntil(() => bench.runtime.running().length === 1, 10_000);
    bench.runtime.exit(bench.runtime.container('first'), 1);
    await bench.time.runUntil(() => bench.status('web').phase === 'Failed', 10_000);
    expect(starts()).to.equal(0);
  });

  it('starts sidecars before and ends them after the others, and restarts them meanwhile', async () => {
    const initContainers = [
      container('side', { restartPolicy: 'Always' }),
      container('side2', { restartPolicy: 'Always' }),
    ];
    bench.addPod('web', { restartPolicy: 'Never', initContainers });
    await bench.untilRunning('web');
    const names = bench.runtime.history
      .filter((line) => line.startsWith('start '))
      .map((line) => line.slice(6));
    expect(names).to.deep.equal(['side/0', 'side2/0', 'app/0']);
    bench.runtime.exit(bench.runtime.container('side'), 1);
    await bench.time.runUntil(() => bench.runtime.running().length === 3, 5000);
    expect(bench.containerStatus('web', 'side')?.restartCount).to.equal(1);
    await bench.time.advance(2000);
    bench.runtime.exit(bench.runtime.container('app'), 0);
    await bench.time.runUntil(() => bench.status('web').phase === 'Succeeded', 60_000);
    const stops = bench.runtime.history.filter((line) => line.startsWith('stop '));
    expect(stops.map((line) => line.split(' ')[1])).to.deep.equal(['side2/0', 'side/1']);
  });

  it('replaces a container in place when its image changes', async () => {
    const pod = bench.addPod('web');
    await bench.untilRunning('web');
    bench.runtime.addImage('busybox:2');
    const current = bench.pod('web') ?? pod;
    bench.api.put((await import('../../../src/cluster/client/resource-types.js')).PODS, {
      ...current,
      spec: { ...current.spec, containers: [container('app', { image: 'busybox:2' })] },
    });
    await bench.time.runUntil(() => bench.containerStatus('web')?.restartCount === 1, 10_000);
    await bench.untilRunning('web');
    expect(bench.containerStatus('web')?.image).to.equal('busybox:2');
    expect(bench.messages('Killing')[0]).to.equal(
      'Container app definition changed, will be restarted',
    );
    expect(bench.runtime.sandboxes.size).to.equal(1);
  });

  it('makes a new sandbox when the old one died', async () => {
    bench.addPod('web');
    await bench.untilRunning('web');
    const [sandbox] = bench.runtime.sandboxes.values();
    await bench.runtime.stopPodSandbox(sandbox?.id ?? '');
    await bench.time.runUntil(() => bench.containerStatus('web')?.restartCount === 1, 30_000);
    await bench.untilRunning('web');
    expect([...bench.runtime.sandboxes.values()].at(-1)?.config.attempt).to.equal(1);
    const [, second] = bench.runtime.sandboxes.values();
    expect(bench.status('web').podIPs).to.deep.equal([{ ip: second?.ips[0] }]);
  });

  it('ends a pod at its deadline', async () => {
    bench.addPod('job', { restartPolicy: 'Never', activeDeadlineSeconds: 20 });
    await bench.untilRunning('job');
    await bench.time.advance(18_000);
    expect(bench.status('job').phase).to.equal('Running');
    await bench.time.runUntil(() => bench.status('job').phase === 'Failed', 10_000);
    expect(bench.status('job')).to.include({ reason: 'DeadlineExceeded' });
  });
});
