import { expect } from 'chai';
import { KubeletBench, container } from './support/kubelet-bench.js';

describe('kubelet: images', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
  });

  afterEach(() => bench.close());

  const waiting = (): { reason?: string | undefined; message?: string | undefined } =>
    bench.containerStatus('web')?.state?.waiting ?? {};

  const add = (image: string, imagePullPolicy = 'IfNotPresent'): void => {
    bench.addPod('web', { containers: [container('app', { image, imagePullPolicy })] });
  };

  it('tells of pulls that fail, and tries again after 10 s, 20 s ...', async () => {
    const pulls: number[] = [];
    bench.runtime.before = (operation) => {
      if (operation === 'pull') pulls.push(Math.round(bench.time.monoMs() / 1000));
    };
    add('nowhere/app:1');
    await bench.time.runUntil(() => waiting().reason === 'ErrImagePull', 5000);
    expect(waiting().message).to.equal('no registry has nowhere/app:1');
    await bench.time.runUntil(() => waiting().reason === 'ImagePullBackOff', 5000);
    expect(waiting().message).to.equal(
      'Back-off pulling image "nowhere/app:1": ErrImagePull: no registry has nowhere/app:1',
    );
    await bench.time.advance(80_000);
    const gaps = pulls.slice(1).map((at, index) => at - (pulls[index] ?? 0));
    expect(gaps.slice(0, 3)).to.deep.equal([10, 20, 40]);
    expect(bench.messages('Failed').slice(0, 2)).to.deep.equal([
      'Failed to pull image "nowhere/app:1": no registry has nowhere/app:1',
      'Error: ErrImagePull',
    ]);
    expect(bench.messages('Failed')).to.include('Error: ImagePullBackOff');
    bench.runtime.hasRemote = () => true;
    await bench.time.runUntil(() => bench.isRunning('web'), 300_000);
    expect(bench.messages('Pulled')[0]).to.match(
      /^Successfully pulled image "nowhere\/app:1" in \S+ \(\S+ including waiting\)\. Image size: 1000 bytes\.$/,
    );
  });

  it('uses an image that is here when policy is Always and no pull succeeds', async () => {
    add('busybox', 'Always');
    await bench.untilRunning('web');
    expect(bench.runtime.history).to.include('pull busybox:latest');
    expect(bench.messages('Pulled')).to.deep.equal([
      'Container image "busybox" already present on machine and can be accessed by the pod',
    ]);
  });

  it('never pulls with policy Never', async () => {
    add('nowhere/app:1', 'Never');
    await bench.time.runUntil(() => waiting().reason === 'ErrImageNeverPull', 5000);
    expect(waiting().message).to.equal(
      'Container image "nowhere/app:1" is not present with pull policy of Never',
    );
    expect(bench.runtime.history.some((line) => line.startsWith('pull'))).to.be.false;
  });

  for (const [image, why] of [
    ['a b', 'invalid reference format'],
    ['Busybox', 'invalid reference format: repository name (library/Busybox) must be lowercase'],
    ['app:', 'invalid reference format'],
  ]) {
    it(`refuses the name ${image}`, async () => {
      add(image ?? '');
      await bench.time.runUntil(() => waiting().reason === 'InvalidImageName', 5000);
      expect(waiting().message).to.equal(
        `Failed to apply default image tag "${image}": couldn't parse image name "${image}": ${why}`,
      );
    });
  }

  it('refuses an image that runs as root where the pod forbids it', async () => {
    bench.addPod('web', { securityContext: { runAsNonRoot: true } });
    await bench.time.runUntil(() => waiting().reason === 'CreateContainerConfigError', 5000);
    expect(waiting().message).to.equal('container has runAsNonRoot and image will run as root');
  });

  it('ends a pod while it waits for an image', async () => {
    bench.runtime.before = (operation) =>
      operation === 'pull' ? new Promise<void>(() => undefined) : undefined;
    add('nowhere/app:1');
    await bench.time.runUntil(() => bench.reasons('Pod/web').includes('Pulling'), 5000);
    await bench.deletePod('web');
    await bench.time.runUntil(() => bench.pod('web') === undefined, 5000);
    expect(bench.runtime.containers.size).to.equal(0);
  });
});
