import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { missingForEngine, probeFacilities } from '../../../src/cluster/runtime/facilities.js';
import { findKubectl, Kubectl } from '../../support/kubectl.js';
import { canMakeNamespaces } from '../../support/root.js';
import { freePorts, skipWithout } from '../../support/servers.js';
import { Up } from '../../support/up-process.js';
import { until } from '../../support/until.js';

/** Serves its own name; says a line when it starts. */
const SCRIPT = 'echo serving; hostname > /tmp/index.html; exec httpd -f -p 8080 -h /tmp';

/** The tour of README.md with the real kubectl, on real containers. The steps build on one another. */
describe('kubectl on mainstay up', function () {
  this.timeout(240_000);
  let dir: string;
  let up: Up | undefined;
  let kubectl: Kubectl;
  let published: number;

  before(async function () {
    const program = await findKubectl();
    if (program === undefined) return skipWithout(this, 'kubectl, and none to be fetched');
    dir = mkdtempSync(join(tmpdir(), 'tour-'));
    const missing = missingForEngine(await probeFacilities(join(dir, 'probe')));
    if (!canMakeNamespaces()) return skipWithout(this, 'root with ip');
    if (missing.length > 0) return skipWithout(this, missing.join(', '));
    const env = { ...process.env, XDG_RUNTIME_DIR: dir, TMPDIR: dir };
    const data = join(dir, 'data');
    [published = 0] = await freePorts(1);
    up = new Up(['up', '--dir', data, '--publish', `${published}:30080`], env);
    await up.says('Ctrl-C stops the cluster');
    kubectl = new Kubectl(program, join(data, 'kubeconfig'));
  });
  after(async () => {
    if (up !== undefined) {
      await kubectl.stop();
      up.child.kill('SIGINT');
      await up.ends();
    }
    rmSync(dir, { recursive: true, force: true });
  });

  function podsOf(app: string): string[] {
    const names = kubectl.run('get', 'pods', '-l', `app=${app}`, '-o', 'name');
    return names
      .trim()
      .split('\n')
      .map((name) => name.replace('pod/', ''));
  }

  function request(port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = get({ port, host: '127.0.0.1', agent: false }, (response) => {
        let text = '';
        response.on('data', (part: Buffer) => (text += part.toString()));
        response.on('end', () => resolve(text));
        response.on('error', reject);
      });
      asked.on('error', reject);
    });
  }

  it('shows the nodes', () => {
    const rows = kubectl.run('get', 'nodes', '--no-headers').trim().split('\n');
    expect(rows.map((row) => row.split(/\s+/).slice(0, 2))).deep.equal([
      ['node-1', 'Ready'],
      ['node-2', 'Ready'],
    ]);
  });

  it('creates a deployment and watches its pods until they run on both nodes', async () => {
    const watch = kubectl.start('get', 'pods', '-o', 'wide', '-w');
    const create = ['create', 'deployment', 'web', '--image=busybox', '--replicas=2'];
    expect(kubectl.run(...create, '--', 'sh', '-c', SCRIPT)).equal('deployment.apps/web created\n');
    const status = kubectl.run('rollout', 'status', 'deployment/web');
    expect(status).contain('successfully rolled out');
    await until(() => (watch.text.match(/ Running /g) ?? []).length >= 2);
    expect(watch.text).contain('ContainerCreating').contain('node-1').contain('node-2');
    await kubectl.stop();
  });

  it('reads logs, runs commands, copies files', () => {
    const [pod = ''] = podsOf('web');
    expect(kubectl.run('logs', pod)).equal('serving\n');
    expect(kubectl.run('exec', pod, '--', 'hostname')).equal(`${pod}\n`);
    expect(kubectl.runWith('in', 'exec', '-i', pod, '--', 'cat')).equal('in');
    writeFileSync(join(dir, 'sent'), 'some text');
    kubectl.run('cp', join(dir, 'sent'), `${pod}:/tmp/there`);
    kubectl.run('cp', `${pod}:/tmp/there`, join(dir, 'back'));
    expect(readFileSync(join(dir, 'back'), 'utf8')).equal('some text');
  });

  it('forwards a port to a pod', async () => {
    const [pod = ''] = podsOf('web');
    const forward = kubectl.start('port-forward', `pod/${pod}`, ':8080');
    await until(() => forward.text.includes('Forwarding from 127.0.0.1'));
    const port = Number(/127[.]0[.]0[.]1:(\d+)/.exec(forward.text)?.[1]);
    expect(await request(port)).equal(`${pod}\n`);
    await kubectl.stop();
  });

  it('exposes the deployment, which others then reach by its name', async () => {
    kubectl.run('expose', 'deployment', 'web', '--port=80', '--target-port=8080');
    const ask = ['--image=busybox', '--restart=Never', '--', 'wget', '-qO-', 'http://web'];
    kubectl.run('run', 'ask', ...ask);
    await until(() => kubectl.run('get', 'pod', 'ask').includes('Completed'));
    expect(podsOf('web')).include(kubectl.run('logs', 'ask').trim());
    kubectl.run('delete', 'pod', 'ask');
  });

  it('publishes a node port on the loopback address of the machine', async () => {
    const port = [{ port: 80, targetPort: 8080, nodePort: 30_080 }];
    const spec = { type: 'NodePort', ports: port };
    kubectl.run('patch', 'service', 'web', '-p', JSON.stringify({ spec }));
    await until(async () => {
      try {
        return podsOf('web').includes((await request(published)).trim());
      } catch {
        // The rules of the node follow the service a moment later.
        return false;
      }
    });
  });

  it('scales, rolls out a change and takes it back', () => {
    kubectl.run('scale', 'deployment/web', '--replicas=3');
    kubectl.run('rollout', 'status', 'deployment/web');
    expect(podsOf('web')).have.length(3);
    kubectl.run('set', 'env', 'deployment/web', 'COLOR=blue');
    kubectl.run('rollout', 'status', 'deployment/web');
    const color = (): string => kubectl.run('get', 'deployment', 'web', '-o', 'yaml');
    expect(color()).contain('blue');
    kubectl.run('rollout', 'undo', 'deployment/web');
    kubectl.run('rollout', 'status', 'deployment/web');
    expect(color()).not.contain('name: COLOR');
  });

  it('applies a file, and changes to it', () => {
    const file = join(dir, 'settings.yaml');
    const write = (value: string): void => {
      writeFileSync(
        file,
        `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  color: ${value}\n`,
      );
    };
    write('red');
    expect(kubectl.run('apply', '-f', file)).equal('configmap/settings created\n');
    expect(kubectl.run('apply', '-f', file)).equal('configmap/settings unchanged\n');
    write('green');
    expect(kubectl.run('apply', '-f', file)).equal('configmap/settings configured\n');
    expect(kubectl.run('get', 'cm', 'settings', '-o', 'jsonpath={.data.color}')).equal('green');
  });

  it('deletes it all, and nothing is left of it', async () => {
    kubectl.run('delete', 'deployment,service', 'web');
    kubectl.run('delete', 'configmap', 'settings');
    kubectl.run('delete', 'pods', '-l', 'app=web', '--grace-period=1');
    await until(() => kubectl.run('get', 'pods', '-o', 'name') === '');
    expect(kubectl.run('get', 'replicasets,endpointslices', '-o', 'name')).equal(
      'endpointslice.discovery.k8s.io/kubernetes\n',
    );
  });
});
