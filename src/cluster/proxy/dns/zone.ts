/**
 * Names of the cluster, looked up in what services and endpoint slices say at that moment: the
 * records of kubernetes/dns specification 1.1.0, and those of pods by their address.
 */
import { isIPv4 } from 'node:net';
import type { Answer } from 'dns-packet';
import type { Service } from '../../../gen/kube-core-v1.js';
import type { Endpoint, EndpointSlice } from '../../../gen/kube-discovery-v1.js';
import { keyOf, type Informer } from '../../client/informer.js';
import { ENDPOINT_SLICES, SERVICES } from '../../client/resource-types.js';
import type { SharedInformers } from '../../client/shared-informers.js';
import { hasClusterIp } from '../service-table.js';
import { serviceKeyOf } from '../slices.js';

/** Seconds for which answers may be kept, also those that say no. */
const TTL = 5;
const SCHEMA_VERSION = '1.1.0';
const REVERSE = '.in-addr.arpa';
const SRV_WEIGHT = 100;
const REFRESH = 7_200;
const RETRY = 1_800;
const EXPIRE = 86_400;

export class ClusterZone {
  /** Lower case, without a dot at its end. */
  readonly domain: string;
  private readonly services: Informer<Service>;
  private readonly slices: Informer<EndpointSlice>;
  private readonly slicesOf: (serviceKey: string) => readonly EndpointSlice[];
  private readonly servicesByIp: (ip: string) => readonly Service[];
  private readonly slicesByIp: (ip: string) => readonly EndpointSlice[];

  constructor(informers: SharedInformers, domain: string) {
    this.domain = domain.toLowerCase().replace(/\.$/, '');
    this.services = informers.of(SERVICES);
    this.servicesByIp = this.services.index(({ spec }) => [spec.clusterIP ?? '']);
    this.slices = informers.of(ENDPOINT_SLICES);
    this.slicesOf = this.slices.index((slice) => [serviceKeyOf(slice)]);
    this.slicesByIp = this.slices.index(({ endpoints }) =>
      (endpoints ?? []).flatMap((endpoint) => endpoint.addresses),
    );
  }

  /** All services and their endpoints are known. */
  get isComplete(): boolean {
    return this.services.hasSynced && this.slices.hasSynced;
  }

  /** This zone alone knows about `name` (lower case). */
  owns(name: string): boolean {
    return name === this.domain || name.endsWith(`.${this.domain}`);
  }

  /**
   * All records of a name in lower case, whatever their type. Empty: the name has none but exists.
   * Undefined: it does not exist; an address in reverse may be known elsewhere.
   */
  lookup(name: string): Answer[] | undefined {
    if (name.endsWith(REVERSE)) return this.reverse(name);
    if (name === this.domain) return [this.authority(0)];
    const labels = name.slice(0, -this.domain.length - 1).split('.');
    const kind = labels.pop() ?? '';
    if (kind === 'svc') return this.inServices(name, labels);
    if (kind === 'pod') return this.inPods(name, labels);
    if (kind !== 'dns-version' || labels.length > 0) return undefined;
    return [{ type: 'TXT', name, ttl: TTL, data: SCHEMA_VERSION }];
  }

  /** SOA, which stands beside an answer that says no (RFC 2308). `serial` in seconds. */
  authority(serial: number): Answer {
    const data = {
      mname: `ns.dns.${this.domain}`,
      rname: `hostmaster.${this.domain}`,
      serial,
      refresh: REFRESH,
      retry: RETRY,
      expire: EXPIRE,
      minimum: TTL,
    };
    return { type: 'SOA', name: this.domain, ttl: TTL, data };
  }

  private inServices(name: string, labels: string[]): Answer[] | undefined {
    const namespace = labels.pop();
    if (namespace === undefined) return [];
    const serviceName = labels.pop();
    if (serviceName === undefined) {
      return this.services.list(namespace).length === 0 ? undefined : [];
    }
    const service = this.services.get(namespace, serviceName);
    if (service === undefined) return undefined;
    const { type, externalName = '', clusterIP } = service.spec;
    if (type === 'ExternalName') {
      if (labels.length > 0) return undefined;
      return [{ type: 'CNAME', name, ttl: TTL, data: externalName.replace(/\.$/, '') }];
    }
    const below = labels.pop();
    const last = labels.pop();
    if (labels.length > 0) return undefined;
    if (below === undefined) {
      return hasClusterIp(service)
        ? [address(name, clusterIP ?? '')]
        : addresses(name, this.endpointsOf(service));
    }
    if (below.startsWith('_')) return this.ports(name, service, below, last);
    if (last !== undefined) return undefined;
    const named = this.endpointsOf(service).filter(
      ({ endpoint }) => endpointName(endpoint) === below,
    );
    return named.length === 0 ? undefined : addresses(name, named);
  }

