/** Configurations of the processes of a cluster on this machine, made of its plan. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import { apiServiceAddress, dnsAddress } from '../../cluster/apiserver/bootstrap/system-objects.js';
import { KUBERNETES_VERSION } from '../../cluster/apiserver/discovery/version.js';
import type { ControlPlaneConfig } from '../../cluster/control-plane/control-plane.js';
import type { FabricPlan } from '../../cluster/fabric/fabric.js';
import type { NodeConfig } from '../../cluster/node-process/node-process.js';
import type { PkiOptions } from '../../cluster/pki/pki.js';
import { systemClusterEnv } from '../../cluster/system-env.js';
import type { ClusterPlan, PlannedStoreMember } from './cluster-plan.js';
import { HOST } from './ports.js';

export const API_PORT = 6443;
const KUBELET_PORT = 10250;
/** Address of the control plane in its namespace. */
const HUB_ADDRESS = '10.99.0.1';
const HUB_PREFIX_LENGTH = 24;
const SERVICE_CIDR = '10.96.0.0/16';
const CLUSTER_DOMAIN = 'cluster.local';
/** Of `sun_path` in Linux, less the end of the text. */
const MAX_SOCKET_PATH = 107;

/** Sockets, and what else only running processes need; mode 0700. */
export function runDir(dir: string): string {
  return join(dir, 'run');
}

function clientSocket(dir: string, member: string): string {
  return join(runDir(dir), `${member}.sock`);
}

function peerSocket(dir: string, member: string): string {
  return join(runDir(dir), `${member}-peer.sock`);
}

export function clientUrl(dir: string, member: PlannedStoreMember): string {
  return `unix://${clientSocket(dir, member.name)}`;
}

/** The flags that start `member` with its data under `dir`. */
export function memberFlags(
  plan: ClusterPlan,
  member: PlannedStoreMember,
  dir: string,
): readonly string[] {
  const peerUrl = (name: string): string => `unix://${peerSocket(dir, name)}`;
  const { name, clientPort } = member;
  const tcp = clientPort === undefined ? [] : [`http://${HOST}:${clientPort}`];
  const clientUrls = [clientUrl(dir, member), ...tcp].join(',');
  return [
    `--name=${name}`,
    `--data-dir=${join(dir, name)}`,
    `--listen-client-urls=${clientUrls}`,
    `--advertise-client-urls=${clientUrls}`,
    `--listen-peer-urls=${peerUrl(name)}`,
    `--initial-advertise-peer-urls=${peerUrl(name)}`,
    `--initial-cluster=${plan.members.map((m) => `${m.name}=${peerUrl(m.name)}`).join(',')}`,
    `--initial-cluster-token=${plan.token}`,
    '--log-format=console',
  ];
}

export function fabricPlan(plan: ClusterPlan): FabricPlan {
  const { id, nodes } = plan;
  return { id, address: HUB_ADDRESS, prefixLength: HUB_PREFIX_LENGTH, nodes };
}

/** Address and port at which the API server listens, and nodes reach it. */
function apiServerAddress(plan: ClusterPlan): { address: string; port: number } {
  return plan.network === 'host'
    ? { address: HOST, port: plan.apiPort }
    : { address: HUB_ADDRESS, port: API_PORT };
}

export function pkiDir(dir: string): string {
  return join(dir, 'pki');
}

export function controlPlaneConfig(plan: ClusterPlan, dir: string): ControlPlaneConfig {
  return {
    storeEndpoints: plan.members.map((member) => clientUrl(dir, member)),
    pkiDir: pkiDir(dir),
    ...apiServerAddress(plan),
    serviceCidr: SERVICE_CIDR,
  };
}

/** Throws: StartupError when the plan has no node of this name. */
export function nodeConfig(plan: ClusterPlan, dir: string, name: string): NodeConfig {
  const node = plan.nodes.find((candidate) => candidate.name === name);
  if (node === undefined) {
    const names = plan.nodes.map((candidate) => candidate.name).join(', ');
    throw new StartupError(`the cluster in ${dir} has no node ${name}`, `choose among ${names}`);
  }
  const { address, port } = apiServerAddress(plan);
  return {
    ...node,
    ownsNetwork: plan.network === 'namespaces',
    rootDir: join(dir, name),
    stateDir: join(machineDir(plan), name),
    controlSocket: join(runDir(dir), `${name}.sock`),
    cgroupRoot: `mainstay-${plan.id}-${name}`,
    pkiDir: pkiDir(dir),
    apiServer: `https://${address}:${port}`,
    kubeletPort: plan.network === 'host' ? 0 : KUBELET_PORT,
    clusterDns: dnsAddress(SERVICE_CIDR),
    clusterDomain: CLUSTER_DOMAIN,
    version: KUBERNETES_VERSION,
  };
}

/** Directory of files that must not outlive the machine's restart. */
export function machineDir(plan: ClusterPlan): string {
  const parent = process.geteuid?.() === 0 ? '/run' : tmpdir();
  return join(parent, `mainstay-${plan.id}`);
}

export function pkiOptions({ nodes }: ClusterPlan): PkiOptions {
  return {
    env: systemClusterEnv(),
    names: [],
    ips: [HUB_ADDRESS, apiServiceAddress(SERVICE_CIDR)],
    nodes: nodes.map(({ name, address }) => ({ name, ips: [address] })),
  };
}

/** Throws: StartupError when the names of sockets would be longer than the kernel takes. */
export function checkSocketPaths(plan: ClusterPlan, dir: string): void {
  const longest = plan.members.map(({ name }) => peerSocket(dir, name)).at(-1) ?? '';
  if (Buffer.byteLength(longest) <= MAX_SOCKET_PATH) return;
  throw new StartupError(
    `${dir} is too long a path: names of sockets in it would have more than ${MAX_SOCKET_PATH} bytes`,
    'use a --dir with a shorter path',
  );
}
