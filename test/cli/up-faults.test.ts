/** A rolling update on real containers while processes of the cluster are killed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { KubeClient } from '../../src/cluster/client/client.js';
import { httpsTransport } from '../../src/cluster/client/https/https-transport.js';
import { readKubeconfig } from '../../src/cluster/client/kubeconfig.js';
import { DEPLOYMENTS, PODS, SERVICE_ACCOUNTS } from '../../src/cluster/client/resource-types.js';
import { restClient } from '../../src/cluster/client/rest-client.js';
import { missingForEngine, probeFacilities } from '../../src/cluster/runtime/facilities.js';
import { systemClusterEnv } from '../../src/cluster/system-env.js';
import type { Deployment } from '../../src/gen/kube-apps-v1.js';
import type { Pod } from '../../src/gen/kube-core-v1.js';
import { canMakeNamespaces } from '../support/root.js';
import { skipWithout } from '../support/servers.js';
import { Up } from '../support/up-process.js';
import { until } from '../support/until.js';

const REPLICAS = 4;
const LABELS = { app: 'web' };

describe('a rolling update while processes are killed', function () {
  this.timeout(240_000);
  let dir: string;
  let data: string;
  let up: Up;
  let client: KubeClient;

  before(async function () {
    dir = mkdtempSync(join(tmpdir(), 'up-faults-'));
    const missing = missingForEngine(await probeFacilities(dir));
    if (!canMakeNamespaces()) skipWithout(this, 'root with ip, to make network namespaces');
    else if (missing.length > 0) skipWithout(this, missing.join(', '));
    data = join(dir, 'data');
    up = new Up(['up', '--dir', data], { ...process.env, XDG_RUNTIME_DIR: dir, TMPDIR: dir });
    await up.says('Ctrl-C stops the cluster');
    const access = await readKubeconfig(join(data, 'kubeconfig'));
    client = restClient(httpsTransport({ env: systemClusterEnv(), access, userAgent: 'test' }));
    await until(async () => {
      const accounts = await client.resource(SERVICE_ACCOUNTS, 'default').list();
      return accounts.items.length > 0;
    });
    await client.resource(DEPLOYMENTS, 'default').create(deployment());
    await until(() => isRolledOut(1));
  });

  after(async () => {
    client.close();
    up.child.kill('SIGINT');
    await up.ends();
    rmSync(dir, { recursive: true, force: true });
  });

  /** Reads are tried again while a process is away. */
  async function ask<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await call();
    } catch {
      return undefined;
    }
  }

  async function isRolledOut(generation: number): Promise<boolean> {
    const found = await ask(() => client.resource(DEPLOYMENTS, 'default').get('web'));
    const { status } = found ?? {};
    if ((status?.observedGeneration ?? 0) < generation) return false;
    const isComplete = status?.updatedReplicas === REPLICAS && status.replicas === REPLICAS;
    return isComplete && status.availableReplicas === REPLICAS;
  }

  async function pods(): Promise<Pod[] | undefined> {
    const list = await ask(() => client.resource(PODS, 'default').list());
    return list?.items;
  }

  /** Begins a rollout, kills the process, and waits for its end; returns the fewest pods that were ready. */
  async function rollOutAndKill(round: number, pidOf: () => number): Promise<number> {
    const deployments = client.resource(DEPLOYMENTS, 'default');
    const template = { metadata: { annotations: { round: String(round) } } };
    await until(async () => {
      const patched = await ask(() => deployments.patch('web', 'merge', { spec: { template } }));
      return patched !== undefined;
    });
    await until(async () => ((await pods()) ?? []).some((pod) => isOf(pod, round)));
    process.kill(pidOf(), 'SIGKILL');
    let fewest = REPLICAS;
    await until(async () => {
      const all = await pods();
      if (all !== undefined) fewest = Math.min(fewest, all.filter(isReady).length);
      return isRolledOut(round + 1);
    });
    return fewest;
  }

  it('ends well, and never has fewer pods ready than it may', async () => {
    const victims = ['control-plane', 'node-1', 'node-2'];
    for (const [i, name] of victims.entries()) {
      const fewest = await rollOutAndKill(i + 1, () => pidsOf(up.text).get(name) ?? 0);
      expect(fewest, `pods ready while ${name} was killed`).to.be.at.least(REPLICAS - 1);
      await up.says(`${name} is back`);
    }
  });

  it('ends well when the leader of the store is killed', async () => {
    const leader = (): number => {
      const names = [...up.text.matchAll(/^(n\d) is the leader now$/gm)].map(([, name]) => name);
      const first = /^ {2}(n\d) +store leader/m.exec(up.text)?.[1];
      return pidsOf(up.text).get(names.at(-1) ?? first ?? '') ?? 0;
    };
    expect(await rollOutAndKill(4, leader)).to.be.at.least(REPLICAS - 1);
  });

  it('leaves containers alone when all its processes are killed at once', async () => {
    await until(async () => (await containerIds()).length === REPLICAS);
    const before = await containerIds();
    for (const pid of pidsOf(up.text).values()) kill(pid);
    await until(async () => {
      const now = await containerIds();
      return now.length === REPLICAS && (await isRolledOut(5));
    });
    expect(await containerIds()).to.deep.equal(before);
  });

  async function containerIds(): Promise<string[]> {
    const all = (await pods()) ?? [];
    return all.flatMap(({ status }) => status?.containerStatuses?.[0]?.containerID ?? []).sort();
  }
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // An earlier process of that name.
  }
}

function deployment(): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas: REPLICAS,
      selector: { matchLabels: LABELS },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
      template: {
        metadata: { labels: LABELS },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'web',
              image: 'busybox',
              imagePullPolicy: 'IfNotPresent',
              command: ['sleep', '1000000'],
            },
          ],
        },
      },
    },
  };
}

function isOf({ metadata }: Pod, round: number): boolean {
  return metadata.annotations?.['round'] === String(round);
}

function isReady({ metadata, status }: Pod): boolean {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return metadata.deletionTimestamp === undefined && ready?.status === 'True';
}

/** Names and process numbers of the table; of processes that came back, the newest. */
function pidsOf(text: string): Map<string, number> {
  const rows = text.matchAll(/^ {2}(n\d|control-plane|node-\d) .* (\d+)$/gm);
  const back = text.matchAll(/^(\S+) is back \(pid (\d+)\)$/gm);
  return new Map([...rows, ...back].map(([, name = '', pid]) => [name, Number(pid)]));
}
