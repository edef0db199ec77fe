/** Plugins that look at one node alone: NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodePorts. */
import type {
  Node,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
  Taint,
  Toleration,
} from '../../../gen/kube-core-v1.js';
import type { NodeState } from '../node-state.js';
import type { PodInfo } from '../pod-info.js';
import { normalized, refusal, type Plugin } from './plugin.js';

const UNSCHEDULABLE: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

export const nodeUnschedulable: Plugin = {
  name: 'NodeUnschedulable',
  weight: 0,
  filter: ({ pod }) => {
    const { tolerations = [] } = pod.spec;
    if (isTolerated(UNSCHEDULABLE, tolerations)) return undefined;
    return ({ node }) =>
      node?.spec.unschedulable === true ? refusal(true, 'node(s) were unschedulable') : undefined;
  },
};

export const nodeName: Plugin = {
  name: 'NodeName',
  weight: 0,
  filter: ({ pod }) => {
    const { nodeName: wanted = '' } = pod.spec;
    if (wanted === '') return undefined;
    return ({ name }) =>
      name === wanted ? undefined : refusal(true, "node(s) didn't match the requested node name");
  },
};

export const taintToleration: Plugin = {
  name: 'TaintToleration',
  weight: 3,
  filter: ({ pod }) => {
    const { tolerations = [] } = pod.spec;
    return ({ node }) => {
      const hard = (node?.spec.taints ?? []).filter(({ effect }) => effect !== 'PreferNoSchedule');
      const refused = hard.some((taint) => !isTolerated(taint, tolerations));
      return refused ? refusal(true, 'node(s) had untolerated taint(s)') : undefined;
    };
  },
  score: ({ pod }, fitting) => {
    const { tolerations = [] } = pod.spec;
    const raw = fitting.map(({ node }) => {
      const soft = (node?.spec.taints ?? []).filter(({ effect }) => effect === 'PreferNoSchedule');
      return soft.filter((taint) => !isTolerated(taint, tolerations)).length;
    });
    return normalized(raw, true);
  },
};

/** An empty key with Exists tolerates everything, an empty effect every effect. */
export function isTolerated(taint: Taint, tolerations: readonly Toleration[]): boolean {
  return tolerations.some(({ key = '', operator = 'Equal', value = '', effect = '' }) => {
    if (effect !== '' && effect !== taint.effect) return false;
    if (key !== '' && key !== taint.key) return false;
    if (operator === 'Exists') return true;
    return key !== '' && operator === 'Equal' && value === (taint.value ?? '');
  });
}

export const nodeAffinity: Plugin = {
  name: 'NodeAffinity',
  weight: 2,
  filter: ({ pod }) => {
    const isWanted = nodeMatcherOf(pod);
    if (isWanted === undefined) return undefined;
    return (node) =>
      isWanted(node)
        ? undefined
        : refusal(true, "node(s) didn't match Pod's node affinity/selector");
  },
  score: ({ pod }, fitting) => {
    const preferred =
      pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    if (preferred.length === 0) return undefined;
    const raw = fitting.map(({ node }) =>
      preferred
        .filter(({ preference }) => node !== undefined && matchesTerm(preference, node))
        .reduce((sum, { weight }) => sum + weight, 0),
    );
    return normalized(raw, false);
  },
};

/** Tells the nodes that a pod's selector and required affinity allow; undefined when all are. */
export function nodeMatcherOf({ spec }: Pod): ((node: NodeState) => boolean) | undefined {
  const { nodeSelector = {}, affinity } = spec;
  const labels = Object.entries(nodeSelector);
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (labels.length === 0 && required === undefined) return undefined;
  return ({ node }) => {
    const own = node?.metadata.labels ?? {};
    if (!labels.every(([name, value]) => own[name] === value)) return false;
    if (required === undefined) return true;
    return required.nodeSelectorTerms.some((term) => node !== undefined && matchesTerm(term, node));
  };
}

/** A term without requirements matches nothing. */
function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const { labels = {}, name } = node.metadata;
  return (
    matchExpressions.every((one) => matchesRequirement(one, labels[one.key])) &&
    matchFields.every((one) =>
      matchesRequirement(one, one.key === 'metadata.name' ? name : undefined),
    )
  );
}

function matchesRequirement(
  { operator, values = [] }: NodeSelectorRequirement,
  value: string | undefined,
): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return compare(value, values[0], (a, b) => a > b);
    case 'Lt':
      return compare(value, values[0], (a, b) => a < b);
    default:
      return false;
  }
}

function compare(
  value: string | undefined,
  limit: string | undefined,
  is: (a: bigint, b: bigint) => boolean,
): boolean {
  const isInteger = /^[-+]?\d+$/;
  if (value === undefined || limit === undefined) return false;
  return isInteger.test(value) && isInteger.test(limit) && is(BigInt(value), BigInt(limit));
}

export const nodePorts: Plugin = {
  name: 'NodePorts',
  weight: 0,
  filter: ({ hostPorts }: PodInfo) => {
    if (hostPorts.length === 0) return undefined;
    return (node: NodeState) =>
      hostPorts.some((port) => node.isPortTaken(port))
        ? refusal(false, "node(s) didn't have free ports for the requested pod ports")
        : undefined;
  },
};
