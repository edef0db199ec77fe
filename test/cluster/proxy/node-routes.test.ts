import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { NODES } from '../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import { SharedInformers } from '../../../src/cluster/client/shared-informers.js';
import { NodeRoutes, routeOf } from '../../../src/cluster/proxy/node-routes.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import type { Node } from '../../../src/gen/kube-core-v1.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { skipWithout } from '../../support/servers.js';
import { until } from '../../support/until.js';
import { hasNetworkTools, programIn, run } from './support/network.js';

function nodeOf(name: string, podCIDR: string, address: string): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    spec: { podCIDR, podCIDRs: [podCIDR] },
    status: {
      addresses: [
        { type: 'Hostname', address: name },
        { type: 'InternalIP', address },
      ],
    },
  };
}

describe('cluster/proxy/node-routes', () => {
  it('needs the pod range and the address of a node, of IPv4', () => {
    const node = nodeOf('b', '10.244.1.0/24', '10.99.0.12');
    expect(routeOf(node)).to.deep.equal(['10.244.1.0/24', '10.99.0.12']);
    expect(routeOf({ ...node, spec: {} })).to.equal(undefined);
    expect(routeOf({ ...node, status: {} })).to.equal(undefined);
    expect(routeOf(nodeOf('b', '10.244.1.0/24', 'fd00::1'))).to.equal(undefined);
    const both = { ...node, spec: { podCIDRs: ['fd00::/64', '10.244.7.0/24'] } };
    expect(routeOf(both)).to.deep.equal(['10.244.7.0/24', '10.99.0.12']);
  });

  describe('in a network namespace', () => {
    const namespace = `mainstay-test-${randomBytes(3).toString('hex')}-routes`;
    const dir = mkdtempSync(join(tmpdir(), 'mainstay-test-routes-'));
    const ip = programIn(dir, namespace, 'ip');
    const api = new FakeApi(systemClusterEnv());
    let stop: () => Promise<void> = () => Promise.resolve();

    before(function () {
      if (!hasNetworkTools([])) skipWithout(this, 'root, ip and nsenter');
      run('ip', ['netns', 'add', namespace]);
      const commands = [
        'link add fabric type veth peer name other',
        'link set fabric up',
        'link set other up',
        'address add 10.99.0.11/24 dev fabric',
        'route add 192.0.2.0/24 via 10.99.0.1',
        // Of an earlier process: one that still holds, one of a node that is gone.
        'route add 10.244.2.0/24 via 10.99.0.12 proto 177',
        'route add 10.244.9.0/24 via 10.99.0.19 proto 177',
      ];
      for (const command of commands) run(ip, command.split(' '));
    });

    after(async () => {
      await stop();
      if (hasNetworkTools([])) run('ip', ['netns', 'delete', namespace]);
      rmSync(dir, { recursive: true, force: true });
    });

    const routes = (): string[] =>
      run(ip, ['route'])
        .split('\n')
        .flatMap((line) => /^(\S+ via \S+)/.exec(line)?.[1] ?? [])
        .sort();
    const become = (...expected: string[]): Promise<void> =>
      until(() => String(routes()) === String([...expected, OTHER].sort()));
    const OTHER = '192.0.2.0/24 via 10.99.0.1';

    it('follows the nodes, and leaves other routes alone', async () => {
      const env = systemClusterEnv();
      api.put(NODES, nodeOf('node-a', '10.244.1.0/24', '10.99.0.11'));
      api.put(NODES, nodeOf('node-b', '10.244.2.0/24', '10.99.0.12'));
      api.put(NODES, nodeOf('node-c', '', ''));
      const informers = new SharedInformers(env, silentLogger, restClient(api));
      const setup = { env, log: silentLogger, nodeName: 'node-a', informers, ipProgram: ip };
      const following = new NodeRoutes(setup);
      following.start();
      expect(routes()).to.include('10.244.9.0/24 via 10.99.0.19');
      informers.start();
      stop = async () => {
        await following.stop();
        await informers.stop();
      };
      await become('10.244.2.0/24 via 10.99.0.12');
      api.put(NODES, nodeOf('node-c', '10.244.3.0/24', '10.99.0.13'));
      await become('10.244.2.0/24 via 10.99.0.12', '10.244.3.0/24 via 10.99.0.13');
      api.put(NODES, nodeOf('node-b', '10.244.2.0/24', '10.99.0.22'));
      api.remove(NODES, nodeOf('node-c', '', ''));
      await become('10.244.2.0/24 via 10.99.0.22');
      // One that cannot be added, as its gateway is not reached, does not keep others away.
      api.put(NODES, nodeOf('node-d', '10.244.4.0/24', '172.16.0.1'));
      api.put(NODES, nodeOf('node-e', '10.244.5.0/24', '10.99.0.15'));
      await become('10.244.2.0/24 via 10.99.0.22', '10.244.5.0/24 via 10.99.0.15');
    });
  });
});
