/** Pods as a whole and what may change in one (k8s.io/kubernetes pkg/apis/core/validation). */
import type {
  Container,
  NodeAffinity,
  NodeSelectorTerm,
  Pod,
  PodSchedulingGate,
  PodSpec,
  Toleration,
} from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  isSameValue,
  when,
} from '../../../validation/field-error.js';
import {
  validatePodAnnotations,
  validatePodAnnotationUpdates,
  validateProfilesMatch,
} from './annotation-validation.js';
import { validateImagePadding } from './container-validation.js';
import { validatePodSpec } from './spec-validation.js';
import { specDifference } from './spec-difference.js';

const MAX_INT32 = 2 ** 31 - 1;

export function validatePod(pod: Pod): FieldError[] {
  const { metadata, spec } = pod;
  const padding = (containers: readonly Container[] | undefined, path: string): FieldError[] =>
    (containers ?? []).flatMap((container, index) =>
      validateImagePadding(container, `${path}[${index}]`),
    );
  return [
    ...validatePodAnnotations(metadata.annotations ?? {}, spec, 'metadata.annotations'),
    ...validatePodSpec(spec, metadata.name ?? '', true, 'spec'),
    ...validateTokenSources(spec),
    ...padding(spec.containers, 'spec.containers'),
    ...padding(spec.initContainers, 'spec.initContainers'),
  ];
}

/** A pod without a service account has nothing to make a token of. */
function validateTokenSources(spec: PodSpec): FieldError[] {
  if ((spec.serviceAccountName ?? '') !== '') return [];
  const detail = 'must not be specified when serviceAccountName is not set';
  return (spec.volumes ?? []).flatMap(({ projected }, index) =>
    (projected?.sources ?? []).flatMap(({ serviceAccountToken }, sourceIndex) =>
      when(serviceAccountToken !== undefined, () =>
        fieldForbidden(
          `spec.volumes[${index}].projected.sources[${sourceIndex}].serviceAccountToken`,
          detail,
        ),
      ),
    ),
  );
}

/** Rules that hold at creation only. */
export function validatePodCreate({ metadata, spec }: Pod): FieldError[] {
  const isBoundAndGated = (spec.nodeName ?? '') !== '' && (spec.schedulingGates ?? []).length > 0;
  const detail = 'cannot be set until all schedulingGates have been cleared';
  return [
    ...when((spec.ephemeralContainers ?? []).length > 0, () =>
      fieldForbidden('spec.ephemeralContainers', 'cannot be set on create'),
    ),
    ...when(isBoundAndGated, () => fieldForbidden('spec.nodeName', detail)),
    ...validateProfilesMatch(metadata, spec, 'spec'),
  ];
}

export function validatePodUpdate(next: Pod, old: Pod): FieldError[] {
  const found = validatePodAnnotationUpdates(
    next.metadata.annotations ?? {},
    old.metadata.annotations ?? {},
    'metadata.annotations',
  );
  for (const field of ['containers', 'initContainers'] as const) {
    const added = (next.spec[field] ?? []).length !== (old.spec[field] ?? []).length;
    if (added)
      return [
        ...found,
        fieldForbidden(`spec.${field}`, 'pod updates may not add or remove containers'),
      ];
    found.push(...validateImages(next.spec[field] ?? [], `spec.${field}`));
  }
  const deadline = validateDeadline(next.spec, old.spec);
  if (deadline.isFatal) return [...found, ...deadline.errors];
  return [
    ...found,
    ...deadline.errors,
    ...validateTolerationsUpdate(next.spec.tolerations ?? [], old.spec.tolerations ?? []),
    ...validateGatesUpdate(next.spec.schedulingGates ?? [], old.spec.schedulingGates ?? []),
    ...validateSpecUpdate(next.spec, old.spec),
  ];
}

function validateImages(containers: readonly Container[], path: string): FieldError[] {
  return containers.flatMap((container, index) => [
    ...when((container.image ?? '') === '', () => fieldRequired(`${path}[${index}].image`)),
    ...validateImagePadding(container, `${path}[${index}]`),
  ]);
}

/** A deadline may come nearer, and be set later; an impossible one ends the validation. */
function validateDeadline(
  { activeDeadlineSeconds: next }: PodSpec,
  { activeDeadlineSeconds: old }: PodSpec,
): { readonly errors: FieldError[]; readonly isFatal: boolean } {
  const at = 'spec.activeDeadlineSeconds';
  if (next === undefined) {
    const detail = 'must not update from a positive integer to nil value';
    const errors = when(old !== undefined, () => fieldInvalid(at, undefined, detail));
    return { errors, isFatal: false };
  }
  if (next < 0 || next > MAX_INT32) {
    const detail = `must be between 0 and ${MAX_INT32}, inclusive`;
    return { errors: [fieldInvalid(at, next, detail)], isFatal: true };
  }
  const isLater = old !== undefined && old < next;
  const detail = 'must be less than or equal to previous value';
  return { errors: when(isLater, () => fieldInvalid(at, next, detail)), isFatal: isLater };
}

