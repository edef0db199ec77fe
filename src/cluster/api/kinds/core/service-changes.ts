/**
 * Changes that a write of a Service makes beside those the client asks for. Values that belong
 * together are kept together, and those that the new type has no use for are cleared.
 */
import type { Service, ServiceSpec } from '../../../../gen/kube-core-v1.js';
import { isSameValue } from '../../validation/field-error.js';
import { parseIp } from '../../validation/ip.js';
import {
  HEADLESS,
  hasClusterIp,
  hasHealthCheckNodePort,
  hasNodePorts,
  INTERNAL_POLICIES,
  isExternal,
  portsWithoutNodePort,
} from './service-rules.js';

export function prepareServiceCreate(service: Service): void {
  const { spec } = service;
  service.status = { loadBalancer: {} };
  if (isGiven(spec.clusterIP) && !isGiven(spec.clusterIPs)) spec.clusterIPs = [spec.clusterIP];
  fillFamilies(service, undefined);
  shareNodePorts(service);
  dropInternalPolicy(spec);
}

export function prepareServiceUpdate(next: Service, old: Service): void {
  if (next.spec.type === 'LoadBalancer') next.status = old.status;
  else next.status = { ...old.status, loadBalancer: {} };
  keepAllocations(next, old);
  alignClusterIps(next.spec, old.spec);
  fillFamilies(next, old);
  clearUnused(next, old);
  dropInternalPolicy(next.spec);
}

function isGiven<T extends string | number | readonly unknown[]>(value: T | undefined): value is T {
  if (value === undefined) return false;
  return typeof value === 'number' ? value !== 0 : value.length > 0;
}

/** Ports of a new service with the same number share the node port that one of them asks for. */
function shareNodePorts(service: Service): void {
  const given = (service.spec.ports ?? []).filter(({ nodePort }) => isGiven(nodePort));
  for (const port of portsWithoutNodePort(service, true).flat()) {
    const other = given.find((candidate) => candidate.port === port.port);
    if (other !== undefined) port.nodePort = other.nodePort;
  }
}

/** A client that leaves out allocated values, as one that applies a file, keeps them. */
function keepAllocations(next: Service, old: Service): void {
  if (hasClusterIp(next) && hasClusterIp(old)) {
    if (!isGiven(next.spec.clusterIP)) next.spec.clusterIP = old.spec.clusterIP;
    if (!isGiven(next.spec.clusterIPs)) next.spec.clusterIPs = old.spec.clusterIPs;
  }
  if (hasNodePorts(next) && hasNodePorts(old)) keepNodePorts(next.spec, old.spec);
  if (hasHealthCheckNodePort(next) && hasHealthCheckNodePort(old)) {
    if (!isGiven(next.spec.healthCheckNodePort))
      next.spec.healthCheckNodePort = old.spec.healthCheckNodePort;
  }
}

/** A port keeps its node port by its name, unless another port names that number. */
function keepNodePorts(next: ServiceSpec, old: ServiceSpec): void {
  const taken = new Set((next.ports ?? []).map(({ nodePort }) => nodePort));
  const byName = new Map((old.ports ?? []).map(({ name = '', nodePort }) => [name, nodePort]));
  for (const port of next.ports ?? []) {
    if (isGiven(port.nodePort)) continue;
    const held = byName.get(port.name ?? '');
    if (isGiven(held) && !taken.has(held)) port.nodePort = held;
  }
}

/** Clients may change the first cluster IP by the older, single field alone. */
function alignClusterIps(next: ServiceSpec, old: ServiceSpec): void {
  const isSameList = isSameValue(next.clusterIPs, old.clusterIPs);
  if ((next.clusterIP ?? '') === (old.clusterIP ?? '')) {
    if (!isGiven(next.clusterIPs) && isGiven(old.clusterIPs)) next.clusterIPs = old.clusterIPs;
  } else if (isSameList) {
    if (isGiven(next.clusterIP)) next.clusterIPs = [next.clusterIP];
    else delete next.clusterIPs;
  }
}

