/**
 * The quality of service of a pod: which pods lose their memory first when a node runs out of it
 * (k8s.io/kubernetes pkg/apis/core/helper/qos).
 */
import type { PodSpec, ResourceRequirements } from '../../../../gen/kube-core-v1.js';
import { parseQuantity } from '../../quantity.js';

export type QosClass = 'BestEffort' | 'Burstable' | 'Guaranteed';

const COMPUTE = ['cpu', 'memory'] as const;

/**
 * Guaranteed: everybody has limits of CPU and memory, and asks for just as much. BestEffort: nobody
 * asks for anything. Resources of the pod as a whole decide, if it has any.
 */
export function qosClassOf(spec: PodSpec): QosClass {
  const all: ResourceRequirements[] =
    spec.resources === undefined
      ? [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(
          ({ resources }) => resources ?? {},
        )
      : [spec.resources];
  const sums = COMPUTE.map((name) => ({
    request: sum(all.map(({ requests }) => requests?.[name])),
    limit: sum(all.map(({ limits }) => limits?.[name])),
  }));
  if (sums.every(({ request, limit }) => request === 0n && limit === 0n)) return 'BestEffort';
  const isLimited = all.every(({ limits }) =>
    COMPUTE.every((name) => parseQuantity(limits?.[name] ?? '0').nanos > 0n),
  );
  const isExact = sums.every(({ request, limit }) => request === limit);
  return isLimited && isExact ? 'Guaranteed' : 'Burstable';
}

function sum(amounts: readonly (string | undefined)[]): bigint {
  return amounts.reduce((total, amount) => total + parseQuantity(amount ?? '0').nanos, 0n);
}
