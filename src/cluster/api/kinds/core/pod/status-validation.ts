/** The status of a pod, which its kubelet and the scheduler report. */
import { isIPv6 } from 'node:net';
import type {
  Container,
  ContainerStatus,
  Pod,
  PodCondition,
  PodSpec,
} from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldProblems,
  validateImmutable,
  when,
} from '../../../validation/field-error.js';
import { qualifiedNameProblems, subdomainProblems } from '../../../validation/names.js';
import { validateIpLoosely, validateUserId } from '../../../validation/values.js';
import { validatePodAnnotations, validatePodAnnotationUpdates } from './annotation-validation.js';
import { isSidecar } from './containers.js';

const STATUSES = [
  'containerStatuses',
  'initContainerStatuses',
  'ephemeralContainerStatuses',
] as const;

export function validatePodStatusUpdate(next: Pod, old: Pod): FieldError[] {
  const status = next.status ?? {};
  const annotations = next.metadata.annotations ?? {};
  const at = 'metadata.annotations';
  const isNegative = (status.observedGeneration ?? 0) < 0;
  return [
    ...validatePodAnnotationUpdates(annotations, old.metadata.annotations ?? {}, at),
    ...validatePodAnnotations(annotations, next.spec, at),
    ...validateConditions(status.conditions ?? [], 'status.conditions'),
    ...validateNomination(next, old),
    ...when(isNegative, () =>
      fieldInvalid(
        'status.observedGeneration',
        status.observedGeneration,
        'must be a non-negative integer',
      ),
    ),
    ...validateImmutable('status.qosClass', status.qosClass ?? '', old.status?.qosClass ?? ''),
    ...STATUSES.flatMap((field) => validateStates(field, next, old)),
    ...validateIps('podIPs', next, old),
    ...validateHostIp(next),
    ...validateIps('hostIPs', next, old),
    ...STATUSES.flatMap((field) => validateUsers(status[field] ?? [], `status.${field}`)),
  ];
}

const SYSTEM_CONDITIONS: ReadonlySet<string> = new Set(['PodScheduled', 'Ready', 'Initialized']);

function validateConditions(conditions: readonly PodCondition[], path: string): FieldError[] {
  return conditions.flatMap(({ type = '', observedGeneration = 0 }, index) => [
    ...when(observedGeneration < 0, () =>
      fieldInvalid(
        `${path}[${index}].observedGeneration`,
        observedGeneration,
        'must be a non-negative integer',
      ),
    ),
    ...(SYSTEM_CONDITIONS.has(type)
      ? []
      : fieldProblems(`${path}[${index}].Type`, type, qualifiedNameProblems(type))),
  ]);
}

/** The node on which room is being made; a pod that has a node needs none. */
function validateNomination(next: Pod, old: Pod): FieldError[] {
  const name = next.status?.nominatedNodeName ?? '';
  const path = 'status.nominatedNodeName';
  if (name === '' || name === old.status?.nominatedNodeName) return [];
  const isBound = (old.spec.nodeName ?? '') !== '';
  const detail = 'may not be set on pods that are already bound to a node';
  return [
    ...fieldProblems(path, name, subdomainProblems(name)),
    ...when(isBound, () => fieldForbidden(path, detail)),
  ];
}

/** A container that ended and is not to start again cannot come back. */
function validateStates(field: (typeof STATUSES)[number], next: Pod, old: Pod): FieldError[] {
  const after = next.status?.[field] ?? [];
  return (old.status?.[field] ?? []).flatMap(({ name, state }, index) => {
    const ended = state?.terminated;
    const current = after.find((status) => status.name === name);
    if (ended === undefined || current === undefined) return [];
    const isBack = current.state?.terminated === undefined;
    const mayBe = mayRestart(field, name, ended.exitCode, old.spec);
    return when(isBack && !mayBe, () =>
      fieldForbidden(
        `status.${field}[${index}].state`,
        'may not be transitioned to non-terminated state',
      ),
    );
  });
}

function mayRestart(
  field: (typeof STATUSES)[number],
  name: string,
  exitCode: number,
  spec: PodSpec,
): boolean {
  if (field === 'ephemeralContainerStatuses') return false;
  const all = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  const restartsAll = all.some(
    ({ restartPolicyRules: rules }) =>
      rules?.some(({ action }) => action === 'RestartAllContainers') === true,
  );
  if (restartsAll) return true;
  const list = field === 'containerStatuses' ? spec.containers : spec.initContainers;
  const container = list?.find((candidate) => candidate.name === name);
  return container !== undefined && shouldRestart(container, exitCode, spec);
}

/** By the container's own rules, then its own policy, then the pod's. */
function shouldRestart(container: Container, exitCode: number, spec: PodSpec): boolean {
  const isRuleMet = (container.restartPolicyRules ?? []).some(({ exitCodes }) => {
    const isListed = exitCodes?.values?.includes(exitCode) === true;
    return exitCodes?.operator === 'In' ? isListed : exitCodes !== undefined && !isListed;
  });
  if (isRuleMet || isSidecar(container)) return true;
  const policy = container.restartPolicy ?? spec.restartPolicy;
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

function validateIps(field: 'hostIPs' | 'podIPs', next: Pod, old: Pod): FieldError[] {
  const path = `status.${field}`;
  const known = new Set((old.status?.[field] ?? []).map(({ ip }) => ip));
  const ips = (next.status?.[field] ?? []).map(({ ip = '' }) => ip);
  const families = new Set(ips.map(isIPv6));
  const detail = 'may specify no more than one IP for each IP family';
  return [
    ...ips.flatMap((ip, index) =>
      known.has(ip) ? [] : validateIpLoosely(`${path}[${index}]`, ip),
    ),
    ...when(ips.length > families.size, () => fieldInvalid(path, next.status?.[field], detail)),
  ];
}

function validateHostIp({ status }: Pod): FieldError[] {
  const first = status?.hostIPs?.[0]?.ip;
  return when(first !== undefined && first !== status?.hostIP, () =>
    fieldInvalid('status.hostIPs[0].ip', first, 'must be equal to `hostIP`'),
  );
}

function validateUsers(statuses: readonly ContainerStatus[], path: string): FieldError[] {
  return statuses.flatMap(({ user }, index) => {
    const linux = user?.linux;
    const at = `${path}[${index}].user.linux`;
    return [
      ...validateUserId(`${at}.uid`, linux?.uid),
      ...validateUserId(`${at}.gid`, linux?.gid),
      ...(linux?.supplementalGroups ?? []).flatMap((group, groupIndex) =>
        validateUserId(`${at}.supplementalGroups[${groupIndex}]`, group),
      ),
    ];
  });
}
