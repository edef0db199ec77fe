import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { Fabric, type FabricPlan } from '../../../src/cluster/fabric/fabric.js';
import { canMakeNamespaces } from '../../support/root.js';
import { skipWithout } from '../../support/servers.js';
import { until } from '../../support/until.js';

const NODES = [1, 2].map((i) => ({
  name: `node-${i}`,
  address: `10.99.0.${10 + i}`,
  podCidr: `10.244.${i}.0/24`,
}));

function newPlan(): FabricPlan {
  const id = randomBytes(3).toString('hex');
  return { id, address: '10.99.0.1', prefixLength: 24, nodes: NODES };
}

/** Answers one TCP connection with `text`. */
const SERVER = `
  const { createServer } = require('node:net');
  const [address, port, text] = process.argv.slice(1);
  createServer((socket) => socket.end(text)).listen(Number(port), address, () => console.log('up'));
`;
const CLIENT = `
  const { connect } = require('node:net');
  const [address, port] = process.argv.slice(1);
  const socket = connect(Number(port), address);
  socket.setTimeout(2000, () => process.exit(2));
  socket.on('data', (part) => process.stdout.write(part)).on('error', () => process.exit(1));
`;

describe('the fabric', () => {
  const fabrics: Fabric[] = [];
  const children: ChildProcess[] = [];

  before(function () {
    if (!canMakeNamespaces()) skipWithout(this, 'root with ip, to make network namespaces');
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    for (const fabric of fabrics.splice(0)) await fabric.remove();
  });

  async function open(plan: FabricPlan): Promise<Fabric> {
    const fabric = new Fabric(plan);
    fabrics.push(fabric);
    await fabric.ensure();
    return fabric;
  }

  async function serve(enter: readonly string[], address: string, text: string): Promise<void> {
    const node = [process.execPath, '-e', SERVER, address, '7000', text];
    const [command = '', ...args] = [...enter, ...node];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    children.push(child);
    let isUp = false;
    child.stdout.on('data', () => (isUp = true));
    await until(() => isUp);
  }

  function ask(enter: readonly string[], address: string): string {
    const node = [process.execPath, '-e', CLIENT, address, '7000'];
    const [command = '', ...args] = [...enter, ...node];
    return spawnSync(command, args, { encoding: 'utf8' }).stdout;
  }

  function ip(enter: readonly string[], ...args: string[]): string {
    const [command = '', ...rest] = [...enter, 'ip', ...args];
    const { status, stdout, stderr } = spawnSync(command, rest, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return stdout;
  }

  const namespacesOf = ({ id }: FabricPlan): string[] =>
    readdirSync('/run/netns').filter((name) => name.includes(id));

  it('joins nodes with each other and with the hub, also by the addresses of their pods', async () => {
    const fabric = await open(newPlan());
    const [one, two] = NODES.map(({ name }) => fabric.nodeCommand(name));
    if (one === undefined || two === undefined) throw new Error('two nodes');
    await serve(fabric.hubCommand, '10.99.0.1', 'hub');
    await serve(two, '10.99.0.12', 'two');
    expect(ask(one, '10.99.0.1')).equal('hub');
    expect(ask(one, '10.99.0.12')).equal('two');
    ip(two, 'address', 'add', '10.244.2.7/32', 'dev', 'lo');
    await serve(two, '10.244.2.7', 'pod');
    expect(ask(one, '10.244.2.7')).equal('pod');
    expect(ask(fabric.hubCommand, '10.244.2.7')).equal('pod');
  });

  it('sends nothing in circles that is for a pod which does not exist', async () => {
    const fabric = await open(newPlan());
    const route = spawnSync('nsenter', [
      ...fabric.nodeCommand('node-1').slice(1),
      ...['ip', 'route', 'get', '10.244.1.9'],
    ]);
    expect(route.status).not.equal(0);
    expect(String(route.stderr)).contain('No route to host');
  });

  it('keeps clusters with the same addresses apart, and both from the machine', async () => {
    const before = ip([], 'route');
    const [first, second] = [await open(newPlan()), await open(newPlan())];
    await serve(first.hubCommand, '10.99.0.1', 'first');
    await serve(second.hubCommand, '10.99.0.1', 'second');
    expect(ask(first.nodeCommand('node-1'), '10.99.0.1')).equal('first');
    expect(ask(second.nodeCommand('node-1'), '10.99.0.1')).equal('second');
    expect(ip([], 'route')).equal(before);
    await first.remove();
    expect(ask(second.nodeCommand('node-2'), '10.99.0.1')).equal('second');
  });

  it('is made whole again, from any part of it, without touching what is there', async () => {
    const plan = newPlan();
    const fabric = await open(plan);
    await serve(fabric.nodeCommand('node-2'), '10.99.0.12', 'still here');
    ip(fabric.hubCommand, 'link', 'delete', 'node-1');
    ip(fabric.hubCommand, 'route', 'delete', '10.244.2.0/24');
    await new Fabric(plan).ensure();
    expect(ask(fabric.nodeCommand('node-1'), '10.99.0.12')).equal('still here');
    expect(ip(fabric.hubCommand, 'route')).contain('10.244.2.0/24 via 10.99.0.12');
  });

  it('is made where a restart of the machine has left names without namespaces', async () => {
    const plan = newPlan();
    writeFileSync(`/run/netns/mainstay-${plan.id}-hub`, '');
    const fabric = await open(plan);
    expect(ip(fabric.hubCommand, 'address')).contain('10.99.0.1/24');
  });

  it('disappears with the processes in it, and can be removed twice', async () => {
    const plan = newPlan();
    const fabric = await open(plan);
    await serve(fabric.nodeCommand('node-1'), '10.99.0.11', 'x');
    const [child] = children;
    expect(namespacesOf(plan)).have.length(3);
    await fabric.remove();
    await until(() => child?.signalCode === 'SIGKILL');
    expect(namespacesOf(plan)).deep.equal([]);
    await fabric.remove();
    expect(fabric.hubCommand).deep.equal([]);
    expect(existsSync(`/run/netns/mainstay-${plan.id}-node-1`)).equal(false);
  });
});
