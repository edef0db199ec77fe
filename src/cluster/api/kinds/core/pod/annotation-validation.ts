/** Annotations of pods that mean something to Kubernetes. */
import type { AppArmorProfile, PodSpec, SeccompProfile } from '../../../../../gen/kube-core-v1.js';
import type { ObjectMeta } from '../../../../../gen/kube-meta-v1.js';
import type { FieldError } from '../../../status.js';
import { fieldForbidden, fieldInvalid, goQuote, when } from '../../../validation/field-error.js';
import { containersOf } from './containers.js';
import { MIRROR_ANNOTATION } from './mirror.js';
import { validateDescendingPath } from './path-validation.js';
import { validateTolerations } from './scheduling-validation.js';
import type { Toleration } from '../../../../../gen/kube-core-v1.js';

const TOLERATIONS = 'scheduler.alpha.kubernetes.io/tolerations';
const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';
export const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
export const SECCOMP_CONTAINER = 'container.seccomp.security.alpha.kubernetes.io/';
export const APPARMOR_CONTAINER = 'container.apparmor.security.beta.kubernetes.io/';

type Annotations = Readonly<Record<string, string>>;

export function validatePodAnnotations(
  annotations: Annotations,
  spec: PodSpec,
  path: string,
): FieldError[] {
  const mirror = annotations[MIRROR_ANNOTATION];
  const needsNode = mirror !== undefined && (spec.nodeName ?? '') === '';
  const cost = annotations[DELETION_COST];
  return [
    ...when(needsNode, () =>
      fieldInvalid(
        `${path}[${MIRROR_ANNOTATION}]`,
        mirror,
        'must set spec.nodeName if mirror pod annotation is set',
      ),
    ),
    ...validateTolerationsText(annotations[TOLERATIONS] ?? '', path),
    ...when(cost !== undefined && !isInt32(cost), () =>
      fieldInvalid(`${path}[${DELETION_COST}]`, cost, 'must be a 32bit integer'),
    ),
    ...Object.entries(annotations).flatMap(([key, value]) =>
      key === SECCOMP_POD || key.startsWith(SECCOMP_CONTAINER)
        ? validateSeccompText(value, `${path}.${key}`)
        : [],
    ),
    ...validateAppArmorTexts(annotations, spec, path),
  ];
}

/** A pod that a node runs on its own stays one, and profiles stay what they were. */
export function validatePodAnnotationUpdates(
  next: Annotations,
  old: Annotations,
  path: string,
): FieldError[] {
  const changed = Object.keys(old).filter((key) => next[key] !== old[key]);
  const added = Object.keys(next).filter((key) => old[key] === undefined);
  const forbid = (keys: readonly string[], verb: string): FieldError[] =>
    keys.flatMap((key) => [
      ...when(key.startsWith(APPARMOR_CONTAINER), () =>
        fieldForbidden(`${path}[${key}]`, `may not ${verb} AppArmor annotations`),
      ),
      ...when(key === MIRROR_ANNOTATION, () =>
        fieldForbidden(`${path}[${key}]`, `may not ${verb} mirror pod annotation`),
      ),
    ]);
  return [...forbid(changed, 'remove or update'), ...forbid(added, 'add')];
}

function isInt32(text: string): boolean {
  return /^(0|-?[1-9]\d{0,9})$/.test(text) && Number(text) === (Number(text) | 0);
}

function validateTolerationsText(text: string, path: string): FieldError[] {
  if (text === '') return [];
  try {
    const parsed = JSON.parse(text) as unknown;
    if (!Array.isArray(parsed)) throw new SyntaxError('a list of tolerations is expected');
    return validateTolerations(parsed as Toleration[], `${path}.${TOLERATIONS}`);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return [fieldInvalid(path, TOLERATIONS, detail)];
  }
}

function validateSeccompText(text: string, path: string): FieldError[] {
  if (['runtime/default', 'docker/default', 'unconfined'].includes(text)) return [];
  if (text.startsWith('localhost/'))
    return validateDescendingPath(text.slice('localhost/'.length), path);
  return [fieldInvalid(path, text, 'must be a valid seccomp profile')];
}

function validateAppArmorTexts(
  annotations: Annotations,
  spec: PodSpec,
  path: string,
): FieldError[] {
  const names = new Set(containersOf(spec, '').map(({ container }) => container.name));
  return Object.entries(annotations).flatMap(([key, profile]) => {
    if (!key.startsWith(APPARMOR_CONTAINER)) return [];
    const name = key.slice(APPARMOR_CONTAINER.length);
    const isKnown = ['', 'runtime/default', 'unconfined'].includes(profile);
    const at = `${path}[${key}]`;
    return [
      ...when(!names.has(name), () => fieldInvalid(at, name, 'container not found')),
      ...when(!isKnown && !profile.startsWith('localhost/'), () =>
        fieldInvalid(at, profile, `invalid AppArmor profile name: ${goQuote(profile)}`),
      ),
    ];
  });
}

/** Profiles in annotations must agree with those in fields. */
export function validateProfilesMatch(meta: ObjectMeta, spec: PodSpec, path: string): FieldError[] {
  const annotations = meta.annotations ?? {};
  const ofPod = spec.securityContext;
  const containers = containersOf(spec, path);
  const isWindows = spec.os?.name === 'windows';
  return [
    ...validateMatch(
      'seccomp',
      annotations[SECCOMP_POD],
      ofPod?.seccompProfile,
      `${path}.securityContext.seccompProfile`,
    ),
    ...containers.flatMap(({ container, path: at }) =>
      validateMatch(
        'seccomp',
        annotations[SECCOMP_CONTAINER + container.name],
        container.securityContext?.seccompProfile,
        `${at}.securityContext.seccompProfile`,
      ),
    ),
    ...(isWindows ? [] : containers).flatMap(({ container, path: at }) =>
      validateMatch(
        'apparmor',
        annotations[APPARMOR_CONTAINER + container.name],
        container.securityContext?.appArmorProfile ?? ofPod?.appArmorProfile,
        `${at}.securityContext.appArmorProfile`,
      ),
    ),
  ];
}

function validateMatch(
  what: 'apparmor' | 'seccomp',
  text: string | undefined,
  profile: AppArmorProfile | SeccompProfile | undefined,
  path: string,
): FieldError[] {
  if (text === undefined || profile === undefined) return [];
  const { type, localhostProfile } = profile;
  const accepted: Readonly<Record<string, readonly string[]>> = {
    Unconfined: ['unconfined'],
    RuntimeDefault:
      what === 'seccomp' ? ['runtime/default', 'docker/default'] : ['runtime/default'],
  };
  const typeDiffers =
    type === 'Localhost'
      ? !text.startsWith('localhost/')
      : accepted[type]?.includes(text) === false;
  if (typeDiffers)
    return [fieldForbidden(`${path}.type`, `${what} type in annotation and field must match`)];
  const isSame = type !== 'Localhost' || text.slice('localhost/'.length) === localhostProfile;
  const detail = `${what} profile in annotation and field must match`;
  return when(!isSame, () => fieldForbidden(`${path}.localhostProfile`, detail));
}
