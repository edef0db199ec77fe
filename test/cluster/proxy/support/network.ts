/**
 * A node, three pods and a machine outside of the cluster, each in a network namespace of its own:
 * pods on routed veth pairs, as the node's pod network makes them, the machine outside on the link
 * of the node's default route. Pods answer HTTP on port 80 and UDP on port 53 with who they are and
 * who asked. Needs root.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PortEntry, Target } from '../../../../src/cluster/proxy/service-table.js';
import { until } from '../../../support/until.js';

export const NODE_IP = '10.99.0.11';
export const OUTSIDE_IP = '10.99.0.1';
const PODS = ['10.244.1.2', '10.244.1.3', '10.244.1.4'] as const;

export type Place = 0 | 1 | 2 | 'node' | 'outside';

const POD_SERVER = `
  const name = 'pod ' + process.argv[1] + ' from ';
  require('node:http').createServer((request, response) => {
    response.end(name + request.socket.remoteAddress);
  }).listen(80, '0.0.0.0');
  const udp = require('node:dgram').createSocket('udp4');
  udp.on('message', (message, { address, port }) => udp.send(name + address, port, address));
  udp.bind(53);
`;
/** Sends one datagram from a fixed port, and prints the answer or the error. */
const UDP_CLIENT = `
  const [, ip, port, from] = process.argv;
  const socket = require('node:dgram').createSocket('udp4');
  const end = (text) => { console.log(text); process.exit(); };
  socket.on('message', (message) => end(message.toString()));
  socket.on('error', (error) => end(error.code));
  socket.bind(Number(from), () => socket.connect(Number(port), ip, () => socket.send('?')));
  setTimeout(() => end('timed out'), 1500);
`;

export function hasNetworkTools(tools: readonly string[]): boolean {
  const all = ['ip', 'nsenter', 'sysctl', 'curl', ...tools];
  const areThere = all.every((tool) => spawnSync('which', [tool]).status === 0);
  return areThere && process.getuid?.() === 0;
}

export class Network {
  private readonly id = randomBytes(3).toString('hex');
  private readonly dir = mkdtempSync(join(tmpdir(), 'mainstay-test-proxy-'));
  private readonly servers: ChildProcess[] = [];

  async start(): Promise<void> {
    for (const place of ['node', 'outside', 0, 1, 2] as const) {
      run('ip', ['netns', 'add', this.nameOf(place)]);
      this.in(place, 'ip link set lo up');
    }
    this.in('node', 'sysctl -qw net.ipv4.ip_forward=1');
    // The kernel would send a refusal of UDP to the same machine once a second only.
    this.in('node', 'sysctl -qw net.ipv4.icmp_ratelimit=0');
    this.in('node', `ip link add fabric type veth peer name eth0 netns ${this.nameOf('outside')}`);
    this.in('node', 'ip link set fabric up');
    this.in('node', `ip address add ${NODE_IP}/24 dev fabric`);
    this.in('outside', 'ip link set eth0 up');
    this.in('outside', `ip address add ${OUTSIDE_IP}/24 dev eth0`);
    this.in('node', `ip route add default via ${OUTSIDE_IP}`);
    // Pods answer the machine outside directly where their source is kept.
    this.in('outside', `ip route add 10.244.0.0/16 via ${NODE_IP}`);
    this.in('outside', `ip route add 10.96.0.0/16 via ${NODE_IP}`);
    for (const i of [0, 1, 2] as const) this.addPod(i, PODS[i]);
    for (const i of [0, 1, 2] as const) {
      await until(() => this.get('node', `http://${PODS[i]}/`).startsWith('pod'));
    }
  }

  private addPod(i: 0 | 1 | 2, ip: string): void {
    const pod = this.nameOf(i);
    const mac = 'ee:ee:ee:ee:ee:ee';
    this.in('node', `ip link add v${i} address ${mac} type veth peer name eth0 netns ${pod}`);
    this.in('node', `ip link set v${i} up`);
    this.in('node', `ip route add ${ip}/32 dev v${i}`);
    this.in(i, 'ip link set eth0 up');
    this.in(i, `ip address add ${ip}/32 dev eth0`);
    this.in(i, 'ip route add 169.254.1.1 dev eth0 scope link');
    this.in(i, 'ip route add default via 169.254.1.1 dev eth0');
    this.in(i, `ip neigh replace 169.254.1.1 lladdr ${mac} dev eth0 nud permanent`);
    const args = [...this.enter(i), process.execPath, '-e', POD_SERVER, String(i)];
    this.servers.push(spawn('nsenter', args, { stdio: 'ignore' }));
  }

  /** Program that runs `name` in the node's namespace. */
  programInNode(name: string): string {
    return programIn(this.dir, this.nameOf('node'), name);
  }

  in(place: Place, command: string): string {
    return run('nsenter', [...this.enter(place), ...command.split(' ')]);
  }

  /** The page, or the error's text. */
  get(from: Place, url: string): string {
    const args = [...this.enter(from), 'curl', '-sS', '--max-time', '2', url];
    const { status, stdout, stderr } = spawnSync('nsenter', args, { encoding: 'utf8' });
    return status === 0 ? stdout.trim() : stderr.trim();
  }

  /** Answer of a UDP port, or the error's code. */
  ask(from: Place, ip: string, port: number, sourcePort = 0): string {
    const args = ['-e', UDP_CLIENT, ip, String(port), String(sourcePort)];
    return run('nsenter', [...this.enter(from), process.execPath, ...args]).trim();
  }

  async stop(): Promise<void> {
    for (const server of this.servers) {
      server.kill('SIGKILL');
      await until(() => server.signalCode !== null);
    }
    for (const place of ['node', 'outside', 0, 1, 2] as const) {
      spawnSync('ip', ['netns', 'delete', this.nameOf(place)]);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  enter(place: Place): string[] {
    return [`--net=/run/netns/${this.nameOf(place)}`];
  }

  private nameOf(place: Place): string {
    return `mainstay-test-${this.id}-${place}`;
  }
}

/** Writes a program that runs `name` in a network namespace. */
export function programIn(dir: string, namespace: string, name: string): string {
  const path = join(dir, name);
  const command = `exec nsenter --net=/run/netns/${namespace} ${name} "$@"`;
  writeFileSync(path, `#!/bin/sh\n${command}\n`, { mode: 0o755 });
  return path;
}

export function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

export function httpOf(pod: 0 | 1 | 2): Target {
  return { ip: PODS[pod], port: 80 };
}

export function udpOf(pod: 0 | 1 | 2): Target {
  return { ip: PODS[pod], port: 53 };
}

export function entry(changes: Partial<PortEntry> = {}): PortEntry {
  const all = changes.all ?? [];
  return {
    id: 'default/web/tcp/',
    protocol: 'tcp',
    clusterIp: '10.96.7.7',
    port: 8080,
    nodePort: 0,
    externalIps: [],
    all,
    local: all,
    isInternalLocal: false,
    isExternalLocal: false,
    affinitySeconds: 0,
    ...changes,
  };
}
