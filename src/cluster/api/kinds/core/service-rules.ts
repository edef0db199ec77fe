/**
 * Addresses and ports that a Service needs by its type. The API server allocates cluster IPs and
 * node ports by these pure rules.
 */
import type { Service, ServicePort } from '../../../../gen/kube-core-v1.js';
import { ipText, isInBlock, parseIp, parseIpBlock, type IpAddress } from '../../validation/ip.js';

/** Cluster IPs are allocated from this range unless the API server is told another. */
export const SERVICE_IP_RANGE = '10.96.0.0/16';
/** Node ports are allocated from this range; both ends belong to it. */
export const NODE_PORT_RANGE = { first: 30_000, last: 32_767 } as const;

/** In place of a cluster IP: the service's name leads to its pods, without a balancer. */
export const HEADLESS = 'None';

/** Values of internalTrafficPolicy: traffic of the cluster goes to all endpoints, or the node's. */
export const INTERNAL_POLICIES: readonly string[] = ['Cluster', 'Local'];

export function isHeadless({ spec }: Service): boolean {
  return spec.clusterIPs?.length === 1 && spec.clusterIPs[0] === HEADLESS;
}

/** The service has a cluster IP, even if it is `None`. An ExternalName is a name in the DNS only. */
export function hasClusterIp({ spec }: Service): boolean {
  return spec.type !== 'ExternalName';
}

/** A cluster IP is to be allocated. */
export function needsClusterIp(service: Service): boolean {
  return hasClusterIp(service) && (service.spec.clusterIP ?? '') === '';
}

/** Ports of the service may have node ports. */
export function hasNodePorts({ spec }: Service): boolean {
  return spec.type === 'NodePort' || spec.type === 'LoadBalancer';
}

/** The service has a port where load balancers ask which nodes have endpoints of it. */
export function hasHealthCheckNodePort({ spec }: Service): boolean {
  return spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
}

export function needsHealthCheckNodePort(service: Service): boolean {
  return hasHealthCheckNodePort(service) && (service.spec.healthCheckNodePort ?? 0) === 0;
}

/** Traffic from outside the cluster reaches the service. */
export function isExternal(service: Service): boolean {
  const { type, externalIPs = [] } = service.spec;
  return hasNodePorts(service) || (type === 'ClusterIP' && externalIPs.length > 0);
}

/**
 * The ports that are to get a node port. Those of one group share one: they have the same port
 * number and differ in protocol. Only a new service's ports share.
 */
export function portsWithoutNodePort(service: Service, isNew: boolean): ServicePort[][] {
  const { type, ports = [], allocateLoadBalancerNodePorts } = service.spec;
  if (type !== 'NodePort' && !(type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false))
    return [];
  const missing = ports.filter(({ nodePort = 0 }) => nodePort === 0);
  if (!isNew) return missing.map((port) => [port]);
  const groups = new Map<number, ServicePort[]>();
  for (const port of missing) groups.set(port.port, [...(groups.get(port.port) ?? []), port]);
  return [...groups.values()];
}

/** Allocated values of a service. */
export interface Allocations {
  /** Without `None`. */
  readonly clusterIps: readonly string[];
  /** Port numbers, that of the health check included; each once. */
  readonly nodePorts: readonly number[];
}

export function allocationsOf({ spec }: Service): Allocations {
  const ports = (spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0);
  const nodePorts = [...ports, spec.healthCheckNodePort ?? 0].filter((port) => port !== 0);
  return {
    clusterIps: (spec.clusterIPs ?? []).filter((ip) => ip !== HEADLESS),
    nodePorts: [...new Set(nodePorts)],
  };
}

/** Fault of a node port that a client chose, as a message; empty for a good one. */
export function nodePortProblem(port: number): string {
  const { first, last } = NODE_PORT_RANGE;
  if (port >= first && port <= last) return '';
  return `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
}

/**
 * Fault of a cluster IP that a client chose, as a message; empty for a good one. `range` is the
 * cluster's own, in CIDR notation.
 */
export function clusterIpProblem(text: string, range: string): string {
  const address = parseIp(text);
  const block = parseIpBlock(range);
  if (address === undefined || block === undefined || !isInBlock(address, block)) {
    const shown = address === undefined ? text : ipText(address);
    return `the provided IP (${shown}) is not in the valid range. The range of valid IPs is ${range}`;
  }
  if (!isEdge(address, block.prefixBits)) return '';
  return 'the provided network does not match the current range';
}

/** The address of the network itself, or the one that reaches all of it. */
function isEdge({ bytes }: IpAddress, prefixBits: number): boolean {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^(0*|1*)$/.test(bits.slice(prefixBits));
}
