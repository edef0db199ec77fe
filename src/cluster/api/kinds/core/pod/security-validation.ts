/** Security contexts of pods and containers. */
import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
  Sysctl,
} from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  when,
} from '../../../validation/field-error.js';
import { validateOneOf, validateUserId } from '../../../validation/values.js';
import { validateDescendingPath } from './path-validation.js';
import { validateWindowsOptions } from './windows-validation.js';

const PROFILE_TYPES = ['Localhost', 'RuntimeDefault', 'Unconfined'];
const SYSCTL_SEGMENT = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const SYSCTL_REGEX = `^(${SYSCTL_SEGMENT}[\\./])*${SYSCTL_SEGMENT}$`;
const MAX_SYSCTL_LENGTH = 253;
/** The longest path of Linux. */
const MAX_PROFILE_BYTES = 4095;

export function validatePodSecurity(spec: PodSpec, path: string): FieldError[] {
  const context = spec.securityContext;
  if (context === undefined) return [];
  const shares = spec.shareProcessNamespace === true && spec.hostPID === true;
  const detail = 'ShareProcessNamespace and HostPID cannot both be enabled';
  return [
    ...validateUserId(`${path}.fsGroup`, context.fsGroup),
    ...validateUserId(`${path}.runAsUser`, context.runAsUser),
    ...validateUserId(`${path}.runAsGroup`, context.runAsGroup),
    ...(context.supplementalGroups ?? []).flatMap((group, index) =>
      validateUserId(`${path}.supplementalGroups[${index}]`, group),
    ),
    ...when(shares, () => fieldInvalid(`${path}.shareProcessNamespace`, true, detail)),
    ...(context.sysctls ?? []).flatMap((sysctl, index, all) =>
      validateSysctl(sysctl, all.slice(0, index), spec, `${path}.sysctls[${index}].name`),
    ),
    ...validateOptional(context, 'fsGroupChangePolicy', ['Always', 'OnRootMismatch'], path),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...validateWindowsOptions(context.windowsOptions, `${path}.windowsOptions`),
    ...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`),
    ...validateOptional(context, 'supplementalGroupsPolicy', ['Merge', 'Strict'], path),
    ...validateOptional(context, 'seLinuxChangePolicy', ['MountOption', 'Recursive'], path),
  ];
}

function validateOptional(
  context: PodSecurityContext,
  name: 'fsGroupChangePolicy' | 'seLinuxChangePolicy' | 'supplementalGroupsPolicy',
  supported: readonly string[],
  path: string,
): FieldError[] {
  const value = context[name];
  return value === undefined ? [] : validateOneOf(`${path}.${name}`, value, supported);
}

function validateSysctl(
  { name = '' }: Sysctl,
  before: readonly Sysctl[],
  spec: PodSpec,
  path: string,
): FieldError[] {
  const isValid = name.length <= MAX_SYSCTL_LENGTH && new RegExp(SYSCTL_REGEX).test(name);
  const rule = `must have at most ${MAX_SYSCTL_LENGTH} characters and match regex ${SYSCTL_REGEX}`;
  const isRepeated = before.some((other) => other.name === name);
  return [
    ...(name === ''
      ? [fieldRequired(path)]
      : isValid
        ? when(isRepeated, () => fieldDuplicate(path, name))
        : [fieldInvalid(path, name, rule)]),
    ...validateHostSysctl(name, spec, path),
  ];
}

/** A kernel parameter of a namespace that the pod shares with the node belongs to the node. */
function validateHostSysctl(name: string, spec: PodSpec, path: string): FieldError[] {
  const dotted = name.replaceAll('/', '.');
  const isNet = dotted.startsWith('net.');
  const isIpc = /^(fs\.mqueue\.|kernel\.(msg|sem|shm))/.test(dotted);
  if (isNet && spec.hostNetwork === true)
    return [fieldInvalid(path, name, "may not be specified when 'hostNetwork' is true")];
  return when(isIpc && spec.hostIPC === true, () =>
    fieldInvalid(path, name, "may not be specified when 'hostIPC' is true"),
  );
}

function validateSeccomp(profile: SeccompProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const { type = '', localhostProfile } = profile;
  const typeErrors =
    type === ''
      ? [fieldRequired(`${path}.type`, 'type is required when seccompProfile is set')]
      : validateOneOf(`${path}.type`, type, PROFILE_TYPES);
  const at = `${path}.localhostProfile`;
  if (type !== 'Localhost') {
    const detail = 'can only be set when seccomp type is Localhost';
    const shown = { Type: type, LocalhostProfile: localhostProfile };
    return [
      ...typeErrors,
      ...when(localhostProfile !== undefined, () => fieldInvalid(at, shown, detail)),
    ];
  }
  if (localhostProfile === undefined)
    return [...typeErrors, fieldRequired(at, 'must be set when seccomp type is Localhost')];
  return [...typeErrors, ...validateDescendingPath(localhostProfile, at)];
}

function validateAppArmor(profile: AppArmorProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const { type = '', localhostProfile } = profile;
  const at = `${path}.localhostProfile`;
  if (type === '')
    return [fieldRequired(`${path}.type`, 'type is required when appArmorProfile is set')];
  if (type === 'Localhost') return validateLocalAppArmor(localhostProfile, at);
  if (!PROFILE_TYPES.includes(type))
    return [fieldNotSupported(`${path}.type`, type, PROFILE_TYPES)];
  return when(localhostProfile !== undefined, () =>
    fieldInvalid(at, localhostProfile, 'can only be set when AppArmor type is Localhost'),
  );
}

function validateLocalAppArmor(profile: string | undefined, path: string): FieldError[] {
  const missing = fieldRequired(path, 'must be set when AppArmor type is Localhost');
  if (profile === undefined) return [missing];
  const isPadded = profile.trim() !== profile;
  return [
    ...when(isPadded, () => fieldInvalid(path, profile, 'must not be padded with whitespace')),
    ...when(profile === '', () => missing),
    ...when(Buffer.byteLength(profile) > MAX_PROFILE_BYTES, () =>
      fieldTooLong(path, MAX_PROFILE_BYTES),
    ),
  ];
}

/** `hostUsers`: the pod has no user namespace of its own. */
export function validateContainerSecurity(
  context: SecurityContext | undefined,
  hostUsers: boolean,
  path: string,
): FieldError[] {
  if (context === undefined) return [];
  const { procMount } = context;
  const isUnmasked = hostUsers && procMount === 'Unmasked';
  return [
    ...validateUserId(`${path}.runAsUser`, context.runAsUser),
    ...validateUserId(`${path}.runAsGroup`, context.runAsGroup),
    ...(procMount === undefined
      ? []
      : validateOneOf(`${path}.procMount`, procMount, ['Default', 'Unmasked'])),
    ...when(isUnmasked, () =>
      fieldInvalid(`${path}.procMount`, procMount, '`hostUsers` must be false to use `Unmasked`'),
    ),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...validateEscalation(context, path),
    ...validateWindowsOptions(context.windowsOptions, `${path}.windowsOptions`),
    ...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`),
  ];
}

