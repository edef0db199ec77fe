/**
 * Costs of a cluster on this machine:
 * `npm run bench:cluster [-- --nodes N --store-members M --idle SECONDS --pods N]`.
 *
 * Starts the built `mainstay up`, and measures time to Ready nodes, the time from the creation of a
 * pod to Running and Ready (image present), the time of a rolling update, and memory and processor
 * at idle: the sum over all processes of the cluster, monitors of containers included. Needs root.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { httpsTransport } from '../../src/cluster/client/https/https-transport.js';
import type { KubeClient } from '../../src/cluster/client/client.js';
import { readKubeconfig } from '../../src/cluster/client/kubeconfig.js';
import { DEPLOYMENTS, PODS, SERVICE_ACCOUNTS } from '../../src/cluster/client/resource-types.js';
import { restClient } from '../../src/cluster/client/rest-client.js';
import { systemClusterEnv } from '../../src/cluster/system-env.js';
import type { Deployment } from '../../src/gen/kube-apps-v1.js';
import type { Pod } from '../../src/gen/kube-core-v1.js';

const BIN = resolve(import.meta.dirname, '../../bin/mainstay.js');
const TICKS_PER_SECOND = 100;
const POLL_MS = 10;

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '2' },
    'store-members': { type: 'string', default: '3' },
    idle: { type: 'string', default: '60' },
    pods: { type: 'string', default: '20' },
  },
});

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await pause(POLL_MS);
}

async function main(): Promise<void> {
  const base = mkdtempSync(join(tmpdir(), 'mainstay-bench-'));
  const data = join(base, 'data');
  const args = [
    'up',
    '--dir',
    data,
    '--nodes',
    values.nodes,
    '--store-members',
    values['store-members'],
  ];
  const beganMs = performance.now();
  const up = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await saysReady(up);
    row('time to Ready nodes', `${((performance.now() - beganMs) / 1000).toFixed(2)} s`);
    const client = await connect(data);
    await until(() => exists(client));
    await measurePods(client, Number(values.pods));
    await measureRollout(client);
    await measureIdle(data, Number(values.idle));
    client.close();
  } finally {
    const ended = new Promise((done) => up.once('close', done));
    up.kill('SIGINT');
    await ended;
    rmSync(base, { recursive: true, force: true });
  }
}

function saysReady(up: ChildProcess): Promise<void> {
  return new Promise((done, fail) => {
    let text = '';
    up.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('Ready after')) done();
    });
    up.once('close', () => fail(new Error(`mainstay up ended: ${text}`)));
  });
}

async function connect(data: string): Promise<KubeClient> {
  const access = await readKubeconfig(join(data, 'kubeconfig'));
  return restClient(httpsTransport({ env: systemClusterEnv(), access, userAgent: 'bench' }));
}

async function exists(client: KubeClient): Promise<boolean> {
  const accounts = await client.resource(SERVICE_ACCOUNTS, 'default').list();
  return accounts.items.length > 0;
}

/** One pod after the other: from the create call to each state as a watch shows it. */
async function measurePods(client: KubeClient, count: number): Promise<void> {
  const pods = client.resource(PODS, 'default');
  const running: number[] = [];
  for (let i = 0; i < count; i++) {
    const name = `bench-${i}`;
    const beganMs = performance.now();
    await pods.create(sleepingPod(name));
    for await (const event of pods.watch({ fieldSelector: `metadata.name=${name}` })) {
      if (event.type === 'ERROR' || event.type === 'BOOKMARK') continue;
      if (event.object.status?.phase === 'Running') break;
    }
    running.push(performance.now() - beganMs);
    await pods.delete(name, { gracePeriodSeconds: 0 });
  }
  running.sort((a, b) => a - b);
  const at = (share: number): string =>
    `${(running[Math.min(running.length - 1, Math.floor(running.length * share))] ?? 0).toFixed(0)} ms`;
  row(`pod created to Running, ${count} one by one`, `p50 ${at(0.5)}, p99 ${at(0.99)}`);
}

function sleepingPod(name: string): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: {
      containers: [
        {
          name: 'main',
          image: 'busybox',
          imagePullPolicy: 'IfNotPresent',
          command: ['sleep', '1000000'],
        },
      ],
    },
  };
}

async function measureRollout(client: KubeClient): Promise<void> {
  const deployments = client.resource(DEPLOYMENTS, 'default');
  const labels = { app: 'bench' };
  const replicas = 10;
  const deployment: Deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'bench', namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { ...sleepingPod('').spec, terminationGracePeriodSeconds: 0 },
      },
    },
  };
  const isDone = async (generation: number): Promise<boolean> => {
    const { status } = await deployments.get('bench');
    const { observedGeneration = 0, updatedReplicas = 0, availableReplicas = 0 } = status ?? {};
    const isComplete = updatedReplicas === replicas && availableReplicas === replicas;
    return observedGeneration >= generation && isComplete && status?.replicas === replicas;
  };
  let beganMs = performance.now();
  await deployments.create(deployment);
  await until(() => isDone(1));
  row(
    `Deployment of ${replicas} pods to available`,
    `${((performance.now() - beganMs) / 1000).toFixed(2)} s`,
  );
  beganMs = performance.now();
  const template = { metadata: { annotations: { changed: 'once' } } };
  await deployments.patch('bench', 'merge', { spec: { template } });
  await until(() => isDone(2));
  row(
    `rolling update of ${replicas} pods`,
    `${((performance.now() - beganMs) / 1000).toFixed(2)} s`,
  );
  await deployments.delete('bench');
  await until(async () => (await client.resource(PODS, 'default').list()).items.length === 0);
}

async function measureIdle(data: string, seconds: number): Promise<void> {
  await pause(seconds * 1000);
  const before = processorSeconds(data);
  await pause(seconds * 1000);
  const used = processorSeconds(data) - before;
  row(`processor at idle over ${seconds} s`, `${((used / seconds) * 100).toFixed(1)} % of a core`);
  const rows = processesOf(data).map((pid) => ({ name: partOf(pid), mb: pssOf(pid) }));
  const total = rows.reduce((sum, { mb }) => sum + mb, 0);
  row('memory at idle, sum of PSS', `${total.toFixed(0)} MB`);
  for (const { name, mb } of rows) row(`  ${name}`, `${mb.toFixed(0)} MB`);
}

function processesOf(data: string): string[] {
  return readdirSync('/proc').filter(
    (pid) => /^\d+$/.test(pid) && pid !== String(process.pid) && commandLine(pid).includes(data),
  );
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It has ended.
    return '';
  }
}

function partOf(pid: string): string {
  const args = commandLine(pid).split('\0');
  const at = args.findIndex((arg) => arg.endsWith('mainstay.js'));
  return at === -1
    ? (args[0] ?? '')
    : args
        .slice(at + 1, at + 6)
        .join(' ')
        .slice(0, 60);
}

function pssOf(pid: string): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
}

function processorSeconds(data: string): number {
  let ticks = 0;
  for (const pid of processesOf(data)) {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

function row(name: string, value: string): void {
  console.log(`${name.padEnd(46)} ${value}`);
}

await main();
