/** The node's last word on a pod that was bound to it: does it fit here? */
import type {
  ContainerPort,
  Node,
  NodeSelectorRequirement,
  Pod,
  Toleration,
} from '../../../gen/kube-core-v1.js';
import { quantityValue } from '../quantity-value.js';
import { podRequests } from '../resources.js';

export interface Rejection {
  readonly reason: string;
  readonly message: string;
}

/** Undefined if the pod may run here beside `others`, which were admitted before. */
export function admit(pod: Pod, others: readonly Pod[], node: Node): Rejection | undefined {
  return (
    lacksResource(pod, others, node.status?.allocatable ?? {}) ??
    predicate('NodeAffinity', matchesNode(pod, node), NO_AFFINITY) ??
    predicate('NodePorts', portsAreFree(pod, others), NO_PORTS) ??
    predicate('TaintToleration', toleratesNode(pod, node), NO_TOLERATION)
  );
}

const NO_AFFINITY = "node(s) didn't match Pod's node affinity/selector";
const NO_PORTS = "node(s) didn't have free ports for the requested pod ports";
const NO_TOLERATION = 'node(s) had untolerated taint(s)';

function predicate(name: string, holds: boolean, why: string): Rejection | undefined {
  return holds ? undefined : { reason: name, message: `Predicate ${name} failed: ${why}` };
}

function lacksResource(
  pod: Pod,
  others: readonly Pod[],
  allocatable: Readonly<Record<string, string>>,
): Rejection | undefined {
  const wanted = { pods: 1, ...podRequests(pod) };
  const used: Record<string, number> = {};
  for (const other of others) {
    for (const [name, value] of Object.entries({ pods: 1, ...podRequests(other) })) {
      used[name] = (used[name] ?? 0) + value;
    }
  }
  for (const [name, requested] of Object.entries(wanted)) {
    const capacity = quantityValue(allocatable[name] ?? '0');
    const taken = used[name] ?? 0;
    if (requested === 0 || requested + taken <= capacity) continue;
    // Kubernetes counts CPU in thousandths here.
    const unit = name === 'cpu' ? 1000 : 1;
    const amount = (value: number): string => String(Math.round(value * unit));
    return {
      reason: `OutOf${name}`,
      message: `Node didn't have enough resource: ${name}, requested: ${amount(requested)}, used: ${amount(taken)}, capacity: ${amount(capacity)}`,
    };
  }
  return undefined;
}

function portsAreFree(pod: Pod, others: readonly Pod[]): boolean {
  const taken = others.flatMap(hostPortsOf);
  return hostPortsOf(pod).every((port) => !taken.some((other) => clash(port, other)));
}

function hostPortsOf({ spec }: Pod): ContainerPort[] {
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  return containers.flatMap(({ ports = [] }) => ports.filter(({ hostPort = 0 }) => hostPort > 0));
}

function clash(a: ContainerPort, b: ContainerPort): boolean {
  const anyIp = (ip: string | undefined): boolean =>
    ip === undefined || ip === '' || ip === '0.0.0.0';
  const isSameIp = a.hostIP === b.hostIP || anyIp(a.hostIP) || anyIp(b.hostIP);
  return isSameIp && a.hostPort === b.hostPort && (a.protocol ?? 'TCP') === (b.protocol ?? 'TCP');
}

function matchesNode(pod: Pod, node: Node): boolean {
  const { labels = {}, name = '' } = node.metadata;
  const wanted = Object.entries(pod.spec.nodeSelector ?? {});
  if (!wanted.every(([key, value]) => labels[key] === value)) return false;
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (required === undefined) return true;
  return required.nodeSelectorTerms.some(({ matchExpressions = [], matchFields = [] }) => {
    // A term that asks for nothing selects nothing.
    if (matchExpressions.length + matchFields.length === 0) return false;
    return (
      matchExpressions.every((one) => satisfies(one, labels[one.key])) &&
      matchFields.every((one) => satisfies(one, one.key === 'metadata.name' ? name : undefined))
    );
  });
}

function satisfies(
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
      return Number(value) > Number(values[0]);
    case 'Lt':
      return Number(value) < Number(values[0]);
    default:
      return false;
  }
}

/** Only taints that also end running pods keep a bound pod away. */
function toleratesNode(pod: Pod, node: Node): boolean {
  const taints = (node.spec.taints ?? []).filter(({ effect }) => effect === 'NoExecute');
  return taints.every(({ key, value = '', effect }) =>
    (pod.spec.tolerations ?? []).some((one: Toleration) => {
      const isForEffect = one.effect === undefined || one.effect === '' || one.effect === effect;
      const isForKey = one.key === undefined || one.key === '' || one.key === key;
      const isForValue = one.operator === 'Exists' || (one.value ?? '') === value;
      return isForEffect && isForKey && isForValue;
    }),
  );
}