/**
 * Fills in policy and families of addresses. This cluster has IPv4 only; a headless service without
 * a selector has endpoints that somebody else makes, so it may have both.
 */
function fillFamilies(service: Service, old: Service | undefined): void {
  if (!hasClusterIp(service)) return;
  const { spec } = service;
  const isFree = spec.clusterIP === HEADLESS && Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??= old?.spec.ipFamilyPolicy ?? (isFree ? 'RequireDualStack' : 'SingleStack');
  if (old !== undefined && spec.ipFamilyPolicy === 'SingleStack') keepFirst(spec, old.spec);
  const families = inferFamilies(spec);
  if (families === undefined) return;
  const other = families[0] === 'IPv4' ? 'IPv6' : 'IPv4';
  const needsOther = isFree && families.length < 2 && spec.ipFamilyPolicy !== 'SingleStack';
  spec.ipFamilies = needsOther ? [...families, other] : families;
}

/** A client that asks for a single stack, and for nothing else, gives up the second address. */
function keepFirst(next: ServiceSpec, old: ServiceSpec): void {
  if (isSameValue(next.clusterIPs, old.clusterIPs)) next.clusterIPs = next.clusterIPs?.slice(0, 1);
  if (isSameValue(next.ipFamilies, old.ipFamilies)) next.ipFamilies = next.ipFamilies?.slice(0, 1);
}

/** Undefined when the cluster IPs are not of different families that are here; validation says so. */
function inferFamilies({ ipFamilies = [], clusterIPs = [] }: ServiceSpec): string[] | undefined {
  const unknown = clusterIPs.slice(ipFamilies.length).filter((ip) => ip !== HEADLESS);
  if (unknown.some((ip) => parseIp(ip)?.family !== 'IPv4')) return undefined;
  const families = [...ipFamilies, ...unknown.map(() => 'IPv4')];
  if (new Set(families).size < families.length) return undefined;
  return families.length === 0 ? ['IPv4'] : families;
}

/** A field that the new type has no use for goes, unless the client changes it at the same time. */
function clearUnused(next: Service, old: Service): void {
  const drop = (
    isStillOf: (service: Service) => boolean,
    ...names: (keyof ServiceSpec)[]
  ): void => {
    if (!isStillOf(old) || isStillOf(next)) return;
    if (names.every((name) => isSameValue(next.spec[name], old.spec[name])))
      for (const name of names) Reflect.deleteProperty(next.spec, name);
  };
  const isLoadBalancer = ({ spec }: Service): boolean => spec.type === 'LoadBalancer';
  drop(hasClusterIp, 'clusterIP', 'clusterIPs');
  drop(hasClusterIp, 'ipFamilies');
  drop(hasClusterIp, 'ipFamilyPolicy');
  if (hasNodePorts(old) && !hasNodePorts(next)) clearNodePorts(next.spec, old.spec);
  drop(hasHealthCheckNodePort, 'healthCheckNodePort');
  drop(isLoadBalancer, 'allocateLoadBalancerNodePorts');
  drop(isLoadBalancer, 'loadBalancerClass');
  drop(isExternal, 'externalTrafficPolicy');
}

/** Clients may add, remove and change ports, as long as they name no node port of their own. */
function clearNodePorts(next: ServiceSpec, old: ServiceSpec): void {
  const held = new Set((old.ports ?? []).map(({ nodePort }) => nodePort));
  const ports = next.ports ?? [];
  if (!ports.every(({ nodePort }) => !isGiven(nodePort) || held.has(nodePort))) return;
  for (const port of ports) delete port.nodePort;
}

/** A name in the DNS has no traffic of its own. An unknown policy stays, to be refused. */
function dropInternalPolicy(spec: ServiceSpec): void {
  if (spec.type === 'ExternalName' && INTERNAL_POLICIES.includes(spec.internalTrafficPolicy ?? ''))
    delete spec.internalTrafficPolicy;
}
