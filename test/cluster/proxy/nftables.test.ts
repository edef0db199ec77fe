/** The rules of services on real packets. */
import { expect } from 'chai';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import { hostPortEntries } from '../../../src/cluster/proxy/host-ports.js';
import { rulesOf } from '../../../src/cluster/proxy/nftables/ruleset.js';
import { NftTable } from '../../../src/cluster/proxy/nftables/table.js';
import { forgetUdpFlows } from '../../../src/cluster/proxy/nftables/udp-flows.js';
import type { PortEntry } from '../../../src/cluster/proxy/service-table.js';
import { skipWithout } from '../../support/servers.js';
import {
  entry,
  hasNetworkTools,
  httpOf,
  Network,
  NODE_IP,
  OUTSIDE_IP,
  udpOf,
  type Place,
} from './support/network.js';

const VIP = 'http://10.96.7.7:8080/';
const NODE_PORT = `http://${NODE_IP}:30080/`;
const EVERYWHERE: readonly Place[] = [0, 1, 'node', 'outside'];

describe('rules of services on real packets', function () {
  this.timeout(60_000);
  const network = new Network();
  const nft = network.programInNode('nft');
  const conntrack = network.programInNode('conntrack');
  let table = new NftTable(systemClusterEnv(), 'mainstay-test', nft);

  before(async function () {
    if (!hasNetworkTools(['nft', 'conntrack'])) {
      skipWithout(this, 'root, nft, conntrack, ip, nsenter, sysctl and curl');
    }
    await network.start();
  });

  after(() => network.stop());

  /** Each entry is an owner of its own; those of earlier calls go away. */
  let owners: readonly string[] = [];
  async function lead(...entries: readonly PortEntry[]): Promise<void> {
    const changes = new Map(owners.map((owner) => [owner, undefined]));
    const rules = entries.map((one) => [one.id, rulesOf([one])] as const);
    await table.apply(new Map([...changes, ...rules]));
    owners = entries.map(({ id }) => id);
  }

  it('leads a cluster address to an endpoint, from everywhere', async () => {
    await lead(entry({ all: [httpOf(0)] }));
    for (const place of EVERYWHERE) expect(network.get(place, VIP)).to.match(/^pod 0/);
  });

  it('keeps the source of a pod that asks another', async () => {
    await lead(entry({ all: [httpOf(0)] }));
    expect(network.get(1, VIP)).to.equal(`pod 0 from ${httpOf(1).ip}`);
  });

  it('leads a pod to itself', async () => {
    await lead(entry({ all: [httpOf(1)] }));
    expect(network.get(1, VIP)).to.equal(`pod 1 from ${NODE_IP}`);
  });

  it('spreads connections over all endpoints', async () => {
    await lead(entry({ all: [httpOf(0), httpOf(1), httpOf(2)] }));
    const seen = new Set(Array.from({ length: 40 }, () => network.get(0, VIP).slice(0, 5)));
    expect([...seen].sort()).to.deep.equal(['pod 0', 'pod 1', 'pod 2']);
  });

  it('refuses at once when there is no endpoint', async () => {
    const externalIps = ['192.0.2.1'];
    await lead(entry({ nodePort: 30_080, externalIps, isExternalLocal: true }));
    for (const place of EVERYWHERE) {
      expect(network.get(place, VIP), String(place)).to.match(/Couldn't connect/);
      expect(network.get(place, NODE_PORT), String(place)).to.match(/Couldn't connect/);
    }
    expect(network.get(0, 'http://192.0.2.1:8080/')).to.match(/Couldn't connect/);
  });

  it('refuses UDP without an endpoint, and ports that a service does not have', async () => {
    await lead(entry({ protocol: 'udp', port: 53 }));
    for (const place of [0, 'node', 'outside'] as const) {
      expect(network.ask(place, '10.96.7.7', 53), String(place)).to.equal('ECONNREFUSED');
      expect(network.ask(place, '10.96.7.7', 54), String(place)).to.equal('ECONNREFUSED');
      expect(network.get(place, VIP), String(place)).to.match(/Couldn't connect/);
    }
  });

  it('serves node ports on the addresses of the node, and not on loopback', async () => {
    await lead(entry({ all: [httpOf(2)], nodePort: 30_080 }));
    for (const place of [0, 2, 'node', 'outside'] as const) {
      expect(network.get(place, NODE_PORT), String(place)).to.equal(`pod 2 from ${NODE_IP}`);
    }
    expect(network.get('node', 'http://127.0.0.1:30080/')).to.match(/Couldn't connect/);
  });

  it('serves external addresses', async () => {
    await lead(entry({ all: [httpOf(2)], externalIps: ['192.0.2.1'] }));
    network.in('outside', `ip route add 192.0.2.1 via ${NODE_IP}`);
    for (const place of EVERYWHERE) {
      expect(network.get(place, 'http://192.0.2.1:8080/')).to.equal(`pod 2 from ${NODE_IP}`);
    }
  });

  it('drops packets from inside for a node-local service without an endpoint here', async () => {
    const all = [httpOf(1)];
    await lead(entry({ all, local: [], isInternalLocal: true, nodePort: 30_080 }));
    expect(network.get(0, VIP)).to.match(/timed out/);
    expect(network.get('outside', NODE_PORT)).to.match(/^pod 1/);
    await lead(entry({ all: [httpOf(1), httpOf(2)], local: all, isInternalLocal: true }));
    const seen = new Set(Array.from({ length: 20 }, () => network.get(0, VIP).slice(0, 5)));
    expect([...seen]).to.deep.equal(['pod 1']);
  });

  it('keeps the source of packets from outside where only endpoints here serve', async () => {
    const all = [httpOf(0), httpOf(1)];
    await lead(entry({ all, local: [httpOf(1)], isExternalLocal: true, nodePort: 30_080 }));
    const seen = new Set(Array.from({ length: 20 }, () => network.get('outside', NODE_PORT)));
    expect([...seen]).to.deep.equal([`pod 1 from ${OUTSIDE_IP}`]);
    await lead(entry({ all, local: [], isExternalLocal: true, nodePort: 30_080 }));
    expect(network.get('outside', NODE_PORT)).to.match(/timed out/);
    expect(network.get('node', NODE_PORT)).to.match(/^pod [01]/);
    expect(network.get(2, VIP)).to.match(/^pod [01]/);
  });

  it('keeps a client at one endpoint when asked to', async () => {
    const all = [httpOf(0), httpOf(1), httpOf(2)];
    await lead(entry({ all, affinitySeconds: 100, nodePort: 30_080 }));
    const seen = new Set(Array.from({ length: 15 }, () => network.get(0, VIP).slice(0, 5)));
    expect(seen.size).to.equal(1);
    expect(seen.has(network.get(0, NODE_PORT).slice(0, 5))).to.equal(true);
    const [mine = ''] = seen;
    const others = all.filter((_, i) => mine !== `pod ${i}`);
    await lead(entry({ all: others, affinitySeconds: 200 }));
    expect(network.get(0, VIP))
      .to.match(/^pod/)
      .and.not.match(new RegExp(`^${mine}`));
  });

  it('leads a host port to its pod', async () => {
    const container = { name: 'c', ports: [{ containerPort: 80, hostPort: 8888 }] };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'default' } };
    const status = { podIP: httpOf(1).ip, phase: 'Running' };
    const entries = hostPortEntries({ ...pod, spec: { containers: [container] }, status });
    await lead(...entries);
    const url = `http://${NODE_IP}:8888/`;
    expect(network.get(0, url)).to.equal(`pod 1 from ${httpOf(0).ip}`);
    expect(network.get(1, url)).to.match(/^pod 1/);
    expect(network.get('outside', url)).to.equal(`pod 1 from ${OUTSIDE_IP}`);
  });

  it('lets no owner of a taken address stop the others', async () => {
    const first = entry({ id: 'a', all: [httpOf(0)] });
    const second = entry({ id: 'b', all: [httpOf(1)] });
    await lead(second);
    await lead(second, first);
    expect(network.get(2, VIP)).to.match(/^pod 0/);
    await lead(second);
    expect(network.get(2, VIP)).to.match(/^pod 1/);
  });

  it('leads UDP clients away from endpoints that are gone', async () => {
    const udp = { protocol: 'udp', port: 53, nodePort: 30_053 } as const;
    const before = entry({ ...udp, all: [udpOf(0)] });
    const now = entry({ ...udp, all: [udpOf(1)] });
    await lead();
    // Without a service these packets leave by the default route, and the kernel remembers that.
    expect(network.ask(2, '10.96.7.7', 53, 5001)).to.equal('timed out');
    await lead(before);
    await forgetUdpFlows([{ before: [], now: [before] }], conntrack);
    expect(network.ask(2, '10.96.7.7', 53, 5001)).to.match(/^pod 0/);
    expect(network.ask('outside', NODE_IP, 30_053, 5001)).to.match(/^pod 0/);
    await lead(now);
    expect(network.ask(2, '10.96.7.7', 53, 5001), 'as remembered').to.match(/^pod 0/);
    await forgetUdpFlows([{ before: [before], now: [now] }], conntrack);
    expect(network.ask(2, '10.96.7.7', 53, 5001)).to.match(/^pod 1/);
    expect(network.ask('outside', NODE_IP, 30_053, 5001)).to.match(/^pod 1/);
    await lead();
    await forgetUdpFlows([{ before: [now], now: [] }], conntrack);
    expect(network.ask(2, '10.96.7.7', 53, 5001)).to.equal('timed out');
  });

  it('takes over a table that another process left', async () => {
    await lead(entry({ all: [httpOf(0)] }), entry({ id: 'b', clusterIp: '10.96.7.8', all: [] }));
    table = new NftTable(systemClusterEnv(), 'mainstay-test', nft);
    owners = [];
    await lead(entry({ all: [httpOf(2)] }));
    expect(network.get(0, VIP)).to.match(/^pod 2/);
    expect(network.in('node', 'nft list table ip mainstay-test')).to.not.contain('10.96.7.8');
  });

  it('builds all anew after a transaction that failed', async () => {
    await lead(entry({ all: [httpOf(0)] }));
    network.in('node', 'nft delete table ip mainstay-test');
    const error = await lead(entry({ all: [httpOf(1)] })).catch(String);
    expect(error).to.match(/nft failed with code 1: .*No such file/s);
    await table.apply(new Map());
    expect(network.get(0, VIP)).to.match(/^pod 1/);
  });

  it('removes its table', async () => {
    await lead(entry({ all: [httpOf(0)] }));
    await table.remove();
    expect(network.in('node', 'nft list tables')).to.not.contain('mainstay-test');
  });
});
