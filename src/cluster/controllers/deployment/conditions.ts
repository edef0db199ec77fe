import type { Deployment, DeploymentCondition } from '../../../gen/kube-apps-v1.js';
import { formatTime } from '../../api/time.js';

export type Conditions = readonly DeploymentCondition[];

export function conditionIn(conditions: Conditions, type: string): DeploymentCondition | undefined {
  return conditions.find((condition) => condition.type === type);
}

export function without(conditions: Conditions, type: string): Conditions {
  return conditions.filter((condition) => condition.type !== type);
}

/** Moves a condition to the end, unless status and reason are as they were. */
export function withCondition(
  conditions: Conditions,
  [type, status, reason, message]: readonly [string, 'True' | 'False' | 'Unknown', string, string],
  nowMs: number,
): Conditions {
  const current = conditionIn(conditions, type);
  if (current?.status === status && current.reason === reason) return conditions;
  const now = formatTime(nowMs);
  const since = current?.status === status ? current.lastTransitionTime : now;
  const next = { type, status, lastUpdateTime: now, lastTransitionTime: since, reason, message };
  return [...without(conditions, type), next];
}

/** Milliseconds; undefined when progress is not watched. */
export function progressDeadlineMs({ spec }: Deployment): number | undefined {
  const seconds = spec.progressDeadlineSeconds;
  return seconds === undefined || seconds === 2 ** 31 - 1 ? undefined : seconds * 1000;
}
