/**
 * The rules that lead packets of services to their endpoints, as named parts of one nftables table:
 * chains with their lines, and maps and sets with their elements. Pure; `table.ts` brings the
 * kernel there.
 *
 * The shape follows kube-proxy's nftables mode: verdict maps lead a packet to the chain of its
 * service in one look-up, whatever the number of services.
 */
import { createHash } from 'node:crypto';
import type { HostPortEntry } from '../host-ports.js';
import type { ServiceEntry, Target } from '../service-table.js';

export interface Ruleset {
  /** Chain -> its lines, hook included. In an order in which no chain names a later one. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Map or set -> how it is declared. */
  readonly containers: ReadonlyMap<string, string>;
  /** Map or set -> element -> what it leads to (empty for a set). Dynamic sets have no elements here. */
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

const ADDRESS_KEY = 'ipv4_addr . inet_proto . inet_service';
const PORT_KEY = 'inet_proto . inet_service';
/** Packets with this mark leave with the node's address as source. */
const MASQUERADE = '0x4000';

const SERVICE_IPS = 'service-ips';
const NODE_PORTS = 'service-nodeports';
const NO_ENDPOINTS = 'no-endpoint-services';
const NO_ENDPOINT_PORTS = 'no-endpoint-nodeports';
const HOST_PORTS = 'host-ports';
const HAIRPIN = 'hairpin';

const CONTAINERS: readonly (readonly [string, string])[] = [
  [SERVICE_IPS, `map ${SERVICE_IPS} { type ${ADDRESS_KEY} : verdict; }`],
  [NODE_PORTS, `map ${NODE_PORTS} { type ${PORT_KEY} : verdict; }`],
  [HOST_PORTS, `map ${HOST_PORTS} { type ${ADDRESS_KEY} : verdict; flags interval; }`],
  [NO_ENDPOINTS, `map ${NO_ENDPOINTS} { type ${ADDRESS_KEY} : verdict; }`],
  [NO_ENDPOINT_PORTS, `map ${NO_ENDPOINT_PORTS} { type ${PORT_KEY} : verdict; }`],
  [HAIRPIN, `set ${HAIRPIN} { type ipv4_addr . ipv4_addr; }`],
];

export function rulesetOf(
  entries: readonly ServiceEntry[],
  hostPorts: readonly HostPortEntry[],
): Ruleset {
  const builder = new Builder();
  for (const entry of entries) builder.service(entry);
  for (const entry of hostPorts) builder.hostPort(entry);
  return builder.finish();
}

class Builder {
  private readonly chains = new Map<string, string[]>();
  private readonly containers = new Map<string, string>(CONTAINERS);
  private readonly elements = new Map<string, Map<string, string>>(
    CONTAINERS.map(([name]) => [name, new Map()]),
  );

  constructor() {
    this.chains.set('mark-for-masquerade', [`meta mark set meta mark or ${MASQUERADE}`]);
    this.chains.set('reject', ['meta l4proto tcp reject with tcp reset', 'reject']);
  }

  service(entry: ServiceEntry): void {
    const { protocol, clusterIp, port, nodePort, externalIps } = entry;
    const id = shortId(entry.id);
    const internal = this.balancer(`service-${id}`, entry, entry.internal);
    const address = (ip: string): string => `${ip} . ${protocol} . ${port}`;
    if (internal !== undefined) this.element(SERVICE_IPS, address(clusterIp), `goto ${internal}`);
    else
      this.element(
        NO_ENDPOINTS,
        address(clusterIp),
        entry.isInternalLocal ? 'drop' : 'goto reject',
      );
    if (nodePort === 0 && externalIps.length === 0) return;
    const external = this.external(id, entry, internal);
    const refused = entry.isExternalLocal ? 'drop' : 'goto reject';
    for (const ip of externalIps) {
      if (external !== undefined) this.element(SERVICE_IPS, address(ip), `goto ${external}`);
      else this.element(NO_ENDPOINTS, address(ip), refused);
    }
    if (nodePort === 0) return;
    const element = `${protocol} . ${nodePort}`;
    if (external !== undefined) this.element(NODE_PORTS, element, `goto ${external}`);
    else this.element(NO_ENDPOINT_PORTS, element, refused);
  }

  hostPort({ protocol, hostIp, hostPort, target }: HostPortEntry): void {
    const chain = `hostport-${protocol}-${hostPort}-${hostIp === '' ? 'any' : hostIp}`;
    this.chains.set(chain, [
      // A pod that reaches itself by the node's address needs another source.
      `ip saddr ${target.ip} jump mark-for-masquerade`,
      dnat(protocol, target),
    ]);
    const ip = hostIp === '' ? '0.0.0.0/0' : hostIp;
    this.element(HOST_PORTS, `${ip} . ${protocol} . ${hostPort}`, `goto ${chain}`);
  }

