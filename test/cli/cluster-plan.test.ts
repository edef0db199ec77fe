import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { StartupError } from '../../src/base/flags/startup-error.js';
import {
  clientUrl,
  controlPlaneConfig,
  fabricPlan,
  memberFlags,
  nodeConfig,
  pkiOptions,
} from '../../src/cli/up/cluster-config.js';
import {
  onHost,
  planCluster,
  requiredPlan,
  storedPlan,
  type PlanWishes,
} from '../../src/cli/up/cluster-plan.js';
import { planStore } from '../../src/cli/up/store-plan.js';
import { parseServerConfig } from '../../src/server/config/parse.js';

const NO_WISHES: PlanWishes = {
  nodes: undefined,
  storeMembers: undefined,
  clientPort: undefined,
  apiPort: undefined,
};
const NAMESPACED = { network: 'namespaces', isTemporary: false } as const;

describe('the plan of a cluster', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'plan-test-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const plan = (
    wishes: Partial<PlanWishes> = {},
    created: Parameters<typeof planCluster>[2] = NAMESPACED,
  ): ReturnType<typeof planCluster> => planCluster(dir, { ...NO_WISHES, ...wishes }, created);

  async function refusal(promise: Promise<unknown>): Promise<StartupError> {
    try {
      await promise;
    } catch (error) {
      if (error instanceof StartupError) return error;
      throw error;
    }
    throw new Error('was accepted');
  }

  it('gives nodes addresses and ranges of their own, and is the same the next time', async () => {
    const made = await plan({ nodes: 3 });
    expect(made.nodes.map(({ name }) => name)).deep.equal(['node-1', 'node-2', 'node-3']);
    expect(new Set(made.nodes.flatMap((node) => [node.address, node.podCidr])).size).equal(6);
    expect(made.members.map(({ name }) => name)).deep.equal(['n1', 'n2', 'n3']);
    expect(await plan()).deep.equal(made);
    expect(await plan({ nodes: 3, storeMembers: 3 })).deep.equal(made);
    expect(statSync(join(dir, 'cluster.json')).mode & 0o777).equal(0o600);
  });

  it('has two nodes when nothing is asked for, and one without namespaces', async () => {
    const made = await plan();
    expect(made.nodes).have.length(2);
    const changed = onHost(dir, made);
    expect(changed.nodes).have.length(1);
    expect(storedPlan(dir)).deep.equal(changed);
  });

  it('is another cluster than every other', async () => {
    const first = await plan();
    rmSync(join(dir, 'cluster.json'));
    const second = await plan();
    expect(second.id).not.equal(first.id);
    expect(second.token).not.equal(first.token);
    expect(nodeConfig(first, dir, 'node-1').cgroupRoot).not.equal(
      nodeConfig(second, dir, 'node-1').cgroupRoot,
    );
  });

  it('becomes flags that the server accepts, on sockets, and on TCP only when asked', async () => {
    const made = await plan();
    for (const member of made.members) {
      const result = parseServerConfig(memberFlags(made, member, dir), {});
      if (result.kind !== 'run') throw new Error(result.stderr);
      expect(result.warnings).deep.equal([]);
      const { cluster, listenClientUrls, listenPeerUrls } = result.config;
      expect(cluster.members).have.length(3);
      for (const url of [...listenClientUrls, ...listenPeerUrls]) expect(url.scheme).equal('unix');
    }
    rmSync(join(dir, 'cluster.json'));
    const withTcp = await plan({ clientPort: 42_379, storeMembers: 1 });
    const [member] = withTcp.members;
    if (member === undefined) throw new Error('one member');
    expect(memberFlags(withTcp, member, dir)).include(
      `--listen-client-urls=${clientUrl(dir, member)},http://127.0.0.1:42379`,
    );
  });

  it('tells every process the same', async () => {
    const made = await plan();
    const control = controlPlaneConfig(made, dir);
    const node = nodeConfig(made, dir, 'node-2');
    expect(node.apiServer).equal(`https://${control.address}:${control.port}`);
    expect(fabricPlan(made).address).equal(control.address);
    expect(pkiOptions(made).ips).include.members([control.address, '10.96.0.1']);
    expect(node.clusterDns).equal('10.96.0.10');
    expect(node.address).equal(fabricPlan(made).nodes[1]?.address);
    expect(() => nodeConfig(made, dir, 'node-9')).throw(StartupError, 'no node node-9');
  });

  it('refuses to continue a cluster as another one', async () => {
    await plan({ nodes: 2 });
    const cases: [Partial<PlanWishes>, string][] = [
      [{ nodes: 3 }, '--nodes'],
      [{ storeMembers: 1 }, '--store-members'],
      [{ clientPort: 2379 }, '--client-port'],
    ];
    for (const [wishes, flag] of cases) {
      const { message, nextStep } = await refusal(plan(wishes));
      expect(message).contain(`${dir} holds a cluster with`);
      expect(nextStep).contain(flag);
    }
  });

  it('moves the API server to another port when asked', async () => {
    const made = await plan();
    const apiPort = await freePort();
    expect(await plan({ apiPort })).deep.equal({ ...made, apiPort });
    expect(await plan()).deep.equal({ ...made, apiPort });
  });

  it('refuses the plan of a store alone, and a store refuses that of a cluster', async () => {
    await planStore(dir, 1, undefined);
    expect((await refusal(plan())).nextStep).contain('--store-only');
    rmSync(join(dir, 'cluster.json'));
    await plan();
    expect((await refusal(planStore(dir, undefined, undefined))).nextStep).contain(
      'leave out --store-only',
    );
  });

  it('refuses a port that is taken, and takes a free one when none is given', async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    expect((await refusal(plan({ apiPort: port }))).message).contain(`127.0.0.1:${port}`);
    expect((await refusal(plan({ clientPort: port }))).message).contain(`127.0.0.1:${port}`);
    expect(() => requiredPlan(dir)).throw(StartupError, 'holds no cluster');
    expect((await plan()).apiPort).not.equal(port);
    await new Promise((done) => server.close(done));
  });

  it('refuses a plan it cannot read', async () => {
    const made = await plan();
    const path = join(dir, 'cluster.json');
    const whole = readFileSync(path, 'utf8');
    const damaged = [
      whole.slice(0, 20),
      JSON.stringify({ ...made, id: '../x' }),
      JSON.stringify({ ...made, nodes: [] }),
      JSON.stringify({ ...made, nodes: [{ name: 'node-1' }] }),
      JSON.stringify({ ...made, members: [{}] }),
      JSON.stringify({ ...made, network: 'other' }),
      JSON.stringify({ ...made, apiPort: '6443' }),
    ];
    for (const text of damaged) {
      writeFileSync(path, text);
      expect((await refusal(plan())).message, text).contain('does not describe a cluster');
    }
  });

  it('refuses a directory in which names of sockets would be too long', async () => {
    const long = join(dir, 'x'.repeat(100));
    const error = await refusal(planCluster(long, NO_WISHES, NAMESPACED));
    expect(error.message).contain('too long a path');
  });

  async function freePort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    await new Promise((done) => server.close(done));
    return port;
  }
});
