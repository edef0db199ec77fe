import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { KubeClient } from '../../src/cluster/client/client.js';
import { httpsTransport } from '../../src/cluster/client/https/https-transport.js';
import { readKubeconfig } from '../../src/cluster/client/kubeconfig.js';
import { PODS } from '../../src/cluster/client/resource-types.js';
import { restClient } from '../../src/cluster/client/rest-client.js';
import { missingForEngine, probeFacilities } from '../../src/cluster/runtime/facilities.js';
import { systemClusterEnv } from '../../src/cluster/system-env.js';
import type { Pod } from '../../src/gen/kube-core-v1.js';
import { canMakeNamespaces } from '../support/root.js';
import { dockerArchive } from '../cluster/runtime/images/image-builder.js';
import { skipWithout } from '../support/servers.js';
import { isAlive } from '../support/processes.js';
import { Up } from '../support/up-process.js';
import { until } from '../support/until.js';

/** Of all tests here: `kubectl` finds the cluster that was started last. */
const READY = 'Ctrl-C stops the cluster';

describe('mainstay up', function () {
  this.timeout(240_000);
  let dir: string;
  let env: NodeJS.ProcessEnv;
  const running: Up[] = [];
  const clients: KubeClient[] = [];

  before(async function () {
    const scratch = mkdtempSync(join(tmpdir(), 'up-probe-'));
    const missing = missingForEngine(await probeFacilities(scratch));
    rmSync(scratch, { recursive: true, force: true });
    if (!canMakeNamespaces()) skipWithout(this, 'root with ip, to make network namespaces');
    else if (missing.length > 0) skipWithout(this, missing.join(', '));
  });
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'up-'));
    env = { ...process.env, XDG_RUNTIME_DIR: dir, TMPDIR: dir };
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    for (const up of running.splice(0)) {
      up.child.kill('SIGKILL');
      await up.ends();
    }
    for (const place of clustersIn(dir)) await mainstay('down', '--dir', place).ends();
    rmSync(dir, { recursive: true, force: true });
  });

  function mainstay(...args: string[]): Up {
    const up = new Up(args, env);
    running.push(up);
    return up;
  }

  async function start(...args: string[]): Promise<Up> {
    const up = mainstay('up', ...args);
    await up.says(READY);
    return up;
  }

  async function connect(data: string): Promise<KubeClient> {
    const access = await readKubeconfig(join(data, 'kubeconfig'));
    const options = { env: systemClusterEnv(), access, userAgent: 'test' };
    const client = restClient(httpsTransport(options));
    clients.push(client);
    return client;
  }

  /** Runs a pod until it is Running, and returns it. */
  async function runPod(client: KubeClient, name: string): Promise<Pod> {
    const pods = client.resource(PODS, 'default');
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default' },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'main',
            image: 'busybox',
            imagePullPolicy: 'IfNotPresent',
            command: ['sleep', '1000000'],
          },
        ],
      },
    } as Pod;
    await until(async () => {
      try {
        await pods.create(pod);
        return true;
      } catch (error) {
        // The namespace has its service account a moment after the cluster is Ready.
        if (String(error).includes('serviceaccount "default" not found')) return false;
        throw error;
      }
    });
    await until(async () => (await pods.get(name)).status?.phase === 'Running');
    return pods.get(name);
  }

  /** Process numbers of the containers' monitors below `data`. */
  function monitors(data: string): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => commandLine(pid).includes('conmon') && commandLine(pid).includes(data))
      .map(Number);
  }

  it('runs a pod, brings back each process that dies, and leaves nothing but its data', async () => {
    const data = join(dir, 'data');
    let up = await start('--dir', data);
    expect(pidsOf(up.text)).have.all.keys('n1', 'n2', 'n3', 'control-plane', 'node-1', 'node-2');
    expect(up.text).contain(`export KUBECONFIG=${join(data, 'kubeconfig')}`);
    const client = await connect(data);
    const pod = await runPod(client, 'first');
    const [monitor] = monitors(data);
    const id = idOf(data);
    expect(traces(id, data).namespaces).have.length(3);

    for (const name of ['control-plane', pod.spec.nodeName ?? '', 'n1']) {
      process.kill(pidsOf(up.text).get(name) ?? 0, 'SIGKILL');
      await up.says(`${name} died (signal SIGKILL)`);
      await up.says(`${name} is back`);
    }
    await until(async () => (await stateOf(client, 'first')) === 'Running 0');
    expect(monitors(data)).deep.equal([monitor]);

    up.child.kill('SIGINT');
    expect(await up.ends()).equal(0);
    expect(traces(id, data)).deep.equal(NOTHING);
    expect(monitors(data)).deep.equal([]);

    up = await start('--dir', data);
    await until(async () => (await stateOf(client, 'first')) === 'Running 1');
    expect(await mainstay('up', '--dir', data).ends()).equal(1);
    expect(running.at(-1)?.text).contain('another mainstay up runs the cluster');
  });

  it('goes on with running containers after it was killed; down removes all but the data', async () => {
    const data = join(dir, 'data');
    const args = ['--dir', data, '--nodes', '1', '--store-members', '1'];
    let up = await start(...args);
    const client = await connect(data);
    await runPod(client, 'first');
    const before = monitors(data);
    const id = idOf(data);
    expect(before).have.length(1);

    up.child.kill('SIGKILL');
    const pids = [...pidsOf(up.text).values()];
    await until(() => !pids.some(isAlive));
    expect(monitors(data)).deep.equal(before);
    up = await start(...args, '--keep-containers');
    await until(async () => (await stateOf(client, 'first')) === 'Running 0');
    up.child.kill('SIGINT');
    expect(await up.ends()).equal(0);
    expect(monitors(data)).deep.equal(before);
    expect(traces(id, data).namespaces).have.length(2);

    const down = mainstay('down', '--dir', data);
    expect(await down.ends()).equal(0);
    expect(down.text).contain(`Removed all but the data in ${data}`);
    expect(traces(id, data)).deep.equal(NOTHING);
    expect(monitors(data)).deep.equal([]);
    expect(existsSync(join(data, 'n1'))).equal(true);
  });

  it('removes its temporary directory with everything in it; down does so when it was killed', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const up = await start('--nodes', '1', '--store-members', '1');
      const path = / in (\S+) \.\.\./.exec(up.text)?.[1] ?? '';
      const id = idOf(path);
      await runPod(await connect(path), 'first');
      up.child.kill(signal);
      await up.ends();
      if (signal === 'SIGKILL') expect(await mainstay('down', '--dir', path).ends()).equal(0);
      expect(existsSync(path), path).equal(false);
      expect(traces(id, path)).deep.equal(NOTHING);
      expect(monitors(path)).deep.equal([]);
    }
  });

  it('runs the kubectl on the path, and loads images, on the cluster that was started last', async () => {
    const bin = join(dir, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'kubectl'), '#!/bin/sh\necho "$KUBECONFIG:$@"\nexit 7\n');
    chmodSync(join(bin, 'kubectl'), 0o755);
    env = { ...env, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
    const early = mainstay('kubectl', 'get', 'pods');
    expect(await early.ends()).equal(1);
    expect(early.text).contain('next step: start one: mainstay up');

    const data = join(dir, 'data');
    const up = await start('--dir', data, '--nodes', '1', '--store-members', '1');
    const last = mainstay('kubectl', 'get', 'pods', '--dir', 'x');
    expect(await last.ends()).equal(7);
    expect(last.text).equal(`${join(data, 'kubeconfig')}:get pods --dir x\n`);
    const named = mainstay('kubectl', '--dir', data, 'version');
    expect(await named.ends()).equal(7);
    expect(named.text).equal(`${join(data, 'kubeconfig')}:version\n`);

    const image = join(dir, 'image.tar');
    const files = [{ header: { name: 'f', size: 1 }, body: 'x' }];
    writeFileSync(image, await dockerArchive([files], ['example.org/own:2']));
    const loading = mainstay('image', 'load', image);
    expect(await loading.ends()).equal(0);
    expect(loading.text).equal('node-1: example.org/own:2\n');
    const wrong = mainstay('image', 'load', join(dir, 'nothing.tar'));
    expect(await wrong.ends()).equal(1);
    expect(wrong.text).match(/^mainstay: cannot load the image: node-1: .*nothing[.]tar/);

    up.child.kill('SIGINT');
    await up.ends();
    const late = mainstay('kubectl', '--dir', data, 'version');
    expect(await late.ends()).equal(1);
    expect(late.text).contain('does not run');
  });
});

