/**
 * The rules that lead packets of services to their endpoints, as parts of one nftables table.
 * Pure; `table.ts` brings the kernel there.
 *
 * The shape follows kube-proxy's nftables mode (KEP-3866): verdict maps lead a packet to the chain
 * of its service in one look-up, whatever the number of services. A packet that is not led anywhere
 * is refused right after that.
 */
import { createHash } from 'node:crypto';
import type { PortEntry, Target } from '../service-table.js';

/** Rules of one owner. */
export interface Rules {
  /** Chain -> its lines. Base chains have the hook as their first. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Map or set -> its declaration, without name. */
  readonly containers: ReadonlyMap<string, string>;
  readonly elements: readonly RuleElement[];
}

export interface RuleElement {
  readonly container: string;
  readonly key: string;
  /** Of a map; empty in a set. */
  readonly value: string;
}

const ADDRESS_KEY = 'ipv4_addr . inet_proto . inet_service';
const PORT_KEY = 'inet_proto . inet_service';
/** Packets with this bit in their mark leave with the node's address as source. */
const MASQUERADE = '0x4000';

const CLUSTER_IPS = 'cluster-ips';
const SERVICE_IPS = 'service-ips';
const NODE_PORTS = 'service-nodeports';
const NO_ENDPOINT_IPS = 'no-endpoint-services';
const NO_ENDPOINT_PORTS = 'no-endpoint-nodeports';
const REFUSE = 'goto refuse';

const ADDRESS = 'ip daddr . meta l4proto . th dport';
const NODE_PORT = 'fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport';

/** Rules that are there without any service. */
export const BASE_RULES: Rules = {
  containers: new Map([
    [CLUSTER_IPS, 'set { type ipv4_addr; }'],
    [SERVICE_IPS, `map { type ${ADDRESS_KEY} : verdict; }`],
    [NODE_PORTS, `map { type ${PORT_KEY} : verdict; }`],
    [NO_ENDPOINT_IPS, `map { type ${ADDRESS_KEY} : verdict; }`],
    [NO_ENDPOINT_PORTS, `map { type ${PORT_KEY} : verdict; }`],
  ]),
  chains: new Map([
    ['mark-for-masquerade', [`meta mark set meta mark or ${MASQUERADE}`]],
    ['refuse', ['meta l4proto tcp reject with tcp reset', 'reject']],
    ['services', [`${ADDRESS} vmap @${SERVICE_IPS}`, `${NODE_PORT} vmap @${NODE_PORTS}`]],
    [
      'unserved',
      [
        // Connections that are there already go on when the last endpoint stops being ready.
        `ct state new ${ADDRESS} vmap @${NO_ENDPOINT_IPS}`,
        `ct state new ${NODE_PORT} vmap @${NO_ENDPOINT_PORTS}`,
        `ip daddr @${CLUSTER_IPS} ${REFUSE}`,
      ],
    ],
    ['nat-prerouting', ['type nat hook prerouting priority dstnat;', 'jump services']],
    ['nat-output', ['type nat hook output priority -100;', 'jump services']],
    [
      'nat-postrouting',
      [
        'type nat hook postrouting priority srcnat;',
        `meta mark and ${MASQUERADE} == ${MASQUERADE} meta mark set meta mark xor ${MASQUERADE} masquerade fully-random`,
      ],
    ],
    // Before the route is chosen, so that none is needed for what is refused.
    ['filter-prerouting', ['type filter hook prerouting priority -90;', 'jump unserved']],
    ['filter-output', ['type filter hook output priority -90;', 'jump unserved']],
  ]),
  elements: [],
};

export function rulesOf(entries: readonly PortEntry[]): Rules {
  const builder = new Builder();
  for (const entry of entries) builder.add(entry);
  return builder;
}

class Builder implements Rules {
  readonly chains = new Map<string, readonly string[]>();
  readonly containers = new Map<string, string>();
  readonly elements: RuleElement[] = [];

