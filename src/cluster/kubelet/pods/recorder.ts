import type { ObjectReference, Pod } from '../../../gen/kube-core-v1.js';
import { fieldPathOf } from './pod-spec.js';

export type EventType = 'Normal' | 'Warning';

/** Tells people what happened; never fails its caller. */
export interface Recorder {
  event(about: ObjectReference, type: EventType, reason: string, message: string): void;
}

export function podReference(pod: Pod): ObjectReference {
  const { name, namespace, uid, resourceVersion } = pod.metadata;
  return { kind: 'Pod', apiVersion: 'v1', name, namespace, uid, resourceVersion };
}

export function containerReference(pod: Pod, containerName: string): ObjectReference {
  return { ...podReference(pod), fieldPath: fieldPathOf(pod, containerName) };
}
