/** kube-proxy as a process in a node's network namespace: it finds out how it can work there. */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { skipWithout } from '../../support/servers.js';
import { until } from '../../support/until.js';
import { hasNetworkTools, Network, NODE_IP } from './support/network.js';

const CLUSTER_IP = 'http://10.96.7.7:8080/';
const NODE_PORT = `http://${NODE_IP}:30080/`;
const NOBODY = 65_534;
const NSENTER = '/usr/bin/nsenter';

describe('cluster/proxy/start-proxy', function () {
  this.timeout(60_000);
  const network = new Network();
  before(async function () {
    if (!hasNetworkTools(['nft'])) skipWithout(this, 'root, nft, ip, nsenter, sysctl and curl');
    await network.start();
  });
  after(() => network.stop());

  function start(user: number, path = process.env['PATH']): { child: ChildProcess; log: string } {
    const main = join(import.meta.dirname, 'support/start-proxy-main.ts');
    const args = [...network.enter('node'), process.execPath, '--import', 'tsx', main];
    const child = spawn('/usr/bin/env', [`PATH=${path ?? ''}`, NSENTER, ...args, String(user)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const started = { child, log: '' };
    child.stdout.on('data', (data: Buffer) => (started.log += data.toString()));
    return started;
  }

  async function stop({ child }: { readonly child: ChildProcess }): Promise<void> {
    child.stdin?.end();
    await until(() => child.exitCode !== null);
    expect(child.exitCode).to.equal(0);
  }

  it('forwards node ports by itself without root, and says that cluster IPs do not work', async () => {
    const proxy = start(NOBODY);
    await until(() => network.get('outside', NODE_PORT).startsWith('pod 0'));
    await until(() => proxy.log.includes('node ports only: cluster IPs do not work'));
    expect(proxy.log).to.contain('this process is not root');
    expect(network.get('node', CLUSTER_IP)).to.not.match(/^pod/);
    await stop(proxy);
    expect(network.get('outside', NODE_PORT)).to.match(/Couldn't connect/);
  });

  it('forwards cluster IPs too where there is no nft', async () => {
    const proxy = start(0, '/nonexistent');
    await until(() => proxy.log.includes('cluster IPs on the loopback link'));
    expect(proxy.log).to.match(/spawn nft ENOENT/);
    await until(() => network.get('outside', NODE_PORT).startsWith('pod 0'));
    await stop(proxy);
  });

  it('uses nftables where it can, and leaves the rules when it stops', async () => {
    const proxy = start(0);
    await until(() => network.get('outside', NODE_PORT).startsWith('pod 0'));
    await until(() => proxy.log.includes('by nftables'));
    expect(network.get(1, CLUSTER_IP)).to.match(/^pod 0/);
    await stop(proxy);
    expect(network.get(1, CLUSTER_IP)).to.match(/^pod 0/);
    expect(network.in('node', 'nft list tables').trim()).to.equal('table ip mainstay-proxy');
  });
});
