/**
 * What the proxy makes of services and endpoint slices: for each port of each service, where
 * packets go from this node. Pure.
 */
import type { Service, ServicePort } from '../../gen/kube-core-v1.js';
import type { Endpoint, EndpointSlice } from '../../gen/kube-discovery-v1.js';

export interface Target {
  readonly ip: string;
  readonly port: number;
}

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** One port of a service. */
export interface ServiceEntry {
  /** `namespace/name/protocol/port name`: names chains, and stays the same while the port exists. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly clusterIp: string;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
  /** Further addresses that lead here, from outside the cluster. */
  readonly externalIps: readonly string[];
  /** For packets from inside the cluster. */
  readonly internal: readonly Target[];
  /** For packets from outside. */
  readonly external: readonly Target[];
  /** Packets from outside keep their source, as they go to this node's endpoints only. */
  readonly isExternalLocal: boolean;
  /** Packets from inside go to this node's endpoints or nowhere. */
  readonly isInternalLocal: boolean;
  /** Seconds for which one client stays with one endpoint; 0: not at all. */
  readonly affinitySeconds: number;
}

const PROTOCOLS: Readonly<Record<string, Protocol>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };
const DEFAULT_AFFINITY_SECONDS = 10_800;

/** Entries of all services that have a cluster IP, sorted by id. */
export function serviceEntries(
  services: Iterable<Service>,
  slicesOf: (service: Service) => readonly EndpointSlice[],
  nodeName: string,
): ServiceEntry[] {
  const entries: ServiceEntry[] = [];
  for (const service of services) {
    const { clusterIP = '', type, ports = [] } = service.spec;
    if (clusterIP === '' || clusterIP === 'None' || type === 'ExternalName') continue;
    const slices = slicesOf(service).filter(({ addressType }) => addressType === 'IPv4');
    for (const port of ports) entries.push(entryOf(service, port, slices, nodeName));
  }
  return entries.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function entryOf(
  { metadata, spec }: Service,
  port: ServicePort,
  slices: readonly EndpointSlice[],
  nodeName: string,
): ServiceEntry {
  const { namespace = '', name = '' } = metadata;
  const protocol = PROTOCOLS[port.protocol ?? 'TCP'] ?? 'tcp';
  const candidates = candidatesOf(slices, port);
  const isInternalLocal = spec.internalTrafficPolicy === 'Local';
  const isExternalLocal = spec.externalTrafficPolicy === 'Local';
  const isLocal = ({ endpoint }: Candidate): boolean => endpoint.nodeName === nodeName;
  const local = candidates.filter(isLocal);
  const timeout = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  return {
    id: `${namespace}/${name}/${protocol}/${port.name ?? ''}`,
    protocol,
    clusterIp: spec.clusterIP ?? '',
    port: port.port,
    nodePort: port.nodePort ?? 0,
    externalIps: spec.externalIPs ?? [],
    internal: usable(isInternalLocal ? local : candidates),
    external: usable(isExternalLocal ? local : candidates),
    isExternalLocal,
    isInternalLocal,
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
    const found = ((ports as typeof ports | null) ?? []).find(
      (one) =>
        (one.name ?? '') === (port.name ?? '') &&
        (one.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    );
    if (found?.port === undefined) continue;
    for (const endpoint of (endpoints as typeof endpoints | null) ?? []) {
      const [ip] = endpoint.addresses;
      if (ip !== undefined) candidates.push({ ip, port: found.port, endpoint });
    }
  }
  return candidates;
}

/** Ready endpoints; when there are none, those that end and still serve (KEP-1669). */
function usable(candidates: readonly Candidate[]): Target[] {
  const ready = candidates.filter(({ endpoint: { conditions } }) => conditions?.ready ?? true);
  const chosen =
    ready.length > 0
      ? ready
      : candidates.filter(
          ({ endpoint: { conditions } }) =>
            conditions?.terminating === true && (conditions.serving ?? false),
        );
  const targets = new Map(chosen.map(({ ip, port }) => [`${ip}:${port}`, { ip, port }]));
  return [...targets.keys()].sort().flatMap((key) => targets.get(key) ?? []);
}
