import { setMaxListeners } from 'node:events';
import * as https from 'node:https';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { ConfigMap, Pod } from '../../src/gen/kube-core-v1.js';
import type { KubeClient } from '../../src/cluster/client/client.js';
import {
  CONFIG_MAPS,
  NAMESPACES,
  PODS,
  SERVICE_ACCOUNTS,
} from '../../src/cluster/client/resource-types.js';
import { WholeApiServer } from '../../test/support/whole-api-server.js';

/**
 * The API server in this process on a store of one member in another, called directly and over
 * HTTPS on loopback from this process too.
 *
 *   node --import tsx bench/micro/apiserver.ts [pods] [watchers] [seconds]
 *
 * Prints calls a second with 50 clients at once, and the longest time in which the process did
 * nothing else.
 */

const PODS_LISTED = Number(process.argv[2] ?? 10_000);
const WATCHERS = Number(process.argv[3] ?? 1000);
const CLIENTS = 50;
const NAMESPACE = 'bench';
const SECONDS = Number(process.argv[4] ?? 3);

function configMap(name: string): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { k: 'v'.repeat(200) } };
}

/** About 3 kB once it is stored. */
function pod(name: string): Pod {
  const env = Array.from({ length: 12 }, (_, i) => ({
    name: `VARIABLE_${i}`,
    value: 'x'.repeat(40),
  }));
  const labels = { app: `app-${name.length % 7}`, 'pod-template-hash': 'abcdef1234' };
  const spec = { containers: [{ name: 'c', image: 'registry.example/some/image:1.2.3', env }] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const delay = monitorEventLoopDelay({ resolution: 1 });

/** Runs `work` from all clients until the time is over, and prints the rate. */
async function rate(
  what: string,
  work: (n: number) => Promise<unknown>,
  clients = CLIENTS,
): Promise<void> {
  let count = 0;
  const beganMs = performance.now();
  delay.reset();
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() - beganMs < SECONDS * 1000) await work(count++);
    }),
  );
  report(what, count, beganMs);
}

function report(what: string, count: number, beganMs: number): void {
  const seconds = (performance.now() - beganMs) / 1000;
  const stall = (delay.max / 1e6).toFixed(1);
  console.log(
    `${what.padEnd(42)} ${(count / seconds).toFixed(1).padStart(9)}/s   stall ${stall} ms`,
  );
}

async function forAll(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

async function calls(name: string, client: KubeClient): Promise<void> {
  const maps = client.resource(CONFIG_MAPS, NAMESPACE);
  await rate(`${name}: create`, (n) => maps.create(configMap(`${name}-${n}`)));
  await rate(`${name}: create, one client`, (n) => maps.create(configMap(`${name}-one-${n}`)), 1);
  await rate(`${name}: get`, (n) => maps.get(`${name}-${n % 100}`));
  await rate(`${name}: merge patch`, (n) =>
    maps.patch(`${name}-${n % 200}`, 'merge', { data: { n: String(n) } }),
  );
  const pods = client.resource(PODS, NAMESPACE);
  await rate(`${name}: list of 1,000 pods`, () => pods.list({ limit: 1000 }), 4);
  for (const round of ['first', 'second'])
    await rateOnce(`${name}: list of all pods, ${round}`, () => pods.list());
  await rateOnce(`${name}: list by label`, () => pods.list({ labelSelector: 'app=app-1' }));
}

async function rateOnce(what: string, work: () => Promise<unknown>): Promise<void> {
  delay.reset();
  const beganMs = performance.now();
  await work();
  // The delay of a turn is known once the next one has begun.
  await pause(3);
  report(what, 1, beganMs);
}

/** Bytes of a list's answer: they are counted, not read, so that the server's cost alone shows. */
function received(path: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const { port, ca, identity } = server.target;
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, ca, ...identity, path, headers, agent: false };
    const request = https.get(options, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.on('end', () => resolve(bytes));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

async function bytesOfLists(): Promise<void> {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
  const table = 'application/json;as=Table;g=meta.k8s.io;v=v1';
  await rate('https: list of 1,000 pods, bytes', () => received(`${path}?limit=1000`, {}), 4);
  await rateOnce('https: list of all pods, bytes', () => received(path, {}));
  const packed = { 'accept-encoding': 'gzip' };
  await rateOnce('https: list of all pods, gzip', () => received(path, packed));
  await rateOnce('https: table of all pods', () => received(path, { accept: table }));
}

/** One change shown to many watchers. */
async function fanOut(name: string, client: KubeClient): Promise<void> {
  const maps = client.resource(CONFIG_MAPS, NAMESPACE);
  const ending = new AbortController();
  const { signal } = ending;
  setMaxListeners(0, signal);
  const { metadata } = await maps.create(configMap(`fan-${name}`));
  const { resourceVersion = '' } = metadata;
  let shown = 0;
  const watches = Array.from({ length: WATCHERS }, async () => {
    try {
      for await (const _ of maps.watch({ signal, resourceVersion })) shown++;
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  });
  await maps.patch(`fan-${name}`, 'merge', { data: { i: 'begin' } });
  while (shown < WATCHERS) await pause(10);
  shown = 0;
  const changes = 20;
  delay.reset();
  const beganMs = performance.now();
  for (let i = 0; i < changes; i++) {
    await maps.patch(`fan-${name}`, 'merge', { data: { i: String(i) } });
    while (shown < (i + 1) * WATCHERS) await pause(0);
  }
  report(`${name}: change shown to ${WATCHERS} watchers`, changes, beganMs);
  ending.abort();
  await Promise.all(watches);
}

const server = await WholeApiServer.start();
const admin = server.direct();
await admin.resource(NAMESPACES).create({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: NAMESPACE },
  spec: {},
});
await admin.resource(SERVICE_ACCOUNTS, NAMESPACE).create({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name: 'default' },
});
delay.enable();
const beganMs = performance.now();
await forAll(PODS_LISTED, (n) => admin.resource(PODS, NAMESPACE).create(pod(`p-${n}`)));
report('direct: create pods', PODS_LISTED, beganMs);
await calls('direct', admin);
const remote = server.https();
await calls('https', remote);
await bytesOfLists();
await fanOut('direct', admin);
await fanOut('https', remote);
await server.stop();
process.exit(0);
