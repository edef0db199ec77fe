import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { StartupError, dataDirFailure } from '../../base/flags/startup-error.js';

/** Where the members of a local cluster live; kept in its directory, so that the cluster can be continued. */
export interface ClusterPlan {
  readonly token: string;
  readonly members: readonly PlannedMember[];
}

export interface PlannedMember {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

export interface ClusterDir {
  readonly path: string;
  readonly isTemporary: boolean;
}

export const HOST = '127.0.0.1';
const PLAN_FILE = 'cluster.json';
const DEFAULT_CLIENT_PORT = 2379;

/** Creates the directory that was asked for, or a temporary one. */
export function openClusterDir(dir: string | undefined): ClusterDir {
  if (dir === undefined) {
    return { path: mkdtempSync(join(tmpdir(), 'mainstay-up-')), isTemporary: true };
  }
  const path = resolve(dir);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw dataDirFailure(path, error);
  }
  return { path, isTemporary: false };
}

/**
 * Reads the plan of a directory that has one, or makes and stores a new one.
 *
 * Throws: StartupError when the directory holds another cluster than was asked for, or a given port is taken.
 */
export async function planCluster(
  dir: string,
  nodes: number,
  clientPort: number | undefined,
): Promise<ClusterPlan> {
  const stored = readPlan(dir);
  if (stored !== undefined) {
    checkStored(stored, dir, nodes, clientPort);
    await refuseTakenPorts(stored, 'stop the processes that use them, or use another --dir');
    return stored;
  }
  const plan = await newPlan(nodes, clientPort);
  try {
    writeFileSync(join(dir, PLAN_FILE), `${JSON.stringify(plan, null, 2)}\n`);
  } catch (error) {
    throw dataDirFailure(dir, error);
  }
  return plan;
}

async function newPlan(nodes: number, clientPort: number | undefined): Promise<ClusterPlan> {
  const token = `mainstay-up-${Date.now().toString(36)}`;
  const first = clientPort ?? DEFAULT_CLIENT_PORT;
  // As with etcd's own ports, a member's peer port follows its client port.
  const members = Array.from({ length: nodes }, (_, i) => ({
    name: `n${i + 1}`,
    clientPort: first + 2 * i,
    peerPort: first + 2 * i + 1,
  }));
  const plan = { token, members };
  const taken = await takenPorts(plan);
  if (taken.length === 0) return plan;
  if (clientPort !== undefined) {
    throw portsTaken(taken, 'choose another --client-port, or leave it out to get free ports');
  }
  const free = await freePorts(2 * nodes);
  return {
    token,
    members: members.map(({ name }, i) => ({
      name,
      clientPort: free[2 * i] ?? 0,
      peerPort: free[2 * i + 1] ?? 0,
    })),
  };
}

function checkStored(
  plan: ClusterPlan,
  dir: string,
  nodes: number,
  clientPort: number | undefined,
): void {
  if (plan.members.length !== nodes) {
    throw new StartupError(
      `${dir} holds a cluster of ${plan.members.length}, not of ${nodes}`,
      `use --nodes ${plan.members.length}, or another --dir`,
    );
  }
  const storedPort = plan.members[0]?.clientPort;
  if (clientPort !== undefined && clientPort !== storedPort) {
    throw new StartupError(
      `${dir} holds a cluster whose client ports begin at ${storedPort ?? 0}, not at ${clientPort}`,
      'leave out --client-port, or use another --dir',
    );
  }
}

async function refuseTakenPorts(plan: ClusterPlan, nextStep: string): Promise<void> {
  const taken = await takenPorts(plan);
  if (taken.length > 0) throw portsTaken(taken, nextStep);
}

function portsTaken(ports: readonly number[], nextStep: string): StartupError {
  const list = ports.map((port) => `${HOST}:${port}`).join(', ');
  return new StartupError(`in use by another process: ${list}`, nextStep);
}

async function takenPorts(plan: ClusterPlan): Promise<number[]> {
  const taken: number[] = [];
  for (const { clientPort, peerPort } of plan.members) {
    for (const port of [clientPort, peerPort]) {
      if (port > 65_535 || !(await isFree(port))) taken.push(port);
    }
  }
  return taken;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, HOST, () => server.close(() => done(true)));
  });
}

/** Ports that are free now; all are held until the last is found, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map((server) => new Promise<void>((done) => server.listen(0, HOST, done))),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

function readPlan(dir: string): ClusterPlan | undefined {
  const path = join(dir, PLAN_FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw dataDirFailure(dir, error);
  }
  const plan = parsePlan(text);
  if (plan === undefined) {
    throw new StartupError(
      `${path} does not describe a cluster`,
      'use another --dir, or restore that file',
    );
  }
  return plan;
}

function parsePlan(text: string): ClusterPlan | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Thrown by the caller, which has the file's name.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (!('token' in value) || !('members' in value)) return undefined;
  const { token, members } = value;
  if (typeof token !== 'string' || !Array.isArray(members) || members.length === 0)
    return undefined;
  return members.every(isPlannedMember) ? { token, members } : undefined;
}

function isPlannedMember(value: unknown): value is PlannedMember {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    typeof value.name === 'string' &&
    'clientPort' in value &&
    typeof value.clientPort === 'number' &&
    'peerPort' in value &&
    typeof value.peerPort === 'number'
  );
}

export function clientUrl(member: PlannedMember): string {
  return `http://${HOST}:${member.clientPort}`;
}

function peerUrl(member: PlannedMember): string {
  return `http://${HOST}:${member.peerPort}`;
}

/** The flags that start `member` as part of `plan` with its data under `dir`. */
export function serverFlags(plan: ClusterPlan, member: PlannedMember, dir: string): string[] {
  return [
    `--name=${member.name}`,
    `--data-dir=${join(dir, member.name)}`,
    `--listen-client-urls=${clientUrl(member)}`,
    `--advertise-client-urls=${clientUrl(member)}`,
    `--listen-peer-urls=${peerUrl(member)}`,
    `--initial-advertise-peer-urls=${peerUrl(member)}`,
    `--initial-cluster=${plan.members.map((m) => `${m.name}=${peerUrl(m)}`).join(',')}`,
    `--initial-cluster-token=${plan.token}`,
    '--log-format=console',
  ];
}