/** A container that may do everything cannot be kept from gaining more. */
function validateEscalation(context: SecurityContext, path: string): FieldError[] {
  if (context.allowPrivilegeEscalation !== false) return [];
  const admins = (context.capabilities?.add ?? []).filter((name) => name === 'CAP_SYS_ADMIN');
  const wrong = (what: string): FieldError =>
    fieldInvalid(
      path,
      internalForm(context),
      `cannot set \`allowPrivilegeEscalation\` to false and ${what}`,
    );
  return [
    ...when(context.privileged === true, () => wrong('`privileged` to true')),
    ...admins.map(() => wrong('`capabilities.Add` CAP_SYS_ADMIN')),
  ];
}

/** The form in which messages show a security context: all fields, with the names of Go. */
function internalForm(context: SecurityContext): object {
  const names = {
    Capabilities: 'capabilities',
    Privileged: 'privileged',
    SELinuxOptions: 'seLinuxOptions',
    WindowsOptions: 'windowsOptions',
    RunAsUser: 'runAsUser',
    RunAsGroup: 'runAsGroup',
    RunAsNonRoot: 'runAsNonRoot',
    ReadOnlyRootFilesystem: 'readOnlyRootFilesystem',
    AllowPrivilegeEscalation: 'allowPrivilegeEscalation',
    ProcMount: 'procMount',
    SeccompProfile: 'seccompProfile',
    AppArmorProfile: 'appArmorProfile',
  } as const;
  return Object.fromEntries(
    Object.entries(names).map(([shown, name]) => [shown, goNames(context[name])]),
  );
}

/** A JSON value with the first letters of its fields in upper case, and null for a missing one. */
function goNames(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (Array.isArray(value)) return value.map(goNames);
  if (typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`,
      goNames(inner),
    ]),
  );
}
