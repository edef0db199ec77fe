import type {
  Deployment,
  DeploymentStatus,
  ReplicaSet,
  ReplicaSetCondition,
} from '../../../gen/kube-apps-v1.js';
import { timeMs } from '../pods.js';
import {
  conditionIn,
  progressDeadlineMs,
  withCondition,
  without,
  type Conditions,
} from './conditions.js';
import { availableReplicas, limitsOf, specReplicas, total, wantedReplicas } from './numbers.js';

/** The sets of a Deployment. */
export interface Sets {
  /** Undefined as long as no set has the current template. */
  readonly newSet: ReplicaSet | undefined;
  readonly oldSets: readonly ReplicaSet[];
}

export function allOf({ newSet, oldSets }: Sets): ReplicaSet[] {
  return newSet === undefined ? [...oldSets] : [...oldSets, newSet];
}

/** Counts, and the condition Available. */
export function countedStatus(deployment: Deployment, sets: Sets, nowMs: number): DeploymentStatus {
  const all = allOf(sets);
  const available = total(all, availableReplicas);
  const { collisionCount, conditions = [] } = deployment.status ?? {};
  const { unavailable } = limitsOf(deployment);
  const isAvailable = available >= wantedReplicas(deployment) - unavailable;
  const counts = {
    observedGeneration: deployment.metadata.generation,
    replicas: total(all, ({ status }) => status?.replicas ?? 0),
    updatedReplicas: sets.newSet?.status?.replicas,
    readyReplicas: total(all, ({ status }) => status?.readyReplicas ?? 0),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, total(all, specReplicas) - available),
    collisionCount,
  };
  const shown = Object.entries(counts).filter(([, count]) => (count ?? 0) !== 0);
  const condition = isAvailable
    ? (['True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.'] as const)
    : ([
        'False',
        'MinimumReplicasUnavailable',
        'Deployment does not have minimum availability.',
      ] as const);
  return {
    ...Object.fromEntries(shown),
    terminatingReplicas: total(all, ({ status }) => status?.terminatingReplicas ?? 0),
    conditions: [...withCondition(conditions, ['Available', ...condition], nowMs)],
  };
}

/** With how far the rollout has come, and what keeps ReplicaSets from having their pods. */
export function rolloutStatus(deployment: Deployment, sets: Sets, nowMs: number): DeploymentStatus {
  const status = countedStatus(deployment, sets, nowMs);
  const progressing = progressOf(deployment, status, sets, nowMs);
  return { ...status, conditions: [...failuresOf(progressing, sets, nowMs)] };
}

function progressOf(
  deployment: Deployment,
  status: DeploymentStatus,
  { newSet }: Sets,
  nowMs: number,
): Conditions {
  const conditions = status.conditions ?? [];
  if (progressDeadlineMs(deployment) === undefined) return without(conditions, 'Progressing');
  const current = conditionIn(conditions, 'Progressing');
  const isAllNew = (status.replicas ?? 0) === (status.updatedReplicas ?? 0);
  if (isAllNew && current?.reason === 'NewReplicaSetAvailable') return conditions;
  const name = newSet?.metadata.name ?? '';
  const what =
    newSet === undefined
      ? `Deployment "${deployment.metadata.name ?? ''}"`
      : `ReplicaSet "${name}"`;
  if (isComplete(deployment, status)) {
    const message = `${what} has successfully progressed.`;
    return withCondition(
      conditions,
      ['Progressing', 'True', 'NewReplicaSetAvailable', message],
      nowMs,
    );
  }
  if (hasProgressed(deployment.status ?? {}, status)) {
    // Each step counts as news, with a time of its own.
    const message = `${what} is progressing.`;
    const [fresh] = withCondition([], ['Progressing', 'True', 'ReplicaSetUpdated', message], nowMs);
    const since =
      current?.status === 'True' ? current.lastTransitionTime : fresh?.lastTransitionTime;
    return [
      ...without(conditions, 'Progressing'),
      ...(fresh === undefined ? [] : [{ ...fresh, lastTransitionTime: since }]),
    ];
  }
  if (!hasTimedOut(deployment, conditions, nowMs)) return conditions;
  const message = `${what} has timed out progressing.`;
  return withCondition(
    conditions,
    ['Progressing', 'False', 'ProgressDeadlineExceeded', message],
    nowMs,
  );
}

export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const wanted = wantedReplicas(deployment);
  const { replicas = 0, updatedReplicas = 0, observedGeneration = 0 } = status;
  return (
    [replicas, updatedReplicas, status.availableReplicas ?? 0].every((n) => n === wanted) &&
    observedGeneration >= (deployment.metadata.generation ?? 0)
  );
}

function hasProgressed(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus): number =>
    (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function hasTimedOut(deployment: Deployment, conditions: Conditions, nowMs: number): boolean {
  const current = conditionIn(conditions, 'Progressing');
  const deadlineMs = progressDeadlineMs(deployment);
  if (current === undefined || deadlineMs === undefined) return false;
  if (current.reason === 'NewReplicaSetAvailable') return false;
  if (current.reason === 'ProgressDeadlineExceeded') return true;
  return timeMs(current.lastUpdateTime) + deadlineMs < nowMs;
}

/** Milliseconds until the progress deadline must be looked at again; undefined: need not. */
export function msToDeadline(
  deployment: Deployment,
  status: DeploymentStatus,
  nowMs: number,
): number | undefined {
  const current = conditionIn(status.conditions ?? [], 'Progressing');
  const deadlineMs = progressDeadlineMs(deployment);
  if (current === undefined || deadlineMs === undefined) return undefined;
  if (isComplete(deployment, status)) return undefined;
  if (current.reason === 'ProgressDeadlineExceeded') return undefined;
  // Times in objects are whole seconds.
  return Math.max(0, timeMs(current.lastUpdateTime) + deadlineMs - nowMs) + 1000;
}

function failuresOf(conditions: Conditions, sets: Sets, nowMs: number): Conditions {
  const ofSet = (set: ReplicaSet | undefined): ReplicaSetCondition | undefined =>
    set?.status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
  const failure =
    ofSet(sets.newSet) ?? sets.oldSets.map(ofSet).find((condition) => condition !== undefined);
  if (failure === undefined) return without(conditions, 'ReplicaFailure');
  const { reason = '', message = '' } = failure;
  const status = failure.status === 'True' ? 'True' : 'False';
  return withCondition(conditions, ['ReplicaFailure', status, reason, message], nowMs);
}
