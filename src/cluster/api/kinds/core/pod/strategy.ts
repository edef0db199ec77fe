/** Fields of a pod that the server decides when it is created or changed. */
import type { Pod, PodSpec } from '../../../../../gen/kube-core-v1.js';
import type { LabelSelector } from '../../../../../gen/kube-meta-v1.js';
import { qosClassOf } from '../qos.js';
import { APPARMOR_CONTAINER } from './annotation-validation.js';
import { containersOf, type AnyContainer } from './containers.js';

const MAX_PROFILE_LENGTH = 4095;

export function preparePodCreate(pod: Pod): void {
  pod.status = { phase: 'Pending', qosClass: qosClassOf(pod.spec) };
  dropUnservedFields(pod.spec);
  if ((pod.spec.schedulingGates ?? []).length > 0)
    pod.status.conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
      },
    ];
  selectByOwnLabels(pod);
  for (const { container } of containersOf(pod.spec, '')) useAppArmorAnnotation(pod, container);
}

export function preparePodUpdate(next: Pod, old: Pod): void {
  next.status = old.status;
  dropUnservedFields(next.spec);
}

/** A status write changes nothing but the status; the kubelet may leave out what it does not know. */
export function preparePodStatusUpdate(next: Pod, old: Pod): void {
  next.spec = old.spec;
  next.metadata.deletionTimestamp = old.metadata.deletionTimestamp;
  next.metadata.ownerReferences = old.metadata.ownerReferences;
  const status = next.status ?? {};
  next.status = status;
  if ((status.qosClass ?? '') === '') status.qosClass = old.status?.qosClass;
  if ((status.observedGeneration ?? 0) === 0)
    status.observedGeneration = old.status?.observedGeneration;
  const known = new Map(old.status?.conditions?.map((condition) => [condition.type, condition]));
  for (const condition of status.conditions ?? [])
    if ((condition.observedGeneration ?? 0) === 0)
      condition.observedGeneration = known.get(condition.type)?.observedGeneration;
}

/** Fields whose features are off in this version of Kubernetes are dropped without a word. */
export function dropUnservedFields(spec: PodSpec): void {
  delete spec.schedulingGroup;
  for (const { container } of containersOf(spec, '')) delete container.lifecycle?.stopSignal;
}

/** Turns keys of labels in affinity terms and spread constraints into what the pod's labels say. */
function selectByOwnLabels({ metadata, spec }: Pod): void {
  const labels = metadata.labels ?? {};
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {};
  const terms = [podAffinity, podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
      ({ podAffinityTerm }) => podAffinityTerm,
    ),
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
  ]);
  for (const term of terms) {
    selectOwn(term.labelSelector, term.matchLabelKeys, 'In', labels);
    selectOwn(term.labelSelector, term.mismatchLabelKeys, 'NotIn', labels);
  }
  for (const { labelSelector, matchLabelKeys } of spec.topologySpreadConstraints ?? [])
    selectOwn(labelSelector, matchLabelKeys, 'In', labels);
}

/** Without a selector nothing is selected, and so it stays. */
function selectOwn(
  selector: LabelSelector | undefined,
  keys: readonly string[] | undefined,
  operator: 'In' | 'NotIn',
  labels: Readonly<Record<string, string>>,
): void {
  if (selector === undefined) return;
  for (const key of keys ?? []) {
    const value = labels[key];
    if (value === undefined) continue;
    selector.matchExpressions = [
      ...(selector.matchExpressions ?? []),
      { key, operator, values: [value] },
    ];
  }
}

/** Old clients ask for a profile by annotation; the field says the same from then on. */
function useAppArmorAnnotation({ metadata, spec }: Pod, container: AnyContainer): void {
  const text = metadata.annotations?.[APPARMOR_CONTAINER + container.name];
  if (text === undefined || spec.os?.name === 'windows') return;
  if (container.securityContext?.appArmorProfile !== undefined) return;
  const profile = appArmorProfileOf(text);
  const ofPod = spec.securityContext?.appArmorProfile;
  const isSame =
    ofPod?.type === profile?.type && ofPod?.localhostProfile === profile?.localhostProfile;
  if (profile === undefined || isSame) return;
  container.securityContext = { ...container.securityContext, appArmorProfile: profile };
}

function appArmorProfileOf(text: string): { type: string; localhostProfile?: string } | undefined {
  if (text === 'unconfined') return { type: 'Unconfined' };
  if (text === 'runtime/default') return { type: 'RuntimeDefault' };
  const [, name = ''] = /^localhost\/(.*)$/s.exec(text) ?? [];
  const isValid = name !== '' && name.trim() === name && name.length <= MAX_PROFILE_LENGTH;
  return isValid ? { type: 'Localhost', localhostProfile: name } : undefined;
}

/**
 * Seconds that a pod gets to end. A pod that no node has, or that has ended, is gone at once.
 */
export function podGraceSeconds({ spec, status }: Pod): number {
  const hasEnded = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  if ((spec.nodeName ?? '') === '' || hasEnded) return 0;
  const seconds = spec.terminationGracePeriodSeconds ?? 0;
  return seconds < 0 ? 1 : seconds;
}
