/** The node's last word on a pod that was bound to it: does it fit here? */
import type { Node, Pod } from '../../../gen/kube-core-v1.js';
import { hostPortsOf, portsClash } from '../../api/host-ports.js';
import { isTolerated, nodeChoice } from '../../api/node-choice.js';
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
    predicate('NodeAffinity', nodeChoice(pod.spec)?.(node) ?? true, NO_AFFINITY) ??
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

function portsAreFree({ spec }: Pod, others: readonly Pod[]): boolean {
  const taken = others.flatMap((other) => hostPortsOf(other.spec));
  return hostPortsOf(spec).every((port) => !taken.some((other) => portsClash(port, other)));
}

/** Only taints that also end running pods keep a bound pod away. */
function toleratesNode({ spec }: Pod, node: Node): boolean {
  const taints = (node.spec.taints ?? []).filter(({ effect }) => effect === 'NoExecute');
  return taints.every((taint) => isTolerated(taint, spec.tolerations ?? []));
}
