/** InterPodAffinity: pods near or far from other pods, in both directions. */
import type { NodeState } from '../node-state.js';
import { isTermOf, type AffinityTerm, type PodInfo } from '../pod-info.js';
import { MAX_SCORE, refusal, type Cluster, type Plugin } from './plugin.js';

/** Weight of another pod's required affinity for this one (hardPodAffinityWeight). */
const HARD_WEIGHT = 1;

export const interPodAffinity: Plugin = {
  name: 'InterPodAffinity',
  weight: 2,
  filter: (pod, cluster) => {
    const forbidden = domainsThatRefuse(pod, cluster);
    const near = pod.affinity.map((term) => domainsWith(term, cluster));
    const far = pod.antiAffinity.map((term) => domainsWith(term, cluster));
    if (forbidden.size === 0 && near.length === 0 && far.length === 0) return undefined;
    return (node) => {
      if (!isNear(pod, node, near, cluster))
        return refusal(true, "node(s) didn't match pod affinity rules");
      if (pod.antiAffinity.some((term, i) => isIn(node, term, far[i]))) {
        return refusal(false, "node(s) didn't match pod anti-affinity rules");
      }
      if (hasForbiddenDomain(node, forbidden)) {
        return refusal(false, "node(s) didn't satisfy existing pods anti-affinity rules");
      }
      return undefined;
    };
  },
  score: (pod, fitting, cluster) => {
    const weights = domainWeights(pod, cluster);
    if (weights.size === 0) return undefined;
    const raw = fitting.map((node) => {
      let sum = 0;
      for (const [domain, weight] of weights) if (hasDomain(node, domain)) sum += weight;
      return sum;
    });
    const highest = Math.max(...raw);
    const lowest = Math.min(...raw);
    return raw.map((score) =>
      highest === lowest ? 0 : Math.floor((MAX_SCORE * (score - lowest)) / (highest - lowest)),
    );
  },
};

/** `key=value`, a domain of one topology key. */
function domainOf(node: NodeState, key: string): string | undefined {
  const value = node.node?.metadata.labels?.[key];
  return value === undefined ? undefined : `${key}=${value}`;
}

function hasDomain(node: NodeState, domain: string): boolean {
  return domainOf(node, domain.slice(0, domain.indexOf('='))) === domain;
}

function domainsWith(term: AffinityTerm, { nodes, namespaceLabels }: Cluster): Set<string> {
  const domains = new Set<string>();
  for (const node of nodes) {
    const domain = domainOf(node, term.topologyKey);
    if (domain === undefined || domains.has(domain)) continue;
    for (const other of node.pods.values())
      if (isTermOf(term, other, namespaceLabels)) domains.add(domain);
  }
  return domains;
}

/** Domains of pods whose own required anti-affinity names this pod. */
function domainsThatRefuse(pod: PodInfo, { nodes, namespaceLabels }: Cluster): Set<string> {
  const domains = new Set<string>();
  for (const node of nodes) {
    for (const other of node.pods.values()) {
      for (const term of other.antiAffinity) {
        const domain = domainOf(node, term.topologyKey);
        if (domain !== undefined && isTermOf(term, pod, namespaceLabels)) domains.add(domain);
      }
    }
  }
  return domains;
}

function hasForbiddenDomain(node: NodeState, forbidden: ReadonlySet<string>): boolean {
  for (const domain of forbidden) if (hasDomain(node, domain)) return true;
  return false;
}

function isIn(
  node: NodeState,
  term: AffinityTerm,
  domains: ReadonlySet<string> | undefined,
): boolean {
  const domain = domainOf(node, term.topologyKey);
  return domain !== undefined && domains?.has(domain) === true;
}

/** The first pod of a group that wants to be near itself may start anywhere with the label. */
function isNear(
  pod: PodInfo,
  node: NodeState,
  near: readonly ReadonlySet<string>[],
  { namespaceLabels }: Cluster,
): boolean {
  const terms = pod.affinity;
  if (terms.some(({ topologyKey }) => domainOf(node, topologyKey) === undefined)) return false;
  if (terms.every((term, i) => isIn(node, term, near[i]))) return true;
  return (
    near.every((domains) => domains.size === 0) &&
    terms.every((term) => isTermOf(term, pod, namespaceLabels))
  );
}

function domainWeights(pod: PodInfo, { nodes, namespaceLabels }: Cluster): Map<string, number> {
  const weights = new Map<string, number>();
  const count = (node: NodeState, term: AffinityTerm, weight: number): void => {
    const domain = domainOf(node, term.topologyKey);
    if (domain !== undefined) weights.set(domain, (weights.get(domain) ?? 0) + weight);
  };
  for (const node of nodes) {
    for (const other of node.pods.values()) {
      for (const term of pod.preferredAffinity)
        if (isTermOf(term, other, namespaceLabels)) count(node, term, term.weight);
      for (const term of pod.preferredAntiAffinity)
        if (isTermOf(term, other, namespaceLabels)) count(node, term, -term.weight);
      for (const term of other.affinity)
        if (isTermOf(term, pod, namespaceLabels)) count(node, term, HARD_WEIGHT);
      for (const term of other.preferredAffinity)
        if (isTermOf(term, pod, namespaceLabels)) count(node, term, term.weight);
      for (const term of other.preferredAntiAffinity)
        if (isTermOf(term, pod, namespaceLabels)) count(node, term, -term.weight);
    }
  }
  return weights;
}
