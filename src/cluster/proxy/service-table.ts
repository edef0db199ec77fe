/**
 * Table that the proxy makes of a service and its endpoint slices: for each port, the targets of
 * packets from this node. Pure.
 */
import type { Service, ServicePort } from '../../gen/kube-core-v1.js';
import type { Endpoint, EndpointSlice } from '../../gen/kube-discovery-v1.js';

export interface Target {
  readonly ip: string;
  readonly port: number;
}

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** One port that leads to endpoints: of a service, or a host port of a pod (host-ports.ts). */
export interface PortEntry {
  /** Unique, and the same while the port exists: names chains. */
  readonly id: string;
  readonly protocol: Protocol;
  /** Empty: none. */
  readonly clusterIp: string;
  /** Of `clusterIp` and `externalIps`. */
  readonly port: number;
  /** On all addresses of the node but loopback; 0: none. */
  readonly nodePort: number;
  /** Further addresses that lead here, from outside the cluster. */
  readonly externalIps: readonly string[];
  /** On all nodes. */
  readonly all: readonly Target[];
  /** Those of `all` on this node; with none ready here, those here that end and still serve. */
  readonly local: readonly Target[];
  /** Packets from inside go to this node's endpoints or nowhere. */
  readonly isInternalLocal: boolean;
  /** Packets from outside go to this node's endpoints or nowhere, and keep their source. */
  readonly isExternalLocal: boolean;
  /** Seconds for which one client stays with one endpoint; 0: not at all. */
  readonly affinitySeconds: number;
}

const PROTOCOLS: Readonly<Record<string, Protocol>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };
const DEFAULT_AFFINITY_SECONDS = 10_800;

/** As `TCP`, which it also is when absent. */
export function protocolOf(name: string | undefined): Protocol {
  return PROTOCOLS[name ?? 'TCP'] ?? 'tcp';
}

/** Has a cluster IP that packets can be sent to. */
export function hasClusterIp({ spec }: Service): boolean {
  const { clusterIP = '', type } = spec;
  return clusterIP !== '' && clusterIP !== 'None' && type !== 'ExternalName';
}

/** One entry a port of the service; none without a cluster IP. */
export function serviceEntries(
  service: Service,
  slices: readonly EndpointSlice[],
  nodeName: string,
): PortEntry[] {
  if (!hasClusterIp(service)) return [];
  const usable = slices.filter(({ addressType }) => addressType === 'IPv4');
  return (service.spec.ports ?? []).map((port) => entryOf(service, port, usable, nodeName));
}

function entryOf(
  { metadata, spec }: Service,
  port: ServicePort,
  slices: readonly EndpointSlice[],
  nodeName: string,
): PortEntry {
  const protocol = protocolOf(port.protocol);
  const candidates = candidatesOf(slices, port);
  const timeout = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  return {
    id: `${metadata.namespace ?? ''}/${metadata.name ?? ''}/${protocol}/${port.name ?? ''}`,
    protocol,
    clusterIp: spec.clusterIP ?? '',
    port: port.port,
    nodePort: port.nodePort ?? 0,
    externalIps: spec.externalIPs ?? [],
    all: usableOf(candidates),
    local: usableOf(candidates.filter(({ endpoint }) => endpoint.nodeName === nodeName)),
    isInternalLocal: spec.internalTrafficPolicy === 'Local',
    isExternalLocal: spec.externalTrafficPolicy === 'Local',
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP' ? (timeout ?? DEFAULT_AFFINITY_SECONDS) : 0,
  };
}

interface Candidate extends Target {
  readonly endpoint: Endpoint;
}

function candidatesOf(slices: readonly EndpointSlice[], port: ServicePort): Candidate[] {
  const candidates: Candidate[] = [];
  for (const { endpoints, ports } of slices) {
    const found = ports?.find(
      ({ name = '', protocol }) =>
        name === (port.name ?? '') && protocolOf(protocol) === protocolOf(port.protocol),
    );
    if (found?.port === undefined) continue;
    for (const endpoint of endpoints ?? []) {
      const [ip] = endpoint.addresses;
      if (ip !== undefined) candidates.push({ ip, port: found.port, endpoint });
    }
  }
  return candidates;
}

/** Ready endpoints; when there are none, those that end and still serve (KEP-1669). */
function usableOf(candidates: readonly Candidate[]): Target[] {
  const ready = candidates.filter(({ endpoint: { conditions } }) => conditions?.ready ?? true);
  const chosen =
    ready.length > 0
      ? ready
      : candidates.filter(
          ({ endpoint: { conditions } }) =>
            conditions?.terminating === true && conditions.serving === true,
        );
  // Sorted and once each, as one endpoint may be in two slices for a moment.
  const targets = new Map(chosen.map(({ ip, port }) => [`${ip}:${port}`, { ip, port }]));
  return [...targets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, target]) => target);
}
