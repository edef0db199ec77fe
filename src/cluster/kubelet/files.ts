/** Files that every pod gets: hosts, name resolution, and a place for its last words. */
import type { HostAlias, Pod } from '../../gen/kube-core-v1.js';
import { usesHostNetwork } from './pods/pod-spec.js';

export interface Resolver {
  readonly servers: string[];
  readonly searches: string[];
  readonly options: string[];
}

export interface ClusterNames {
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
}

/** At most so much of a termination message is kept; the rest of it is cut off at the front. */
export const MAX_MESSAGE_BYTES = 4096;
/** Of a log that stands in for a termination message. */
export const MAX_FALLBACK_BYTES = 2048;
export const MAX_FALLBACK_LINES = 80;
/** Linux' limit of a host name. */
const MAX_HOSTNAME = 63;
/** Limits of resolv.conf. */
const MAX_SERVERS = 3;
const MAX_SEARCHES = 32;

/** Reads resolv.conf(5). */
export function parseResolver(text: string): Resolver {
  const resolver: Resolver = { servers: [], searches: [], options: [] };
  for (const line of text.split('\n')) {
    const [word = '', ...values] = line.trim().split(/\s+/);
    const [first] = values;
    if (word === 'nameserver' && first !== undefined) resolver.servers.push(first);
    // The last line of these counts.
    else if (word === 'search') resolver.searches.splice(0, Infinity, ...values);
    else if (word === 'options') resolver.options.splice(0, Infinity, ...values);
  }
  return resolver;
}

/** Name resolution of a pod by its policy. `host` is the node's. */
export function podResolver(pod: Pod, host: Resolver, cluster: ClusterNames): Resolver {
  const extra = pod.spec.dnsConfig ?? {};
  const base = baseResolver(pod, host, cluster);
  const options = new Map(base.options.map((option) => [option.split(':')[0] ?? option, option]));
  for (const { name = '', value = '' } of extra.options ?? []) {
    options.set(name, value === '' ? name : `${name}:${value}`);
  }
  const unique = (values: string[]): string[] => [...new Set(values)];
  return {
    servers: unique([...base.servers, ...(extra.nameservers ?? [])]).slice(0, MAX_SERVERS),
    searches: unique([...base.searches, ...(extra.searches ?? [])]).slice(0, MAX_SEARCHES),
    options: [...options.values()],
  };
}

function baseResolver(pod: Pod, host: Resolver, cluster: ClusterNames): Resolver {
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { servers: [], searches: [], options: [] };
  const isOnHost = usesHostNetwork(pod) && policy === 'ClusterFirst';
  if (policy === 'Default' || isOnHost || cluster.clusterDns.length === 0) return host;
  const { clusterDomain: domain } = cluster;
  const namespace = pod.metadata.namespace ?? '';
  const own = [`${namespace}.svc.${domain}`, `svc.${domain}`, domain];
  return {
    servers: [...cluster.clusterDns],
    searches: [...own, ...host.searches],
    options: ['ndots:5'],
  };
}

export function podHostname(pod: Pod): string {
  const { hostname = '', hostnameOverride = '' } = pod.spec;
  if (hostnameOverride !== '') return hostnameOverride;
  if (hostname !== '') return hostname;
  return (pod.metadata.name ?? '').slice(0, MAX_HOSTNAME).replace(/[-.]+$/, '');
}

/** `web-0.web.default.svc.cluster.local`, or empty for a pod without a subdomain. */
function podDomain(pod: Pod, clusterDomain: string): string {
  const { subdomain = '' } = pod.spec;
  if (subdomain === '') return '';
  const namespace = pod.metadata.namespace ?? '';
  return `${podHostname(pod)}.${subdomain}.${namespace}.svc.${clusterDomain}`;
}

/** /etc/hosts of a pod with a network of its own. */
export function hostsText(pod: Pod, podIps: readonly string[], clusterDomain: string): string {
  const lines = [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'fe00::\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
  ];
  const domain = podDomain(pod, clusterDomain);
  const names = domain === '' ? podHostname(pod) : `${domain}\t${podHostname(pod)}`;
  for (const ip of podIps) lines.push(`${ip}\t${names}`);
  return `${lines.join('\n')}\n${aliasesText(pod.spec.hostAliases ?? [])}`;
}

/** /etc/hosts of a pod on the node's network: the node's file and the pod's aliases. */
export function hostNetworkHostsText(pod: Pod, nodeHosts: string): string {
  const own = `# Kubernetes-managed hosts file (host network).\n${nodeHosts}`;
  return `${own}${aliasesText(pod.spec.hostAliases ?? [])}`;
}

function aliasesText(aliases: readonly HostAlias[]): string {
  if (aliases.length === 0) return '';
  const lines = aliases.map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}`);
  return `\n# Entries added by HostAliases.\n${lines.join('\n')}\n`;
}
