import type {
  ReplicaSet,
  ReplicaSetCondition,
  ReplicaSetStatus,
} from '../../../gen/kube-apps-v1.js';
import type { Pod } from '../../../gen/kube-core-v1.js';
import { formatTime } from '../../api/time.js';
import { isTerminating, msToAvailable } from '../pods.js';
import { messageOf } from '../errors.js';

export interface Outcome {
  /** Error that ended the creation or deletion of pods. */
  readonly error: unknown;
  /** Pods that were to be created if positive, deleted if negative. */
  readonly missing: number;
}

/**
 * The status that a set has with these pods, as the caches had them. `pods` are its active ones,
 * `all` those on their way out, too.
 */
export function statusOf(
  set: ReplicaSet,
  pods: readonly Pod[],
  all: readonly Pod[],
  outcome: Outcome | undefined,
  nowMs: number,
): ReplicaSetStatus {
  const { minReadySeconds = 0, template } = set.spec;
  const labels = Object.entries(template?.metadata?.labels ?? {});
  const isFullyLabeled = ({ metadata }: Pod): boolean =>
    labels.every(([key, value]) => metadata.labels?.[key] === value);
  const waits = pods.map((pod) => msToAvailable(pod, minReadySeconds, nowMs));
  const conditions = conditionsOf(set.status, outcome, nowMs);
  return {
    replicas: pods.length,
    ...positive('fullyLabeledReplicas', pods.filter(isFullyLabeled).length),
    ...positive('readyReplicas', waits.filter((wait) => wait !== undefined).length),
    ...positive('availableReplicas', waits.filter((wait) => (wait ?? 1) <= 0).length),
    terminatingReplicas: all.filter(isTerminating).length,
    observedGeneration: set.metadata.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

/** The API leaves out zeros. */
function positive(name: string, count: number): Record<string, number> {
  return count === 0 ? {} : { [name]: count };
}

function conditionsOf(
  status: ReplicaSetStatus | undefined,
  outcome: Outcome | undefined,
  nowMs: number,
): ReplicaSetCondition[] {
  const known = status?.conditions ?? [];
  const others = known.filter(({ type }) => type !== 'ReplicaFailure');
  if (outcome === undefined) return others;
  // A failure that goes on keeps what was first said of it.
  if (others.length < known.length) return known;
  const failure = {
    type: 'ReplicaFailure',
    status: 'True',
    lastTransitionTime: formatTime(nowMs),
    reason: outcome.missing > 0 ? 'FailedCreate' : 'FailedDelete',
    message: messageOf(outcome.error),
  };
  return [...others, failure];
}
