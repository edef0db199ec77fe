/** Questions about a pod's specification that several parts ask. */
import { createHash } from 'node:crypto';
import type { Container, EphemeralContainer, Pod } from '../../../gen/kube-core-v1.js';
import { invariant } from '../../../base/invariant.js';

/** `name_namespace(uid)`, as events and messages name a pod. */
export function describePod(pod: Pod): string {
  const { name = '', namespace = '', uid = '' } = pod.metadata;
  return `${name}_${namespace}(${uid})`;
}

/** Every pod that the API server serves has one. */
export function uidOf(pod: Pod): string {
  const { uid } = pod.metadata;
  invariant(uid !== undefined && uid !== '', 'pod {} has no uid', pod.metadata.name);
  return uid;
}

export function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always';
}

export function isTerminalPhase(phase: string | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}

/** An ephemeral container as a container: what may run is the same. */
export function ephemeralContainersOf(pod: Pod): Container[] {
  return (pod.spec.ephemeralContainers ?? []).map((one: EphemeralContainer) => ({
    ...one,
    name: one.name ?? '',
  }));
}

export function allContainers(pod: Pod): Container[] {
  return [
    ...(pod.spec.initContainers ?? []),
    ...pod.spec.containers,
    ...ephemeralContainersOf(pod),
  ];
}

export function findContainer(pod: Pod, name: string): Container | undefined {
  return allContainers(pod).find((container) => container.name === name);
}

/** Field path of a container, as events refer to it. */
export function fieldPathOf(pod: Pod, name: string): string {
  if (pod.spec.initContainers?.some((one) => one.name === name) === true) {
    return `spec.initContainers{${name}}`;
  }
  const isMain = pod.spec.containers.some((one) => one.name === name);
  return isMain ? `spec.containers{${name}}` : `spec.ephemeralContainers{${name}}`;
}

/** Changes with what makes a running container outdated: its image is all that a pod lets change. */
export function containerHash(container: Container): string {
  const text = JSON.stringify([container.name, container.image ?? '']);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** Seconds a pod's containers get to end, once it is to be deleted or ended. */
export function graceSecondsOf(pod: Pod): number {
  return pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
}

export function usesHostNetwork(pod: Pod): boolean {
  return pod.spec.hostNetwork === true;
}

/** True when a container that ended starts again, by its own rules and the pod's policy. */
export function restartsAfter(pod: Pod, container: Container, exitCode: number): boolean {
  for (const rule of container.restartPolicyRules ?? []) {
    const { operator = '', values = [] } = rule.exitCodes ?? {};
    const isListed = values.includes(exitCode);
    if (operator === 'In' ? isListed : operator === 'NotIn' && !isListed) {
      return rule.action === 'Restart';
    }
  }
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? 'Always';
  if (policy === 'Always') return true;
  return policy === 'OnFailure' && exitCode !== 0;
}