/** Tolerations may be added, and their time changed. */
function validateTolerationsUpdate(
  next: readonly Toleration[],
  old: readonly Toleration[],
): FieldError[] {
  const untimed = (toleration: Toleration): Toleration => ({
    ...toleration,
    tolerationSeconds: undefined,
  });
  const isKept = old.every((toleration) =>
    next.some((candidate) => isSameValue(untimed(candidate), untimed(toleration))),
  );
  const detail = 'existing toleration can not be modified except its tolerationSeconds';
  return when(!isKept, () => fieldForbidden('spec.tolerations', detail));
}

function validateGatesUpdate(
  next: readonly PodSchedulingGate[],
  old: readonly PodSchedulingGate[],
): FieldError[] {
  return next.flatMap(({ name }, index) =>
    when(!old.some((gate) => gate.name === name), () =>
      fieldForbidden(
        `spec.schedulingGates[${index}].name`,
        `only deletion is allowed, but found new scheduling gate '${name}'`,
      ),
    ),
  );
}

const UPDATABLE = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
].join(',');

function validateSpecUpdate(next: PodSpec, old: PodSpec): FieldError[] {
  if (isSameValue(next, old)) return [];
  const isGated = (old.schedulingGates ?? []).length > 0;
  const rest = isGated
    ? withoutPlacement(withoutUpdatable(next, old), old)
    : withoutUpdatable(next, old);
  const detail = `pod updates may not change fields other than ${UPDATABLE}\n`;
  return [
    ...(isGated ? validatePlacementUpdate(next, old) : []),
    ...when(!isSameValue(rest, old), () =>
      fieldForbidden('spec', detail + specDifference(old, rest)),
    ),
  ];
}

/** `next` with what may change put back to what it was. */
function withoutUpdatable(next: PodSpec, old: PodSpec): PodSpec {
  const images = (
    containers: readonly Container[] | undefined,
    before: readonly Container[] | undefined,
  ): Container[] | undefined =>
    containers?.map((container, index) => ({ ...container, image: before?.[index]?.image }));
  const wasNegative = (old.terminationGracePeriodSeconds ?? 0) < 0;
  return {
    ...next,
    containers: images(next.containers, old.containers) ?? [],
    initContainers: images(next.initContainers, old.initContainers),
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    schedulingGates: old.schedulingGates,
    tolerations: old.tolerations,
    terminationGracePeriodSeconds:
      wasNegative && next.terminationGracePeriodSeconds === 1
        ? old.terminationGracePeriodSeconds
        : next.terminationGracePeriodSeconds,
  };
}

/** As long as gates hold a pod back, the nodes it may run on can be narrowed. */
function withoutPlacement(next: PodSpec, old: PodSpec): PodSpec {
  const others = { ...next.affinity, nodeAffinity: old.affinity?.nodeAffinity };
  const isEmpty = Object.values(others).every((part) => part === undefined);
  return {
    ...next,
    nodeSelector: old.nodeSelector,
    affinity: isEmpty ? old.affinity : others,
  };
}

function validatePlacementUpdate(next: PodSpec, old: PodSpec): FieldError[] {
  const selector = next.nodeSelector ?? {};
  const isKept = Object.entries(old.nodeSelector ?? {}).every(
    ([key, value]) => selector[key] === value,
  );
  const detail = 'only additions to spec.nodeSelector are allowed (no mutations or deletions)';
  return [
    ...when(!isKept, () => fieldInvalid('spec.nodeSelector', next.nodeSelector, detail)),
    ...validateNodeAffinityUpdate(next.affinity?.nodeAffinity, old.affinity?.nodeAffinity),
  ];
}

function validateNodeAffinityUpdate(
  next: NodeAffinity | undefined,
  old: NodeAffinity | undefined,
): FieldError[] {
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  const before = old?.[required]?.nodeSelectorTerms ?? [];
  const after = next?.[required]?.nodeSelectorTerms ?? [];
  const path = `spec.affinity.nodeAffinity.${required}.nodeSelectorTerms`;
  if (before.length > 0 && before.length !== after.length) {
    const detail = 'no additions/deletions to non-empty NodeSelectorTerms list are allowed';
    return [fieldInvalid(path, after, detail)];
  }
  return before.flatMap((term, index) =>
    when(!onlyAdds(after[index] ?? {}, term), () =>
      fieldInvalid(
        `${path}[${index}]`,
        after[index],
        'only additions are allowed (no mutations or deletions)',
      ),
    ),
  );
}

/** An empty term matches no node, so that adding to it would widen it. */
function onlyAdds(next: NodeSelectorTerm, old: NodeSelectorTerm): boolean {
  const lists = ['matchExpressions', 'matchFields'] as const;
  const sizes = lists.map((list) => (old[list] ?? []).length);
  if (sizes.every((size) => size === 0))
    return lists.every((list) => (next[list] ?? []).length === 0);
  return lists.every((list) => {
    const before = old[list] ?? [];
    return isSameValue((next[list] ?? []).slice(0, before.length), before);
  });
}
