import type { Pod, PodCondition, PodTemplateSpec } from '../../gen/kube-core-v1.js';
import type { KubeObject } from '../api/object.js';
import { parseTime } from '../api/time.js';
import { controllerReferenceTo, isGoing } from './references.js';

export function conditionOf(pod: Pod, type: string): PodCondition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}

export function hasEnded({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

/** It counts as a replica: not ended, and not on its way out. */
export function isActive(pod: Pod): boolean {
  return !hasEnded(pod) && !isGoing(pod);
}

export function isTerminating(pod: Pod): boolean {
  return !hasEnded(pod) && isGoing(pod);
}

export function isReady(pod: Pod): boolean {
  return conditionOf(pod, 'Ready')?.status === 'True';
}

/** Wall time since when the pod is ready; undefined when it is not. */
export function readySinceMs(pod: Pod): number | undefined {
  const condition = conditionOf(pod, 'Ready');
  if (condition?.status !== 'True') return undefined;
  return timeMs(condition.lastTransitionTime);
}

/** Milliseconds until a ready pod is available, zero or less when it is; undefined: not ready. */
export function msToAvailable(
  pod: Pod,
  minReadySeconds: number,
  nowMs: number,
): number | undefined {
  const sinceMs = readySinceMs(pod);
  if (sinceMs === undefined || minReadySeconds === 0) return sinceMs === undefined ? undefined : 0;
  return sinceMs + minReadySeconds * 1000 - nowMs;
}

/** Absent times are those of long ago. */
export function timeMs(text: string | null | undefined): number {
  return typeof text === 'string' && text !== '' ? parseTime(text) : 0;
}

/** A pod as its template says, controlled by `owner`, with a name that the server completes. */
export function podOf(template: PodTemplateSpec, owner: KubeObject): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  const { namespace, name = '' } = owner.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${name}-`,
      namespace,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [controllerReferenceTo(owner)],
    },
    spec: template.spec ?? { containers: [] },
  };
}

/** Index of pods by the node that they are bound to. */
export function byNode({ spec }: Pod): readonly string[] {
  return (spec.nodeName ?? '') === '' ? [] : [spec.nodeName ?? ''];
}
