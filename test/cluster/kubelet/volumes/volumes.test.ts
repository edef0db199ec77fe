import { expect } from 'chai';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConfigMap, Pod, Secret, Volume } from '../../../../src/gen/kube-core-v1.js';
import { CONFIG_MAPS, PODS, SECRETS } from '../../../../src/cluster/client/resource-types.js';
import { KubeletBench, container } from '../support/kubelet-bench.js';

describe('kubelet: volumes', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
  });

  afterEach(() => bench.close());

  const putMap = (name: string, data: Record<string, string>): ConfigMap =>
    bench.api.put(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'default' },
      data,
    });

  const putSecret = (name: string, data: Record<string, string>): Secret =>
    bench.api.put(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: 'default' },
      data: Object.fromEntries(
        Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
      ),
    });

  /** Adds a pod with one volume at /v; `more` of the mount. */
  const addPod = (volume: Omit<Volume, 'name'>, more: object = {}, spec: object = {}): Pod =>
    bench.addPod('web', {
      volumes: [{ name: 'v', ...volume }],
      containers: [container('app', { volumeMounts: [{ name: 'v', mountPath: '/v', ...more }] })],
      ...spec,
    });

  const mounted = (): { hostPath: string; isReadOnly: boolean } => {
    const { mounts } = bench.runtime.container('app').config;
    const found = mounts.find(({ containerPath }) => containerPath === '/v');
    if (found === undefined) throw new Error('nothing at /v');
    return found;
  };

  const file = (name: string): Promise<string> => readFile(join(mounted().hostPath, name), 'utf8');

  it('shows a ConfigMap, and its changes within seconds and all at once', async () => {
    putMap('settings', { a: '1', b: '2' });
    addPod({ configMap: { name: 'settings', defaultMode: 0o640 } });
    await bench.untilRunning('web');
    expect(mounted().isReadOnly).to.be.true;
    const directory = mounted().hostPath;
    expect(await file('a')).to.equal('1');
    expect(statSync(join(directory, 'a')).mode & 0o777).to.equal(0o640);
    const version = await readlink(join(directory, '..data'));
    expect(await readlink(join(directory, 'a'))).to.equal('..data/a');
    putMap('settings', { a: 'new', c: '3' });
    await bench.time.advance(3000);
    expect(await file('a')).to.equal('new');
    expect(await file('c')).to.equal('3');
    expect(existsSync(join(directory, 'b'))).to.be.false;
    expect(await readlink(join(directory, '..data'))).to.not.equal(version);
    expect(readdirSync(directory).filter((name) => name.startsWith('..2'))).to.have.length(1);
    expect(bench.containerStatus('web')?.restartCount).to.equal(0);
  });

  it('does not touch files that have not changed', async () => {
    putMap('settings', { a: '1' });
    addPod({ configMap: { name: 'settings' } });
    await bench.untilRunning('web');
    const version = await readlink(join(mounted().hostPath, '..data'));
    await bench.time.advance(300_000);
    expect(await readlink(join(mounted().hostPath, '..data'))).to.equal(version);
  });

  it('waits for a ConfigMap that is missing, says so, and starts when it comes', async () => {
    addPod({ configMap: { name: 'late' } });
    await bench.time.advance(20_000);
    expect(bench.messages('FailedMount')[0]).to.equal(
      'MountVolume.SetUp failed for volume "v" : configmap "late" not found',
    );
    expect(bench.containerStatus('web')?.state?.waiting?.reason).to.equal('ContainerCreating');
    expect(bench.runtime.sandboxes.size).to.equal(0);
    putMap('late', { a: '1' });
    const beganMs = bench.time.monoMs();
    await bench.untilRunning('web');
    expect(bench.time.monoMs() - beganMs).to.be.lessThan(3000);
  });

  it('keeps what a container has when its ConfigMap goes away', async () => {
    const map = putMap('settings', { a: '1' });
    addPod({ configMap: { name: 'settings' } });
    await bench.untilRunning('web');
    bench.api.remove(CONFIG_MAPS, map);
    await bench.time.advance(10_000);
    expect(await file('a')).to.equal('1');
    bench.runtime.exit(bench.runtime.container('app'), 1);
    await bench.time.runUntil(() => bench.containerStatus('web')?.restartCount === 1, 10_000);
  });

  it('does without what is optional', async () => {
    addPod({
      projected: {
        sources: [
          { configMap: { name: 'none', optional: true } },
          { secret: { name: 'none', optional: true } },
        ],
      },
    });
    await bench.untilRunning('web');
    expect(readdirSync(mounted().hostPath).filter((name) => !name.startsWith('..'))).to.be.empty;
  });

  it('puts chosen keys at chosen paths, and misses keys that are not there', async () => {
    putSecret('keys', { a: 'x', b: 'y' });
    const items = [{ key: 'a', path: 'deep/er/a', mode: 0o400 }];
    addPod({ secret: { secretName: 'keys', items } });
    await bench.untilRunning('web');
    expect(await file('deep/er/a')).to.equal('x');
    expect((await stat(join(mounted().hostPath, 'deep/er/a'))).mode & 0o777).to.equal(0o400);
    bench.addPod('other', {
      volumes: [{ name: 'v', secret: { secretName: 'keys', items: [{ key: 'c', path: 'c' }] } }],
    });
    await bench.time.advance(2000);
    expect(bench.messages('FailedMount').at(-1)).to.equal(
      'MountVolume.SetUp failed for volume "v" : secret references non-existent config key: c',
    );
  });

  it('tells a pod about itself', async () => {
    const items = [
      { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
      { path: 'name', fieldRef: { fieldPath: 'metadata.name' } },
      {
        path: 'memory',
        resourceFieldRef: { containerName: 'app', resource: 'limits.memory', divisor: '1Mi' },
      },
    ];
    const limits = { memory: '100Mi' };
    const volumeMounts = [{ name: 'v', mountPath: '/v' }];
    const pod = bench.addPod(
      'web',
      {
        volumes: [{ name: 'v', downwardAPI: { items } }],
        containers: [container('app', { volumeMounts, resources: { limits } })],
      },
      { name: 'web', labels: { b: '2', a: 'say "hi"' } },
    );
    await bench.untilRunning('web');
    expect(await file('labels')).to.equal('a="say \\"hi\\""\nb="2"');
    expect(await file('name')).to.equal('web');
    expect(await file('memory')).to.equal('100');
    const current = bench.pod('web') ?? pod;
    bench.api.put(PODS, { ...current, metadata: { ...current.metadata, labels: { c: '3' } } });
    await bench.time.advance(3000);
    expect(await file('labels')).to.equal('c="3"');
  });

  it('gives a pod a token, and a new one after 80 % of its life', async () => {
    const requests: unknown[] = [];
    bench.api.intercept((call) => {
      if (!call.path.endsWith('/token')) return undefined;
      requests.push({ path: call.path, body: call.body });
      const expirationTimestamp = new Date(bench.time.wallMs() + 3_600_000).toISOString();
      const status = { token: `token-${requests.length}`, expirationTimestamp };
      return { code: 201, body: { kind: 'TokenRequest', status } };
    });
    putMap('kube-root-ca.crt', { 'ca.crt': 'CA' });
    addPod({
      projected: {
        sources: [
          { serviceAccountToken: { path: 'token', expirationSeconds: 3600, audience: 'me' } },
          { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
          {
            downwardAPI: {
              items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }],
            },
          },
        ],
      },
    });
    await bench.untilRunning('web');
    expect(await file('token')).to.equal('token-1');
    expect(await file('ca.crt')).to.equal('CA');
    expect(await file('namespace')).to.equal('default');
    expect(JSON.stringify(requests[0])).to.contain('"expirationSeconds":3600');
    expect(JSON.stringify(requests[0])).to.contain('"kind":"Pod"');
    await bench.time.advance(2_700_000);
    expect(await file('token')).to.equal('token-1');
    await bench.time.advance(300_000);
    expect(await file('token')).to.equal('token-2');
    expect(requests).to.have.length(2);
  });

  it('makes an emptyDir that lives as long as its pod', async () => {
    const { uid = '' } = addPod({ emptyDir: {} }).metadata;
    await bench.untilRunning('web');
    const directory = mounted().hostPath;
    expect(statSync(directory).mode & 0o777).to.equal(0o777);
    await writeFile(join(directory, 'data'), 'kept');
    bench.runtime.exit(bench.runtime.container('app'), 1);
    await bench.time.runUntil(() => bench.containerStatus('web')?.restartCount === 1, 10_000);
    expect(await file('data')).to.equal('kept');
    await bench.deletePod('web');
    await bench.time.runUntil(() => bench.pod('web') === undefined, 10_000);
    expect(existsSync(directory)).to.be.false;
    expect(directory).to.contain(uid);
  });

  it('mounts an emptyDir in memory, and unmounts it at the end', async () => {
    addPod({ emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } });
    await bench.untilRunning('web');
    expect([...bench.mounts]).to.deep.equal([mounted().hostPath]);
    await bench.deletePod('web');
    await bench.time.runUntil(() => bench.pod('web') === undefined, 10_000);
    expect(bench.mounts.size).to.equal(0);
  });

  it('checks what a hostPath is, and makes it where asked', async () => {
    const path = join(bench.directory, 'host');
    addPod({ hostPath: { path, type: 'Directory' } });
    await bench.time.advance(1000);
    expect(bench.messages('FailedMount')[0]).to.equal(
      `MountVolume.SetUp failed for volume "v" : hostPath type check failed: ${path} is not a directory`,
    );
    await mkdir(path);
    await bench.untilRunning('web');
    expect(mounted()).to.include({ hostPath: path, isReadOnly: false });
    const made = join(bench.directory, 'made', 'deep');
    bench.addPod('other', {
      volumes: [{ name: 'v', hostPath: { path: made, type: 'DirectoryOrCreate' } }],
    });
    await bench.untilRunning('other');
    expect(statSync(made).isDirectory()).to.be.true;
  });

  it('mounts a part of a volume, but nothing outside of it', async () => {
    const path = join(bench.directory, 'host');
    await mkdir(path);
    await symlink('/etc', join(path, 'out'));
    addPod({ hostPath: { path } }, { subPath: 'a/b' });
    await bench.untilRunning('web');
    expect(mounted().hostPath).to.equal(join(path, 'a/b'));
    bench.addPod('evil', {
      volumes: [{ name: 'v', hostPath: { path } }],
      containers: [
        container('app', {
          volumeMounts: [{ name: 'v', mountPath: '/v', subPath: 'out/ssl' }],
        }),
      ],
    });
    await bench.time.advance(2000);
    const waiting = bench.containerStatus('evil')?.state?.waiting;
    expect(waiting?.reason).to.equal('CreateContainerConfigError');
    expect(waiting?.message).to.contain('leads out of its volume');
  });

  it('names a subPath by variables', async () => {
    addPod(
      { emptyDir: {} },
      { subPathExpr: '$(POD)/x' },
      {
        containers: [
          container('app', {
            env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
            volumeMounts: [{ name: 'v', mountPath: '/v', subPathExpr: '$(POD)/x' }],
          }),
        ],
      },
    );
    await bench.untilRunning('web');
    expect(mounted().hostPath).to.match(/\/v\/web\/x$/);
  });

  it('says plainly which volumes it has not', async () => {
    addPod({ nfs: { server: 's', path: '/' } });
    await bench.time.advance(1000);
    expect(bench.messages('FailedMount')[0]).to.equal(
      'MountVolume.SetUp failed for volume "v" : volumes of type nfs are not supported by this kubelet',
    );
    await bench.deletePod('web');
    await bench.time.runUntil(() => bench.pod('web') === undefined, 10_000);
  });
});
