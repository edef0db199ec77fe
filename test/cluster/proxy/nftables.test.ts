/**
 * The rules of services on real packets: a node and three pods, each in a network namespace of its
 * own, with routed veth pairs as the node's pod network makes them.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { HostPortEntry } from '../../../src/cluster/proxy/host-ports.js';
import { rulesetOf } from '../../../src/cluster/proxy/nftables/ruleset.js';
import { NftTable } from '../../../src/cluster/proxy/nftables/table.js';
import type { ServiceEntry, Target } from '../../../src/cluster/proxy/service-table.js';
import { skipWithout } from '../../support/servers.js';
import { until } from '../../support/until.js';

const NODE_IP = '10.99.0.11';
const VIP = '10.96.7.7';
const PODS = ['10.244.1.2', '10.244.1.3', '10.244.1.4'] as const;

class Network {
  private readonly id = randomBytes(3).toString('hex');
  private readonly dir = mkdtempSync(join(tmpdir(), 'mainstay-test-proxy-'));
  private readonly servers: ChildProcess[] = [];
  readonly nftProgram: string;

  constructor() {
    this.nftProgram = join(this.dir, 'nft');
    const enter = `nsenter --net=/run/netns/${this.name('node')}`;
    writeFileSync(this.nftProgram, `#!/bin/sh\nexec ${enter} nft "$@"\n`, { mode: 0o755 });
  }

  start(): void {
    run('ip', ['netns', 'add', this.name('node')]);
    this.inNode('ip link set lo up');
    this.inNode(`ip addr add ${NODE_IP}/32 dev lo`);
    this.inNode('sysctl -qw net.ipv4.ip_forward=1');
    // As the default route of a node: packets for a service need some way before they are led away.
    this.inNode('ip route add 10.96.0.0/16 dev lo');
    for (const [i, ip] of PODS.entries()) this.addPod(i, ip);
  }

  private addPod(i: number, ip: string): void {
    const pod = this.name(`p${i}`);
    run('ip', ['netns', 'add', pod]);
    this.inNode(`ip link add v${i} type veth peer name eth0 netns ${pod}`);
    this.inNode(`sysctl -qw net.ipv4.conf.v${i}.proxy_arp=1`);
    this.inNode(`ip link set v${i} up`);
    this.inNode(`ip route add ${ip}/32 dev v${i}`);
    this.inPod(i, 'ip link set lo up');
    this.inPod(i, 'ip link set eth0 up');
    this.inPod(i, `ip addr add ${ip}/32 dev eth0`);
    this.inPod(i, 'ip route add 169.254.1.1 dev eth0 scope link');
    this.inPod(i, 'ip route add default via 169.254.1.1 dev eth0');
    const www = join(this.dir, `www${i}`);
    run('mkdir', [www]);
    writeFileSync(join(www, 'index.html'), `pod ${i}\n`);
    const args = [`--net=/run/netns/${pod}`, 'busybox', 'httpd', '-f', '-p', '80', '-h', www];
    this.servers.push(spawn('nsenter', args, { stdio: 'ignore' }));
  }

  inNode(command: string): string {
    return run('nsenter', [`--net=/run/netns/${this.name('node')}`, ...command.split(' ')]);
  }

  inPod(i: number, command: string): string {
    return run('nsenter', [`--net=/run/netns/${this.name(`p${i}`)}`, ...command.split(' ')]);
  }

  /** The page, or the error's text. `from` is a pod's number, or the node. */
  get(from: number | 'node', url: string): string {
    const place = from === 'node' ? this.name('node') : this.name(`p${from}`);
    const args = [`--net=/run/netns/${place}`, 'timeout', '3', 'curl', '-sS', url];
    const { status, stdout, stderr } = spawnSync('nsenter', args, { encoding: 'utf8' });
    return status === 0 ? stdout.trim() : stderr.trim() || `timed out (${status ?? 'signal'})`;
  }

  stop(): void {
    for (const server of this.servers) server.kill('SIGKILL');
    for (const name of ['node', 'p0', 'p1', 'p2']) {
      spawnSync('ip', ['netns', 'delete', this.name(name)]);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  private name(part: string): string {
    return `mainstay-test-${this.id}-${part}`;
  }
}

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

function service(changes: Partial<ServiceEntry> = {}): ServiceEntry {
  const internal = changes.internal ?? [];
  return {
    id: 'default/web/tcp/',
    protocol: 'tcp',
    clusterIp: VIP,
    port: 8080,
    nodePort: 0,
    externalIps: [],
    internal,
    external: internal,
    isExternalLocal: false,
    isInternalLocal: false,
    affinitySeconds: 0,
    ...changes,
  };
}

function pod(i: number): Target {
  return { ip: PODS[i] ?? '', port: 80 };
}

describe('rules of services on real packets', function () {
  this.timeout(60_000);
  const network = new Network();
  const table = new NftTable('mainstay-test', network.nftProgram);

  before(async function () {
    const hasTools = ['nft', 'ip', 'busybox', 'curl', 'nsenter'].every(
      (tool) => spawnSync('which', [tool]).status === 0,
    );
    if (process.getuid?.() !== 0 || !hasTools) {
      skipWithout(this, 'root, nft, ip, busybox, curl and nsenter');
    }
    network.start();
    await until(() => network.get('node', `http://${PODS[2]}/`) === 'pod 2');
  });

  after(() => network.stop());

  const apply = (
    services: readonly ServiceEntry[],
    hostPorts: HostPortEntry[] = [],
  ): Promise<void> => table.apply(rulesetOf(services, hostPorts));

  it('leads a cluster address to an endpoint, from pods and from the node', async () => {
    await apply([service({ internal: [pod(0)] })]);
    expect(network.get(1, `http://${VIP}:8080/`)).to.equal('pod 0');
    expect(network.get('node', `http://${VIP}:8080/`)).to.equal('pod 0');
  });

  it('leads a pod to itself', async () => {
    await apply([service({ internal: [pod(1)] })]);
    expect(network.get(1, `http://${VIP}:8080/`)).to.equal('pod 1');
  });

  it('spreads connections over all endpoints', async () => {
    await apply([service({ internal: [pod(0), pod(1), pod(2)] })]);
    const seen = new Set(Array.from({ length: 40 }, () => network.get(0, `http://${VIP}:8080/`)));
    expect([...seen].sort()).to.deep.equal(['pod 0', 'pod 1', 'pod 2']);
  });

  it('refuses at once when there is no endpoint', async () => {
    await apply([service({ internal: [], nodePort: 30_080 })]);
    expect(network.get(0, `http://${VIP}:8080/`)).to.match(/refused/);
    expect(network.get('node', `http://${VIP}:8080/`)).to.match(/refused/);
    expect(network.get(0, `http://${NODE_IP}:30080/`)).to.match(/refused/);
  });

  it('serves node ports on the addresses of the node, and not on loopback', async () => {
    await apply([service({ internal: [pod(2)], nodePort: 30_080 })]);
    expect(network.get(0, `http://${NODE_IP}:30080/`)).to.equal('pod 2');
    expect(network.get('node', `http://${NODE_IP}:30080/`)).to.equal('pod 2');
    expect(network.get('node', 'http://127.0.0.1:30080/')).to.match(/refused/);
  });

  it('drops packets for a node-local service without an endpoint here', async () => {
    await apply([service({ internal: [], isInternalLocal: true })]);
    expect(network.get(0, `http://${VIP}:8080/`)).to.match(/timed out/);
  });

  it('keeps a client at one endpoint when asked to', async () => {
    await apply([service({ internal: [pod(0), pod(1), pod(2)], affinitySeconds: 100 })]);
    const seen = new Set(Array.from({ length: 15 }, () => network.get(0, `http://${VIP}:8080/`)));
    expect(seen.size).to.equal(1);
  });

  it('leads a host port to its pod', async () => {
    const target = pod(1);
    await apply([], [{ protocol: 'tcp', hostIp: '', hostPort: 8888, target }]);
    expect(network.get(0, `http://${NODE_IP}:8888/`)).to.equal('pod 1');
    expect(network.get(1, `http://${NODE_IP}:8888/`)).to.equal('pod 1');
  });

  it('changes only what differs, and ends with no rule of what is gone', async () => {
    await apply([service({ internal: [pod(0)] })]);
    const other = service({ id: 'default/other/tcp/', clusterIp: '10.96.7.8', internal: [pod(1)] });
    await apply([service({ internal: [pod(0), pod(1)] }), other]);
    await apply([other]);
    expect(network.get(0, 'http://10.96.7.8:8080/')).to.equal('pod 1');
    const listed = network.inNode('nft list table ip mainstay-test');
    expect(listed).to.not.contain(VIP);
    expect(listed).to.not.contain(PODS[0]);
  });

  it('takes over a table that another process left', async () => {
    const fresh = new NftTable('mainstay-test', network.nftProgram);
    await fresh.apply(rulesetOf([service({ internal: [pod(2)] })], []));
    expect(network.get(0, `http://${VIP}:8080/`)).to.equal('pod 2');
    expect(network.get(0, 'http://10.96.7.8:8080/')).to.not.equal('pod 1');
    await fresh.remove();
    expect(network.inNode('nft list tables')).to.not.contain('mainstay-test');
  });
});
