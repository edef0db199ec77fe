/**
 * Rules by which pods choose nodes and nodes keep pods away, for the scheduler, the kubelet and
 * controllers (k8s.io/component-helpers/scheduling/corev1).
 */
import type {
  Node,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodSpec,
  Taint,
  Toleration,
} from '../../gen/kube-core-v1.js';

/** Test of a node by a pod's node selector and required affinity; undefined for a pod without. */
export function nodeChoice({
  nodeSelector = {},
  affinity,
}: PodSpec): ((node: Node) => boolean) | undefined {
  const labels = Object.entries(nodeSelector);
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (labels.length === 0 && required === undefined) return undefined;
  return (node) => {
    const own = node.metadata.labels ?? {};
    if (!labels.every(([name, value]) => own[name] === value)) return false;
    return required?.nodeSelectorTerms.some((term) => matchesTerm(term, node)) ?? true;
  };
}

/** A term without requirements matches nothing. */
export function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
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

export function isTolerated(taint: Taint, tolerations: readonly Toleration[]): boolean {
  return tolerations.some((toleration) => tolerates(toleration, taint));
}

/** An empty key with Exists tolerates everything, an empty effect every effect. */
export function tolerates(
  { key = '', operator = 'Equal', value = '', effect = '' }: Toleration,
  taint: Taint,
): boolean {
  if (effect !== '' && effect !== taint.effect) return false;
  if (key !== '' && key !== taint.key) return false;
  if (operator === 'Exists') return true;
  return key !== '' && operator === 'Equal' && value === (taint.value ?? '');
}