interface Traces {
  readonly namespaces: readonly string[];
  readonly mounts: readonly string[];
  readonly groups: readonly string[];
  readonly processes: readonly string[];
  readonly files: readonly string[];
}

const NOTHING: Traces = { namespaces: [], mounts: [], groups: [], processes: [], files: [] };

/** Everything outside of the directory, and all that the kernel has of the cluster. */
function traces(id: string, data: string): Traces {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const trees = readdirSync('/sys/fs/cgroup', { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join('/sys/fs/cgroup', name));
  const own = process.pid.toString();
  return {
    namespaces: withId('/run/netns', id),
    mounts: lines.filter((line) => line.includes(data) || line.includes(id)),
    groups: ['/sys/fs/cgroup', ...trees].flatMap((tree) => withId(tree, id)),
    processes: readdirSync('/proc').filter(
      (pid) => /^\d+$/.test(pid) && pid !== own && commandLine(pid).includes(`${data}/`),
    ),
    files: withId('/run', id),
  };
}

function withId(folder: string, id: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.includes(id)) : [];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It has ended.
    return '';
  }
}

function idOf(data: string): string {
  const plan = JSON.parse(readFileSync(join(data, 'cluster.json'), 'utf8')) as { id: string };
  return plan.id;
}

function clustersIn(dir: string): string[] {
  return readdirSync(dir)
    .map((name) => join(dir, name))
    .filter((path) => existsSync(join(path, 'cluster.json')));
}

/** Names and process numbers of the table; of processes that came back, the newest. */
function pidsOf(text: string): Map<string, number> {
  const rows = text.matchAll(/^ {2}(n\d|control-plane|node-\d) .* (\d+)$/gm);
  const back = text.matchAll(/^(\S+) is back \(pid (\d+)\)$/gm);
  return new Map([...rows, ...back].map(([, name = '', pid]) => [name, Number(pid)]));
}

/** Phase and number of restarts. */
async function stateOf(client: KubeClient, name: string): Promise<string> {
  try {
    const { status } = await client.resource(PODS, 'default').get(name);
    return `${status?.phase ?? ''} ${status?.containerStatuses?.[0]?.restartCount ?? ''}`;
  } catch {
    // The API server is away for a moment.
    return '';
  }
}