  add(entry: PortEntry): void {
    const { protocol, clusterIp, port, nodePort, externalIps } = entry;
    const internal = this.internal(entry);
    if (clusterIp !== '') {
      this.elements.push({ container: CLUSTER_IPS, key: clusterIp, value: '' });
      this.lead(`${clusterIp} . ${protocol} . ${port}`, SERVICE_IPS, NO_ENDPOINT_IPS, internal);
    }
    if (nodePort === 0 && externalIps.length === 0) return;
    const external = this.external(entry);
    for (const ip of externalIps) {
      this.lead(`${ip} . ${protocol} . ${port}`, SERVICE_IPS, NO_ENDPOINT_IPS, external);
    }
    if (nodePort !== 0) {
      this.lead(`${protocol} . ${nodePort}`, NODE_PORTS, NO_ENDPOINT_PORTS, external);
    }
  }

  private lead(key: string, served: string, unserved: string, value: string): void {
    const isServed = value !== REFUSE && value !== 'drop';
    this.elements.push({ container: isServed ? served : unserved, key, value });
  }

  private internal(entry: PortEntry): string {
    if (entry.all.length === 0) return REFUSE;
    if (!entry.isInternalLocal) return this.balancer('all', entry, entry.all);
    return entry.local.length === 0 ? 'drop' : this.balancer('local', entry, entry.local);
  }

  private external(entry: PortEntry): string {
    if (entry.all.length === 0) return REFUSE;
    const all = this.balancer('all', entry, entry.all);
    const lines = entry.isExternalLocal
      ? [
          // The node itself is inside: it reaches endpoints on all nodes.
          'fib saddr type local jump mark-for-masquerade',
          `fib saddr type local ${all}`,
          entry.local.length === 0 ? 'drop' : this.balancer('local', entry, entry.local),
        ]
      : ['jump mark-for-masquerade', all];
    const chain = `external-${readableId(entry.id)}`;
    this.chains.set(chain, lines);
    return `goto ${chain}`;
  }

  /** A chain that chooses among targets, of which there is at least one. */
  private balancer(scope: 'all' | 'local', entry: PortEntry, targets: readonly Target[]): string {
    const chain = `${scope}-${readableId(entry.id)}`;
    const endpoints = targets.map((target) => this.endpoint(entry, target));
    const sticky = endpoints.flatMap(({ name, affinity }) =>
      affinity === undefined ? [] : [`ip saddr @${affinity} goto ${name}`],
    );
    const choices = endpoints.map(({ name }, i) => `${i} : goto ${name}`).join(', ');
    this.chains.set(chain, [
      ...sticky,
      `numgen random mod ${endpoints.length} vmap { ${choices} }`,
    ]);
    return `goto ${chain}`;
  }

  private endpoint(
    { id, protocol, affinitySeconds }: PortEntry,
    { ip, port }: Target,
  ): { readonly name: string; readonly affinity: string | undefined } {
    const own = `${shortHash(id)}-${ip}-${port}`;
    const name = `endpoint-${own}`;
    const affinity = affinitySeconds === 0 ? undefined : `affinity-${own}-${affinitySeconds}s`;
    const lines = [
      // A pod that reaches itself needs another source, or its answer would not come by here.
      `ip saddr ${ip} jump mark-for-masquerade`,
      `meta l4proto ${protocol} dnat to ${ip}:${port}`,
    ];
    if (affinity !== undefined) {
      const type = `type ipv4_addr; flags dynamic,timeout; timeout ${affinitySeconds}s;`;
      this.containers.set(affinity, `set { ${type} }`);
      lines.unshift(`update @${affinity} { ip saddr }`);
    }
    this.chains.set(name, lines);
    return { name, affinity };
  }
}

/** Unique and readable: chains are looked at by people. */
function readableId(id: string): string {
  return `${shortHash(id)}-${id.replace(/[/:]/g, '.')}`.slice(0, 100);
}

function shortHash(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 8);
}