  finish(): Ruleset {
    for (const [name, lines] of BASE_CHAINS) this.chains.set(name, [...lines]);
    return { chains: this.chains, containers: this.containers, elements: this.elements };
  }

  /** Chain for packets from outside; undefined: there is no endpoint for them. */
  private external(
    id: string,
    entry: ServiceEntry,
    internal: string | undefined,
  ): string | undefined {
    if (!entry.isExternalLocal) {
      if (internal === undefined || entry.isInternalLocal) {
        const chain = this.balancer(`all-${id}`, entry, entry.external);
        return chain === undefined ? undefined : this.masquerading(id, chain);
      }
      return this.masquerading(id, internal);
    }
    return this.balancer(`local-${id}`, entry, entry.external);
  }

  private masquerading(id: string, next: string): string {
    const chain = `external-${id}`;
    this.chains.set(chain, ['jump mark-for-masquerade', `goto ${next}`]);
    return chain;
  }

  private balancer(
    chain: string,
    { protocol, affinitySeconds, id }: ServiceEntry,
    targets: readonly Target[],
  ): string | undefined {
    if (targets.length === 0) return undefined;
    const endpoints = targets.map((target) => this.endpoint(id, protocol, target, affinitySeconds));
    const sticky = endpoints.flatMap(({ name, affinity }) =>
      affinity === undefined ? [] : [`ip saddr @${affinity} goto ${name}`],
    );
    const choices = endpoints.map(({ name }, i) => `${i} : goto ${name}`).join(', ');
    this.chains.set(chain, [
      ...sticky,
      `numgen random mod ${endpoints.length} vmap { ${choices} }`,
    ]);
    return chain;
  }

  private endpoint(
    id: string,
    protocol: string,
    target: Target,
    affinitySeconds: number,
  ): { readonly name: string; readonly affinity: string | undefined } {
    const own = `${shortHash(id)}-${target.ip}-${target.port}`;
    const name = `endpoint-${own}`;
    const affinity = affinitySeconds === 0 ? undefined : `affinity-${own}`;
    const lines = [dnat(protocol, target)];
    if (affinity !== undefined) {
      const type = `type ipv4_addr; flags dynamic,timeout; timeout ${affinitySeconds}s;`;
      this.containers.set(affinity, `set ${affinity} { ${type} }`);
      lines.unshift(`update @${affinity} { ip saddr }`);
    }
    this.chains.set(name, lines);
    this.element(HAIRPIN, `${target.ip} . ${target.ip}`, '');
    return { name, affinity };
  }

  private element(container: string, key: string, value: string): void {
    this.elements.get(container)?.set(key, value);
  }
}

const LOOKUPS = [
  `ip daddr . meta l4proto . th dport vmap @${SERVICE_IPS}`,
  `fib daddr type local ip daddr . meta l4proto . th dport vmap @${HOST_PORTS}`,
  `fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @${NODE_PORTS}`,
];
const REFUSALS = [
  `ct state new ip daddr . meta l4proto . th dport vmap @${NO_ENDPOINTS}`,
  `ct state new fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @${NO_ENDPOINT_PORTS}`,
];

/** Last, because they name the maps and chains above. */
const BASE_CHAINS: readonly (readonly [string, readonly string[]])[] = [
  ['nat-prerouting', ['type nat hook prerouting priority dstnat;', ...LOOKUPS]],
  ['nat-output', ['type nat hook output priority -100;', ...LOOKUPS]],
  [
    'nat-postrouting',
    [
      'type nat hook postrouting priority srcnat;',
      `meta mark and ${MASQUERADE} == ${MASQUERADE} meta mark set meta mark xor ${MASQUERADE} masquerade fully-random`,
      `ip saddr . ip daddr @${HAIRPIN} masquerade fully-random`,
    ],
  ],
  ['filter-prerouting', ['type filter hook prerouting priority -110;', ...REFUSALS]],
  ['filter-output', ['type filter hook output priority -110;', ...REFUSALS]],
];

function dnat(protocol: string, { ip, port }: Target): string {
  return `meta l4proto ${protocol} dnat to ${ip}:${port}`;
}

/** Unique and readable: chains are looked at by people. */
function shortId(id: string): string {
  return `${shortHash(id)}-${id.replace(/\//g, '.')}`.slice(0, 100);
}

function shortHash(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 8);
}
