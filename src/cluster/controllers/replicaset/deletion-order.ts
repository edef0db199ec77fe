import type { Pod } from '../../../gen/kube-core-v1.js';
import { isReady, readySinceMs, timeMs } from '../pods.js';

const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';
const PHASES: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };
const NANOS_PER_MS = 1e6;

/**
 * Sorts pods so that those whose end costs least come first, as Kubernetes does
 * (k8s.io/kubernetes pkg/controller ActivePodsWithRanks). `crowd` says how many pods of the same
 * workload are on the pod's node.
 */
export function sortForDeletion(
  pods: readonly Pod[],
  crowd: (pod: Pod) => number,
  nowMs: number,
): Pod[] {
  const order: ((a: Pod, b: Pod) => number)[] = [
    ascending((pod) => ((pod.spec.nodeName ?? '') === '' ? 0 : 1)),
    ascending(({ status }) => PHASES[status?.phase ?? ''] ?? 0),
    ascending((pod) => (isReady(pod) ? 1 : 0)),
    ascending(costOf),
    ascending((pod) => -crowd(pod)),
    ascending((pod) => ageRank(readySinceMs(pod) ?? nowMs, nowMs)),
    ascending((pod) => -restartsOf(pod)),
    ascending(({ metadata }) => ageRank(timeMs(metadata.creationTimestamp), nowMs)),
    (a, b) => ((a.metadata.uid ?? '') < (b.metadata.uid ?? '') ? -1 : 1),
  ];
  return [...pods].sort((a, b) => {
    for (const compare of order) {
      const result = compare(a, b);
      if (result !== 0) return result;
    }
    return 0;
  });
}

function ascending(value: (pod: Pod) => number): (a: Pod, b: Pod) => number {
  return (a, b) => value(a) - value(b);
}

/** Ages of one order of magnitude are alike, so that not always the newest go (KEP-2185). */
function ageRank(sinceMs: number, nowMs: number): number {
  const age = (nowMs - sinceMs) * NANOS_PER_MS;
  return age > 0 ? Math.floor(Math.log2(age)) : -1;
}

function costOf({ metadata }: Pod): number {
  const text = metadata.annotations?.[DELETION_COST] ?? '';
  return /^(0|[+-]?[1-9]\d{0,9})$/.test(text) ? Number(text) : 0;
}

function restartsOf({ status }: Pod): number {
  const counts = (status?.containerStatuses ?? []).map(({ restartCount }) => restartCount);
  return Math.max(0, ...counts);
}
