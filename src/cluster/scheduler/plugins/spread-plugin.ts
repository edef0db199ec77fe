/**
 * PodTopologySpread: pods of a group are spread over domains (hosts, zones). A pod without
 * constraints of its own is spread with the pods that its labels' services and workloads select;
 * here that group is the pods with the same controller.
 */
import type { TopologySpreadConstraint } from '../../../gen/kube-core-v1.js';
import type { NodeState } from '../node-state.js';
import type { PodInfo } from '../pod-info.js';
import { isTolerated, nodeChoice } from '../../api/node-choice.js';
import { labelSelectorMatcher } from '../../api/selector.js';
import { MAX_SCORE, refusal, type Plugin } from './plugin.js';

const HOSTNAME = 'kubernetes.io/hostname';
const ZONE = 'topology.kubernetes.io/zone';
/** Constraints of a pod that names none (system defaulting of kube-scheduler). */
const DEFAULTS = [
  { topologyKey: HOSTNAME, maxSkew: 3 },
  { topologyKey: ZONE, maxSkew: 5 },
];

interface Constraint {
  readonly topologyKey: string;
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly isMember: (other: PodInfo) => boolean;
  readonly isEligible: (node: NodeState) => boolean;
}

export const podTopologySpread: Plugin = {
  name: 'PodTopologySpread',
  weight: 2,
  filter: (pod, { nodes }) => {
    const constraints = constraintsOf(pod, 'DoNotSchedule');
    if (constraints.length === 0) return undefined;
    const checks = constraints.map((constraint) => hardCheck(constraint, pod, nodes));
    return (node) => {
      for (const check of checks) {
        const found = check(node);
        if (found !== undefined) return found;
      }
      return undefined;
    };
  },
  score: (pod, fitting, { nodes }) => {
    const own = constraintsOf(pod, 'ScheduleAnyway');
    const constraints = hasOwn(pod) ? own : defaultConstraints(pod);
    if (constraints.length === 0) return undefined;
    return spreadScores(constraints, fitting, nodes);
  },
};

function hasOwn({ pod }: PodInfo): boolean {
  return (pod.spec.topologySpreadConstraints ?? []).length > 0;
}

function constraintsOf(pod: PodInfo, when: string): Constraint[] {
  const all = pod.pod.spec.topologySpreadConstraints ?? [];
  return all
    .filter(({ whenUnsatisfiable }) => whenUnsatisfiable === when)
    .map((one) => toConstraint(one, pod));
}

function toConstraint(constraint: TopologySpreadConstraint, pod: PodInfo): Constraint {
  const { topologyKey, maxSkew, minDomains = 1, labelSelector, matchLabelKeys = [] } = constraint;
  const matches = labelSelectorMatcher(labelSelector);
  const own = pod.pod.metadata.labels ?? {};
  const namespace = pod.pod.metadata.namespace ?? '';
  const usesAffinity = (constraint.nodeAffinityPolicy ?? 'Honor') === 'Honor';
  const usesTaints = constraint.nodeTaintsPolicy === 'Honor';
  const isWanted = usesAffinity ? nodeChoice(pod.pod.spec) : undefined;
  const { tolerations = [] } = pod.pod.spec;
  return {
    topologyKey,
    maxSkew,
    minDomains,
    isMember: ({ pod: other }) => {
      const { metadata } = other;
      if (metadata.namespace !== namespace || metadata.deletionTimestamp !== undefined)
        return false;
      const labels = metadata.labels ?? {};
      return matches(labels) && matchLabelKeys.every((key) => labels[key] === own[key]);
    },
    isEligible: ({ node }) => {
      if (node === undefined || isWanted?.(node) === false) return false;
      if (!usesTaints) return true;
      return (node.spec.taints ?? []).every(
        (taint) => taint.effect === 'PreferNoSchedule' || isTolerated(taint, tolerations),
      );
    },
  };
}

function defaultConstraints(pod: PodInfo): Constraint[] {
  const controller = controllerOf(pod);
  if (controller === undefined) return [];
  return DEFAULTS.map((one) => ({
    ...one,
    minDomains: 1,
    isMember: (other) =>
      controllerOf(other) === controller && other.pod.metadata.deletionTimestamp === undefined,
    isEligible: () => true,
  }));
}

function controllerOf({ pod }: PodInfo): string | undefined {
  return pod.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid;
}

function domainOf(node: NodeState, key: string): string | undefined {
  return node.node?.metadata.labels?.[key];
}

function countMembers(node: NodeState, constraint: Constraint): number {
  let count = 0;
  for (const other of node.pods.values()) if (constraint.isMember(other)) count++;
  return count;
}

/** Members of each domain, over nodes that may take the pod. */
function domainCounts(constraint: Constraint, nodes: readonly NodeState[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const node of nodes) {
    const domain = domainOf(node, constraint.topologyKey);
    if (domain === undefined || !constraint.isEligible(node)) continue;
    counts.set(domain, (counts.get(domain) ?? 0) + countMembers(node, constraint));
  }
  return counts;
}

function hardCheck(
  constraint: Constraint,
  pod: PodInfo,
  nodes: readonly NodeState[],
): NonNullable<ReturnType<NonNullable<Plugin['filter']>>> {
  const counts = domainCounts(constraint, nodes);
  const lowest = counts.size < constraint.minDomains ? 0 : Math.min(...counts.values());
  const own = constraint.isMember(pod) ? 1 : 0;
  return (node) => {
    const domain = domainOf(node, constraint.topologyKey);
    const text = "node(s) didn't match pod topology spread constraints";
    if (domain === undefined) return refusal(true, `${text} (missing required label)`);
    const skew = (counts.get(domain) ?? 0) + own - lowest;
    return skew > constraint.maxSkew ? refusal(false, text) : undefined;
  };
}

function spreadScores(
  constraints: readonly Constraint[],
  fitting: readonly NodeState[],
  nodes: readonly NodeState[],
): number[] {
  const isComplete = (node: NodeState): boolean =>
    constraints.every(({ topologyKey }) => domainOf(node, topologyKey) !== undefined);
  // A default constraint on a label that no node has says nothing.
  const used = constraints.filter(({ topologyKey }) =>
    fitting.some((node) => domainOf(node, topologyKey) !== undefined),
  );
  const raw = fitting.map(() => 0);
  for (const constraint of used) {
    const counts = domainCounts(constraint, nodes);
    const domains = new Set(fitting.map((node) => domainOf(node, constraint.topologyKey)));
    const weight = Math.log(domains.size + 2);
    for (const [i, node] of fitting.entries()) {
      const domain = domainOf(node, constraint.topologyKey);
      const count = domain === undefined ? 0 : (counts.get(domain) ?? 0);
      raw[i] = (raw[i] ?? 0) + count * weight + (constraint.maxSkew - 1);
    }
  }
  const rounded = raw.map(Math.round);
  const considered =
    used.length === constraints.length ? fitting.map(isComplete) : fitting.map(() => true);
  const values = rounded.filter((_, i) => considered[i] === true);
  const highest = Math.max(...values);
  const lowest = Math.min(...values);
  return rounded.map((score, i) => {
    if (considered[i] !== true) return 0;
    return highest === 0
      ? MAX_SCORE
      : Math.floor((MAX_SCORE * (highest + lowest - score)) / highest);
  });
}
