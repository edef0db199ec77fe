import { expect } from 'chai';
import { KubeletBench, container } from '../support/kubelet-bench.js';

describe('kubelet: probes', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
  });

  afterEach(() => bench.close());

  it('makes a container ready with its readiness probe, and unready after three failures', async () => {
    let status = 503;
    const asked: string[] = [];
    bench.http = ({ host, port, path }) => {
      asked.push(`${host}:${port}${path}`);
      return Promise.resolve(status);
    };
    const readinessProbe = { httpGet: { path: '/ok', port: 'http' }, periodSeconds: 5 };
    const ports = [{ name: 'http', containerPort: 8080 }];
    bench.addPod('web', { containers: [container('app', { readinessProbe, ports })] });
    await bench.time.runUntil(() => bench.status('web').phase === 'Running', 10_000);
    await bench.time.advance(6000);
    expect(bench.condition('web', 'Ready')).to.equal('False');
    expect(bench.containerStatus('web')).to.include({ ready: false, started: true });
    expect(asked[0]).to.equal(`${bench.status('web').podIP}:8080/ok`);
    expect(bench.messages('Unhealthy')[0]).to.equal(
      'Readiness probe failed: HTTP probe failed with statuscode: 503',
    );
    status = 200;
    await bench.time.runUntil(() => bench.isRunning('web'), 6000);
    status = 500;
    const beganMs = bench.time.monoMs();
    await bench.time.runUntil(() => !bench.isRunning('web'), 30_000);
    expect(bench.time.monoMs() - beganMs).to.be.within(10_000, 16_000);
    expect(bench.containerStatus('web')?.restartCount).to.equal(0);
    expect(
      bench.status('web').conditions?.find(({ type }) => type === 'ContainersReady'),
    ).to.include({ message: 'containers with unready status: [app]' });
  });

  it('restarts a container whose liveness probe fails', async () => {
    let isWell = true;
    bench.runtime.onExec = () =>
      Promise.resolve({
        stdout: Buffer.from('sick'),
        stderr: new Uint8Array(),
        exitCode: isWell ? 0 : 1,
      });
    const livenessProbe = {
      exec: { command: ['check'] },
      periodSeconds: 2,
      failureThreshold: 2,
      terminationGracePeriodSeconds: 7,
    };
    bench.addPod('web', { containers: [container('app', { livenessProbe })] });
    await bench.untilRunning('web');
    await bench.time.advance(20_000);
    expect(bench.containerStatus('web')?.restartCount).to.equal(0);
    isWell = false;
    await bench.time.runUntil(() => bench.containerStatus('web')?.restartCount === 1, 10_000);
    expect(bench.messages('Unhealthy')[0]).to.equal('Liveness probe failed: sick');
    expect(bench.messages('Killing')).to.deep.equal([
      'Container app failed liveness probe, will be restarted',
    ]);
    expect(bench.runtime.history).to.include('stop app/0 7');
  });

  it('waits for the startup probe before all others', async () => {
    let isUp = false;
    const asked: string[] = [];
    bench.http = ({ path }) => {
      asked.push(path);
      return Promise.resolve(path === '/start' && !isUp ? 500 : 200);
    };
    const get = (path: string): { httpGet: { path: string; port: number } } => ({
      httpGet: { path, port: 80 },
    });
    const probes = {
      startupProbe: { ...get('/start'), periodSeconds: 10, failureThreshold: 30 },
      livenessProbe: { ...get('/live'), periodSeconds: 1 },
      readinessProbe: { ...get('/ready'), periodSeconds: 10 },
    };
    bench.addPod('web', { containers: [container('app', probes)] });
    await bench.time.advance(45_000);
    expect(new Set(asked)).to.deep.equal(new Set(['/start']));
    expect(bench.containerStatus('web')).to.include({ started: false, ready: false });
    isUp = true;
    await bench.time.runUntil(() => bench.containerStatus('web')?.started === true, 11_000);
    // The readiness probe does not wait for its own period then.
    await bench.time.runUntil(() => bench.isRunning('web'), 1000);
    expect(asked.filter((path) => path === '/start')).to.have.length(6);
  });

  it('kills a container whose startup probe never succeeds', async () => {
    bench.tcp = () => Promise.reject(new Error('dial tcp 1.2.3.4:1: connect: connection refused'));
    const startupProbe = { tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 3 };
    bench.addPod('job', {
      restartPolicy: 'Never',
      containers: [container('app', { startupProbe })],
    });
    await bench.time.runUntil(() => bench.status('job').phase === 'Failed', 60_000);
    expect(bench.messages('Killing')).to.deep.equal(['Container app failed startup probe']);
    expect(bench.messages('Unhealthy')[0]).to.equal(
      'Startup probe failed: dial tcp 1.2.3.4:1: connect: connection refused',
    );
  });

  it('takes an exec probe that is late for a failure', async () => {
    bench.runtime.onExec = () => new Promise(() => undefined);
    const readinessProbe = { exec: { command: ['sleep', '9'] }, timeoutSeconds: 2 };
    bench.addPod('web', { containers: [container('app', { readinessProbe })] });
    await bench.time.runUntil(() => bench.messages('Unhealthy').length > 0, 10_000);
    expect(bench.messages('Unhealthy')[0]).to.equal(
      'Readiness probe failed: command timed out: "sleep 9" timed out after 2s',
    );
  });
});
