import { join } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import { readPlan, writePlan } from './cluster-dir.js';
import { freePorts, HOST, takenPorts } from './ports.js';

/** Members of a store and their ports; kept in its directory, so that it can be continued. */
export interface StorePlan {
  readonly token: string;
  readonly members: readonly PlannedMember[];
}

export interface PlannedMember {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

const DEFAULT_MEMBERS = 3;
const DEFAULT_CLIENT_PORT = 2379;

/**
 * Reads the plan of a directory that has one, or makes and stores a new one. Numbers not asked for
 * are as stored, or the default.
 *
 * Rejects with StartupError when the directory holds something else, or a given port is taken.
 */
export async function planStore(
  dir: string,
  members: number | undefined,
  clientPort: number | undefined,
): Promise<StorePlan> {
  const stored = readPlan(dir, (value) => parsePlan(value, dir));
  if (stored !== undefined) {
    checkStored(stored, dir, members, clientPort);
    const taken = await takenPorts(portsOf(stored));
    if (taken.length > 0) {
      throw portsTaken(taken, 'stop the processes that use them, or use another --dir');
    }
    return stored;
  }
  const plan = await newPlan(members ?? DEFAULT_MEMBERS, clientPort);
  writePlan(dir, plan);
  return plan;
}

async function newPlan(count: number, clientPort: number | undefined): Promise<StorePlan> {
  const token = `mainstay-up-${Date.now().toString(36)}`;
  const first = clientPort ?? DEFAULT_CLIENT_PORT;
  // As with etcd's own ports, a member's peer port follows its client port.
  const members = Array.from({ length: count }, (_, i) => ({
    name: `n${i + 1}`,
    clientPort: first + 2 * i,
    peerPort: first + 2 * i + 1,
  }));
  const plan = { token, members };
  const taken = await takenPorts(portsOf(plan));
  if (taken.length === 0) return plan;
  if (clientPort !== undefined) {
    throw portsTaken(taken, 'choose another --client-port, or leave it out to get free ports');
  }
  const free = await freePorts(2 * count);
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
  plan: StorePlan,
  dir: string,
  members: number | undefined,
  clientPort: number | undefined,
): void {
  if (members !== undefined && plan.members.length !== members) {
    throw new StartupError(
      `${dir} holds a store of ${plan.members.length}, not of ${members}`,
      `use --store-members ${plan.members.length}, or another --dir`,
    );
  }
  const storedPort = plan.members[0]?.clientPort;
  if (clientPort !== undefined && clientPort !== storedPort) {
    throw new StartupError(
      `${dir} holds a store whose client ports begin at ${storedPort ?? 0}, not at ${clientPort}`,
      'leave out --client-port, or use another --dir',
    );
  }
}

export function portsTaken(ports: readonly number[], nextStep: string): StartupError {
  const list = ports.map((port) => `${HOST}:${port}`).join(', ');
  return new StartupError(`in use by another process: ${list}`, nextStep);
}

function portsOf(plan: StorePlan): number[] {
  return plan.members.flatMap(({ clientPort, peerPort }) => [clientPort, peerPort]);
}

function parsePlan(value: unknown, dir: string): StorePlan | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if ('nodes' in value) {
    throw new StartupError(
      `${dir} holds a cluster with nodes`,
      'leave out --store-only, or use another --dir',
    );
  }
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
export function serverFlags(plan: StorePlan, member: PlannedMember, dir: string): string[] {
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