  /** SRV of `_port._protocol`; `port` undefined: the name above them. */
  private ports(
    name: string,
    service: Service,
    protocol: string,
    port: string | undefined,
  ): Answer[] | undefined {
    const found = [...this.portsOf(service)].filter((one) => one.protocol === protocol);
    if (port === undefined) return found.length === 0 ? undefined : [];
    const named = found.filter((one) => one.port === port);
    if (named.length === 0) return undefined;
    return named.map(({ target, number }) => ({
      type: 'SRV',
      name,
      ttl: TTL,
      data: { priority: 0, weight: SRV_WEIGHT, port: number, target },
    }));
  }

  private *portsOf(service: Service): Generator<{
    readonly port: string;
    readonly protocol: string;
    readonly number: number;
    readonly target: string;
  }> {
    const base = this.nameOf(service);
    if (hasClusterIp(service)) {
      for (const { name = '', protocol = 'TCP', port } of service.spec.ports ?? []) {
        yield { ...labelsOf(name, protocol), number: port, target: base };
      }
      return;
    }
    for (const { endpoint, slice } of this.endpointsOf(service)) {
      for (const { name = '', protocol = 'TCP', port = 0 } of slice.ports ?? []) {
        const target = `${endpointName(endpoint)}.${base}`;
        yield { ...labelsOf(name, protocol), number: port, target };
      }
    }
  }

  /** `a-b-c-d.namespace.pod`, whether there is such a pod or not. */
  private inPods(name: string, labels: readonly string[]): Answer[] | undefined {
    if (labels.length < 2) return [];
    const ip = (labels[0] ?? '').replace(/-/g, '.');
    return labels.length === 2 && isIPv4(ip) ? [address(name, ip)] : undefined;
  }

  private reverse(name: string): Answer[] | undefined {
    const ip = name.slice(0, -REVERSE.length).split('.').reverse().join('.');
    if (!isIPv4(ip)) return undefined;
    const names = this.servicesByIp(ip).map((service) => this.nameOf(service));
    for (const slice of this.slicesByIp(ip)) {
      const service = this.services.getByKey(serviceKeyOf(slice));
      if (service === undefined || hasClusterIp(service)) continue;
      for (const endpoint of readyEndpoints(slice)) {
        if (!endpoint.addresses.includes(ip)) continue;
        names.push(`${endpointName(endpoint)}.${this.nameOf(service)}`);
      }
    }
    if (names.length === 0) return undefined;
    return [...new Set(names)].map((data) => ({ type: 'PTR', name, ttl: TTL, data }));
  }

  private endpointsOf(
    service: Service,
  ): { readonly endpoint: Endpoint; readonly slice: EndpointSlice }[] {
    return this.slicesOf(keyOf(service))
      .filter(({ addressType }) => addressType === 'IPv4')
      .flatMap((slice) => readyEndpoints(slice).map((endpoint) => ({ endpoint, slice })));
  }

  private nameOf({ metadata }: Service): string {
    return `${metadata.name ?? ''}.${metadata.namespace ?? ''}.svc.${this.domain}`;
  }
}

/** Addresses that are published although not ready are marked as ready by who made the slice. */
function readyEndpoints({ endpoints }: EndpointSlice): Endpoint[] {
  return (endpoints ?? []).filter(({ conditions }) => conditions?.ready ?? true);
}

/** Host name of the endpoint, or its address with dashes. */
function endpointName({ hostname = '', addresses: [ip = ''] }: Endpoint): string {
  return hostname === '' ? ip.replace(/\./g, '-') : hostname.toLowerCase();
}

function labelsOf(name: string, protocol: string): { port: string; protocol: string } {
  return { port: `_${name.toLowerCase()}`, protocol: `_${protocol.toLowerCase()}` };
}

function addresses(name: string, endpoints: readonly { readonly endpoint: Endpoint }[]): Answer[] {
  const ips = new Set(endpoints.flatMap(({ endpoint }) => endpoint.addresses));
  return [...ips].map((ip) => address(name, ip));
}

function address(name: string, data: string): Answer {
  return { type: 'A', name, ttl: TTL, data };
}
