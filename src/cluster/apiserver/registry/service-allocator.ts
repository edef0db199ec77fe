/**
 * Cluster addresses and node ports of services. A claim on each stands in the store as long as its
 * service does, so that two API servers never give one twice.
 */
import type { Service, ServicePort } from '../../../gen/kube-core-v1.js';
import {
  allocationsOf,
  clusterIpProblem,
  HEADLESS,
  hasClusterIp,
  needsClusterIp,
  needsHealthCheckNodePort,
  NODE_PORT_RANGE,
  nodePortProblem,
  portsWithoutNodePort,
} from '../../api/kinds/core/service-rules.js';
import type { KubeObject } from '../../api/object.js';
import { internalError, invalid, type FieldError } from '../../api/status.js';
import { fieldInvalid } from '../../api/validation/field-error.js';
import type { ClusterEnv } from '../../env.js';
import type { Allocator } from './allocator.js';

const OF = { group: '', resource: 'Service' };
/** Addresses at the beginning of the range that are given only when asked for by number. */
const STATIC_ADDRESSES = 256;

export class ServiceAllocator implements Allocator {
  private readonly env: ClusterEnv;
  private readonly cidr: string;
  private readonly range: Ipv4Range;
  private readonly claimed: () => Iterable<string>;

  /** `cidr` as in 10.96.0.0/16. `claimed` gives the claims of all services that are known. */
  constructor(env: ClusterEnv, cidr: string, claimed: () => Iterable<string>) {
    this.env = env;
    this.cidr = cidr;
    this.range = parseRange(cidr);
    this.claimed = claimed;
  }

  allocate(
    object: KubeObject,
    before: KubeObject | undefined,
    refused: ReadonlySet<string>,
    isDryRun: boolean,
  ): void {
    const service = object as Service;
    const old = before as Service | undefined;
    const held = new Set(old === undefined ? [] : this.claimsOf(old));
    this.checkAddresses(service, held, refused);
    if (!isDryRun) checkPorts(service, held, refused);
    const isTaken = this.takenTest(refused);
    if (needsClusterIp(service)) this.giveAddress(service, isTaken);
    const taken = new Set(allocationsOf(service).nodePorts);
    for (const ports of portsWithoutNodePort(service, old === undefined)) {
      const nodePort = this.freePort(taken, isTaken);
      for (const port of ports) port.nodePort = nodePort;
    }
    if (needsHealthCheckNodePort(service)) {
      service.spec.healthCheckNodePort = this.freePort(taken, isTaken);
    }
  }

  claimsOf(object: KubeObject): string[] {
    return claimsOfService(object as Service);
  }

  /** Addresses that the client chose: in range, and nobody else's. */
  private checkAddresses(
    service: Service,
    held: ReadonlySet<string>,
    refused: ReadonlySet<string>,
  ): void {
    const errors: FieldError[] = [];
    const { clusterIPs = [] } = service.spec;
    for (const address of hasClusterIp(service) ? clusterIPs : []) {
      if (address === HEADLESS || held.has(addressClaim(address))) continue;
      const isTaken = refused.has(addressClaim(address));
      const outside = clusterIpProblem(address, this.cidr);
      const why = outside === '' && isTaken ? 'provided IP is already allocated' : outside;
      if (why === '') continue;
      const detail = `failed to allocate IP ${address}: ${why}`;
      errors.push(fieldInvalid('spec.clusterIPs', [address], detail));
    }
    if (errors.length > 0) throw invalid(OF, service.metadata.name ?? '', errors);
  }

  /** All claims are gathered only once a guess was wrong. */
  private takenTest(refused: ReadonlySet<string>): (claim: string) => boolean {
    if (refused.size === 0) return () => false;
    const claimed = new Set([...this.claimed(), ...refused]);
    return (claim) => claimed.has(claim);
  }

  private giveAddress({ spec }: Service, isTaken: (claim: string) => boolean): void {
    const { size } = this.range;
    // Neither the network's own address nor the last one is given.
    const begin = Math.max(1, Math.min(STATIC_ADDRESSES, size >>> 1));
    const address =
      this.freeAddress(begin, size - 1, isTaken) ?? this.freeAddress(1, begin, isTaken);
    if (address === undefined) {
      throw internalError('failed to allocate a serviceIP: range is full');
    }
    spec.clusterIP = address;
    spec.clusterIPs = [address];
  }

  /** An address whose offset is from `begin` to below `end`: one by chance, or the next that is free. */
  private freeAddress(
    begin: number,
    end: number,
    isTaken: (claim: string) => boolean,
  ): string | undefined {
    const count = end - begin;
    const start = this.env.randomU32() % Math.max(1, count);
    for (let i = 0; i < count; i++) {
      const address = addressText(this.range.first + begin + ((start + i) % count));
      if (!isTaken(addressClaim(address))) return address;
    }
    return undefined;
  }

  private freePort(taken: Set<number>, isTaken: (claim: string) => boolean): number {
    const { first, last } = NODE_PORT_RANGE;
    const count = last - first + 1;
    const start = this.env.randomU32() % count;
    for (let i = 0; i < count; i++) {
      const port = first + ((start + i) % count);
      if (taken.has(port) || isTaken(portClaim(port))) continue;
      taken.add(port);
      return port;
    }
    throw internalError('failed to allocate a nodePort: range is full');
  }
}

/** Claims that a service holds. */
export function claimsOfService(service: Service): string[] {
  const { clusterIps, nodePorts } = allocationsOf(service);
  return [...clusterIps.map(addressClaim), ...nodePorts.map(portClaim)];
}

function checkPorts(
  { metadata, spec }: Service,
  held: ReadonlySet<string>,
  refused: ReadonlySet<string>,
): void {
  const errors = (spec.ports ?? []).flatMap((port, i) =>
    portErrors(port, `spec.ports[${i}].nodePort`, held, refused),
  );
  if (errors.length > 0) throw invalid(OF, metadata.name ?? '', errors);
}

function portErrors(
  { nodePort = 0 }: ServicePort,
  field: string,
  held: ReadonlySet<string>,
  refused: ReadonlySet<string>,
): FieldError[] {
  if (nodePort === 0 || held.has(portClaim(nodePort))) return [];
  const outside = nodePortProblem(nodePort);
  if (outside !== '') return [fieldInvalid(field, nodePort, outside)];
  if (!refused.has(portClaim(nodePort))) return [];
  return [fieldInvalid(field, nodePort, 'provided port is already allocated')];
}

function addressClaim(address: string): string {
  return `serviceips/${address}`;
}

function portClaim(port: number): string {
  return `servicenodeports/${port}`;
}

interface Ipv4Range {
  readonly first: number;
  readonly size: number;
}

function parseRange(cidr: string): Ipv4Range {
  const [address = '', bits = ''] = cidr.split('/');
  const size = 2 ** (32 - Number(bits));
  return { first: addressNumber(address), size };
}

/** The address at an offset of a range, as 10.96.0.10. */
export function addressAt(cidr: string, offset: number): string {
  return addressText(parseRange(cidr).first + offset);
}

function addressNumber(address: string): number {
  return address.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

function addressText(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}
