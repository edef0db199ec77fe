/** Forwarders of this process, on loopback and, with addresses of services, in a namespace. */
import { spawn } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../src/base/observe/logger.js';
import type { PortEntry, Target } from '../../../src/cluster/proxy/service-table.js';
import { Chooser } from '../../../src/cluster/proxy/userspace/chooser.js';
import { UserspaceSink } from '../../../src/cluster/proxy/userspace/userspace-sink.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import { skipWithout } from '../../support/servers.js';
import { until } from '../../support/until.js';
import { VirtualTime } from '../../support/virtual-time.js';
import { entry, hasNetworkTools, Network } from './support/network.js';

const NODE_IP = '127.0.0.1';

describe('cluster/proxy/userspace', () => {
  const env = systemClusterEnv();
  let sink: UserspaceSink;
  let closing: (() => void)[] = [];

  beforeEach(() => {
    const setup = { env, log: silentLogger, nodeIp: NODE_IP, canAddAddresses: false };
    sink = new UserspaceSink(setup);
  });
  afterEach(async () => {
    await sink.stop();
    for (const close of closing) close();
    closing = [];
  });

  const lead = (...now: PortEntry[]): Promise<void> =>
    sink.apply(new Map([['service/default/web', { before: [], now }]]));

  /** Sends its name when a connection comes, then what it receives, and ends when the client has. */
  async function tcpServer(name: string): Promise<Target & { readonly server: Server }> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      socket.write(`${name}:`);
      socket.pipe(socket);
    });
    server.listen(0, NODE_IP);
    await once(server, 'listening');
    closing.push(() => server.close());
    return { ip: NODE_IP, port: (server.address() as AddressInfo).port, server };
  }

  async function udpServer(name: string): Promise<Target> {
    const socket = createSocket('udp4');
    socket.on('message', (message, { port }) => {
      socket.send(`${name}:${message.toString()}`, port, NODE_IP);
    });
    socket.bind(0, NODE_IP);
    await once(socket, 'listening');
    closing.push(() => socket.close());
    return { ip: NODE_IP, port: socket.address().port };
  }

  /** A port that was free a moment ago. */
  async function freePort(): Promise<number> {
    const server = createServer().listen(0, NODE_IP);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  }

  /** Sends, ends, and returns all that came; or the error's code. */
  async function talk(port: number, text: string): Promise<string> {
    const socket: Socket = connect(port, NODE_IP);
    let received = '';
    socket.on('data', (data) => (received += data.toString()));
    socket.end(text);
    return new Promise((resolve) => {
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      socket.on('close', () => resolve(received));
    });
  }

  async function ask(client: UdpSocket, port: number, text: string): Promise<string> {
    client.send(text, port, NODE_IP);
    const [message] = (await once(client, 'message')) as [Buffer];
    return message.toString();
  }

  it('serves a node port over TCP, both directions by themselves', async () => {
    const nodePort = await freePort();
    const target = await tcpServer('a');
    await lead(entry({ nodePort, all: [target] }));
    expect(await talk(nodePort, 'hello')).to.equal('a:hello');
    const large = 'x'.repeat(3_000_000);
    expect(await talk(nodePort, large)).to.equal(`a:${large}`);
  });

  it('refuses connections when there is no endpoint, and serves again when there is', async () => {
    const nodePort = await freePort();
    const target = await tcpServer('a');
    await lead(entry({ nodePort, all: [] }));
    expect(await talk(nodePort, '')).to.equal('ECONNREFUSED');
    await lead(entry({ nodePort, all: [target] }));
    expect(await talk(nodePort, '')).to.equal('a:');
    await lead(entry({ nodePort, all: [target], local: [], isExternalLocal: true }));
    expect(await talk(nodePort, '')).to.equal('ECONNREFUSED');
    await lead();
    expect(await talk(nodePort, '')).to.equal('ECONNREFUSED');
  });

  it('tries the next endpoint when one cannot be reached', async () => {
    const nodePort = await freePort();
    const dead = { ip: NODE_IP, port: await freePort() };
    const all = [dead, await tcpServer('a')];
    await lead(entry({ nodePort, all }));
    for (let i = 0; i < 10; i += 1) expect(await talk(nodePort, '')).to.equal('a:');
    await lead(entry({ nodePort, all: [dead] }));
    expect(await talk(nodePort, '')).to.equal('ECONNRESET');
  });

  it('spreads connections, and keeps a client at one endpoint when asked to', async () => {
    const nodePort = await freePort();
    const all = [await tcpServer('a'), await tcpServer('b')];
    const seen = async (): Promise<number> => {
      const names = new Set<string>();
      for (let i = 0; i < 20; i += 1) names.add(await talk(nodePort, ''));
      return names.size;
    };
    await lead(entry({ nodePort, all }));
    expect(await seen()).to.equal(2);
    await lead(entry({ nodePort, all, affinitySeconds: 100 }));
    expect(await seen()).to.equal(1);
  });

  it('serves UDP, and leads clients away from endpoints that are gone', async () => {
    const nodePort = await freePort();
    const [a, b] = [await udpServer('a'), await udpServer('b')];
    const udp = { protocol: 'udp', nodePort } as const;
    const clients = [createSocket('udp4'), createSocket('udp4')] as const;
    closing.push(() => clients.forEach((client) => client.close()));
    await lead(entry({ ...udp, all: [a] }));
    for (const client of clients) expect(await ask(client, nodePort, '1')).to.equal('a:1');
    await lead(entry({ ...udp, all: [a, b] }));
    for (const client of clients) expect(await ask(client, nodePort, '2')).to.equal('a:2');
    await lead(entry({ ...udp, all: [b] }));
    for (const client of clients) expect(await ask(client, nodePort, '3')).to.equal('b:3');
  });

  it('says which port is taken, and serves the others', async () => {
    const taken = await tcpServer('other');
    const nodePort = await freePort();
    const all = [await tcpServer('a')];
    const entries = [
      entry({ id: 'x', nodePort: taken.port, all }),
      entry({ id: 'y', nodePort, all }),
    ];
    const error = await lead(...entries).catch(String);
    expect(error).to.match(new RegExp(`tcp 127.0.0.1:${taken.port}: .*EADDRINUSE`));
    expect(await talk(nodePort, '')).to.equal('a:');
    taken.server.close();
    await lead(...entries);
    expect(await talk(taken.port, '')).to.equal('a:');
  });

  it('forgets the endpoint of a client after the time of its affinity', () => {
    const time = new VirtualTime();
    const chooser = new Chooser(time);
    const targets = [1, 2, 3, 4].map((port) => ({ ip: NODE_IP, port }));
    const [, second] = targets;
    if (second === undefined) throw new Error('unreachable');
    chooser.remember('client', second, 10);
    const firsts = (): Set<number | undefined> =>
      new Set(Array.from({ length: 40 }, () => chooser.order(targets, 'client', 10)[0]?.port));
    expect([...firsts()]).to.deep.equal([2]);
    expect(chooser.order(targets, 'client', 10)).to.have.deep.members(targets);
    return time.advance(10_000).then(() => expect(firsts().size).to.equal(4));
  });

  describe('with cluster IPs', () => {
    const network = new Network();
    before(async function () {
      if (!hasNetworkTools([])) skipWithout(this, 'root, ip, nsenter, sysctl and curl');
      await network.start();
    });
    after(() => network.stop());

    it('serves them on the loopback link of the node, and takes them away', async () => {
      const main = join(import.meta.dirname, 'support/userspace-main.ts');
      const args = [...network.enter('node'), process.execPath, '--import', 'tsx', main];
      const child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      expect(network.get('node', 'http://10.96.7.7:8080/')).to.match(/^pod 0/);
      expect(network.ask('node', '10.96.7.7', 53)).to.match(/^pod 1/);
      expect(network.in('node', 'ip address show dev lo')).to.contain('10.96.7.7/32');
      child.stdin.end();
      await until(() => child.exitCode !== null);
      expect(network.in('node', 'ip address show dev lo')).to.not.contain('10.96.7.7');
    });
  });
});
