import { randomBytes } from 'node:crypto';
import { StartupError } from '../../base/flags/startup-error.js';
import { API_PORT, checkSocketPaths } from './cluster-config.js';
import { readPlan, writePlan } from './cluster-dir.js';
import { freePorts, HOST, takenPorts } from './ports.js';
import { portsTaken } from './store-plan.js';

/**
 * A cluster on this machine: everything its processes need to know. Kept in its directory, and
 * written before anything it names is made, so that whatever is left of a cluster can be found.
 */
export interface ClusterPlan {
  /** Unique on the machine: part of the names of all that is outside of the directory. */
  readonly id: string;
  /** Of the store's members. */
  readonly token: string;
  readonly members: readonly PlannedStoreMember[];
  /** With `host`, nothing has a namespace and the only node is the machine itself. */
  readonly network: 'namespaces' | 'host';
  readonly nodes: readonly PlannedNode[];
  /** On the loopback address of the machine. */
  readonly apiPort: number;
  readonly isTemporary: boolean;
}

export interface PlannedStoreMember {
  readonly name: string;
  /** Served on the loopback address besides the socket; only when asked for. */
  readonly clientPort?: number;
}

export interface PlannedNode {
  readonly name: string;
  readonly address: string;
  readonly podCidr: string;
}

/** Numbers that the user asked for; undefined means as stored, or the default. */
export interface PlanWishes {
  readonly nodes: number | undefined;
  readonly storeMembers: number | undefined;
  readonly clientPort: number | undefined;
  readonly apiPort: number | undefined;
}

const FIRST_NODE_HOST = 11;

const DEFAULT_MEMBERS = 3;
const DEFAULT_NODES = 2;

/**
 * The plan in `dir`, or a new one, stored there.
 *
 * Rejects with StartupError when the directory holds another cluster than was asked for, or a
 * given port is taken.
 */
export async function planCluster(
  dir: string,
  wishes: PlanWishes,
  created: { readonly network: ClusterPlan['network']; readonly isTemporary: boolean },
): Promise<ClusterPlan> {
  const stored = storedPlan(dir);
  if (stored !== undefined) {
    checkStored(stored, dir, wishes);
    const plan = { ...stored, apiPort: wishes.apiPort ?? stored.apiPort };
    await refuseTaken(plan, 'stop the process that has it, or choose another --api-port');
    if (plan.apiPort !== stored.apiPort) writePlan(dir, plan);
    return plan;
  }
  const plan = await newPlan(wishes, created);
  checkSocketPaths(plan, dir);
  await refuseTaken(plan, 'choose another port');
  writePlan(dir, plan);
  return plan;
}

/** Throws: StartupError when the plan is damaged, or that of a store without a cluster. */
export function storedPlan(dir: string): ClusterPlan | undefined {
  return readPlan(dir, (value) => parsePlan(value, dir));
}

/** As `storedPlan`. Throws: StartupError when there is none. */
export function requiredPlan(dir: string): ClusterPlan {
  const plan = storedPlan(dir);
  if (plan !== undefined) return plan;
  throw new StartupError(`${dir} holds no cluster`, 'give the --dir of a cluster');
}

/** `plan` without namespaces, for a machine that does not allow them; stored. */
export function onHost(dir: string, plan: ClusterPlan): ClusterPlan {
  const changed = { ...plan, network: 'host' as const, nodes: hostNodes() };
  writePlan(dir, changed);
  return changed;
}

async function newPlan(
  wishes: PlanWishes,
  { network, isTemporary }: Pick<ClusterPlan, 'network' | 'isTemporary'>,
): Promise<ClusterPlan> {
  const { clientPort } = wishes;
  const members = Array.from({ length: wishes.storeMembers ?? DEFAULT_MEMBERS }, (_, i) => ({
    name: `n${i + 1}`,
    ...(clientPort === undefined ? {} : { clientPort: clientPort + i }),
  }));
  const id = randomBytes(3).toString('hex');
  return {
    id,
    token: `mainstay-up-${id}`,
    members,
    network,
    nodes: network === 'host' ? hostNodes() : namespacedNodes(wishes.nodes ?? DEFAULT_NODES),
    apiPort: wishes.apiPort ?? (await freeApiPort()),
    isTemporary,
  };
}

function namespacedNodes(count: number): PlannedNode[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `node-${i + 1}`,
    address: `10.99.0.${FIRST_NODE_HOST + i}`,
    podCidr: `10.244.${i + 1}.0/24`,
  }));
}

function hostNodes(): PlannedNode[] {
  return [{ name: 'node-1', address: HOST, podCidr: '10.244.1.0/24' }];
}

async function freeApiPort(): Promise<number> {
  if ((await takenPorts([API_PORT])).length === 0) return API_PORT;
  const [port = 0] = await freePorts(1);
  return port;
}

function checkStored(plan: ClusterPlan, dir: string, wishes: PlanWishes): void {
  const differ = (what: string, have: number, asked: number | undefined, flag: string): void => {
    if (asked === undefined || asked === have) return;
    throw new StartupError(
      `${dir} holds a cluster with ${what} ${have}, not ${asked}`,
      `leave out ${flag}, or use another --dir`,
    );
  };
  differ('a number of nodes of', plan.nodes.length, wishes.nodes, '--nodes');
  differ('a number of members of', plan.members.length, wishes.storeMembers, '--store-members');
  const clientPort = plan.members[0]?.clientPort ?? 0;
  differ('client ports from', clientPort, wishes.clientPort, '--client-port');
}

async function refuseTaken(plan: ClusterPlan, nextStep: string): Promise<void> {
  const clientPorts = plan.members.flatMap(({ clientPort }) => clientPort ?? []);
  const taken = await takenPorts([plan.apiPort, ...clientPorts]);
  if (taken.length > 0) throw portsTaken(taken, nextStep);
}

function parsePlan(value: unknown, dir: string): ClusterPlan | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if ('members' in value && !('nodes' in value)) {
    throw new StartupError(
      `${dir} holds a store without a cluster on it`,
      'use --store-only, or another --dir',
    );
  }
  return isPlan(value) ? value : undefined;
}

function isPlan(value: object): value is ClusterPlan {
  const plan = value as Partial<Record<keyof ClusterPlan, unknown>>;
  return (
    typeof plan.id === 'string' &&
    /^[0-9a-f]{6}$/.test(plan.id) &&
    typeof plan.token === 'string' &&
    (plan.network === 'namespaces' || plan.network === 'host') &&
    typeof plan.apiPort === 'number' &&
    typeof plan.isTemporary === 'boolean' &&
    isFilledList(plan.members, isMember) &&
    isFilledList(plan.nodes, isNode)
  );
}

function isFilledList(value: unknown, isEntry: (entry: object) => boolean): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((entry) => typeof entry === 'object' && entry !== null && isEntry(entry as object))
  );
}

function isMember(entry: object): boolean {
  const { name, clientPort } = entry as Partial<Record<keyof PlannedStoreMember, unknown>>;
  return typeof name === 'string' && (clientPort === undefined || typeof clientPort === 'number');
}

function isNode(entry: object): boolean {
  const node = entry as Partial<Record<keyof PlannedNode, unknown>>;
  return [node.name, node.address, node.podCidr].every((text) => typeof text === 'string');
}
