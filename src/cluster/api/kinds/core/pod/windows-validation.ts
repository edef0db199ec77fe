/** Rules for fields of pods for Windows. The nodes run Linux; such pods are only kept. */
import type { PodSpec, WindowsSecurityContextOptions } from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  when,
} from '../../../validation/field-error.js';
import { subdomainProblems } from '../../../validation/names.js';
import { containersOf } from './containers.js';

const MAX_CREDENTIAL_SPEC_BYTES = 64 * 1024;
const MAX_DOMAIN_LENGTH = 256;
const MAX_USER_LENGTH = 104;
const NETBIOS = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const DNS_LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const DNS_DOMAIN = new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`);

export function validateWindowsOptions(
  options: WindowsSecurityContextOptions | undefined,
  path: string,
): FieldError[] {
  if (options === undefined) return [];
  const { gmsaCredentialSpecName: specName, gmsaCredentialSpec: spec, runAsUserName } = options;
  const bytes = spec === undefined ? undefined : Buffer.byteLength(spec);
  const at = `${path}.gmsaCredentialSpec`;
  return [
    ...(specName === undefined
      ? []
      : fieldProblems(`${at}Name`, specName, subdomainProblems(specName))),
    ...when(bytes === 0, () =>
      fieldInvalid(at, spec, 'gmsaCredentialSpec cannot be an empty string'),
    ),
    ...when(bytes !== undefined && bytes > MAX_CREDENTIAL_SPEC_BYTES, () =>
      fieldInvalid(at, spec, 'gmsaCredentialSpec size must be under 64 KiB'),
    ),
    ...(runAsUserName === undefined
      ? []
      : fieldProblems(`${path}.runAsUserName`, runAsUserName, userNameProblems(runAsUserName))),
  ];
}

/** `user` or `domain\user`. */
function userNameProblems(name: string): string[] {
  const parts = name.split('\\');
  if (name === '') return ['runAsUserName cannot be an empty string'];
  if (/\p{Cc}/u.test(name)) return ['runAsUserName cannot contain control characters'];
  if (parts.length > 2) return ['runAsUserName cannot contain more than one backslash'];
  const user = parts.at(-1) ?? '';
  const domain = parts.length === 2 ? (parts[0] ?? '') : undefined;
  const isDomainWrong = domain !== undefined && !NETBIOS.test(domain) && !DNS_DOMAIN.test(domain);
  const rules: [boolean, string][] = [
    [
      domain !== undefined && domain.length >= MAX_DOMAIN_LENGTH,
      `Domain length must be under ${MAX_DOMAIN_LENGTH} characters`,
    ],
    [isDomainWrong, "Domain doesn't match the NetBios nor the DNS format"],
    [user === '', 'User cannot be empty'],
    [
      user.length > MAX_USER_LENGTH,
      `User length must not be longer than ${MAX_USER_LENGTH} characters`,
    ],
    [/^[. ]+$/.test(user), 'User cannot contain only periods or spaces'],
    [
      /["/\\:;|=,+*?<>@[\]]/.test(user),
      'User cannot contain the following characters: "/\\:;|=,+*?<>@[]',
    ],
  ];
  return rules.filter(([isBroken]) => isBroken).map(([, problem]) => `runAsUserName's ${problem}`);
}

/** Either all containers of a pod run as processes of a Windows host, or none. */
export function validateHostProcesses(spec: PodSpec, path: string): FieldError[] {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  const containers = containersOf(spec, path).map(({ container, path: at }) => ({
    at: `${at}.securityContext.windowsOptions.hostProcess`,
    own: container.securityContext?.windowsOptions?.hostProcess,
  }));
  const count = containers.filter(({ own }) => (own ?? ofPod) === true).length;
  const mixed =
    'If pod contains any hostProcess containers then all containers must be HostProcess containers';
  const needsNetwork = 'hostNetwork must be true if pod contains any hostProcess containers';
  return [
    ...containers.flatMap(({ at, own }) =>
      when(ofPod !== undefined && own !== undefined && own !== ofPod, () =>
        fieldInvalid(
          at,
          own,
          `pod hostProcess value must be identical if both are specified, was ${String(ofPod)}`,
        ),
      ),
    ),
    ...when(count > 0 && count !== containers.length, () => fieldInvalid(path, '', mixed)),
    ...when(count > 0 && spec.hostNetwork !== true, () =>
      fieldInvalid(`${path}.hostNetwork`, false, needsNetwork),
    ),
  ];
}

/** Fields of a pod must fit the operating system that it names. */
export function validateOs(spec: PodSpec, path: string): FieldError[] {
  if (spec.os === undefined) return [];
  const { name = '' } = spec.os;
  if (name === '') return [fieldRequired(`${path}.os.name`)];
  if (name === 'windows') return validateWindowsPod(spec, path);
  if (name !== 'linux') return [fieldNotSupported(`${path}.os`, name, ['linux', 'windows'])];
  return forbidFields(
    ['windowsOptions'],
    ['windowsOptions'],
    'windows options cannot be set for a linux pod',
    spec,
    path,
  );
}

function validateWindowsPod(spec: PodSpec, path: string): FieldError[] {
  return forbidFields(
    [
      'appArmorProfile',
      'seLinuxOptions',
      'hostUsers',
      'hostPID',
      'hostIPC',
      'seccompProfile',
      'fsGroup',
      'fsGroupChangePolicy',
      'sysctls',
      'shareProcessNamespace',
      'runAsUser',
      'runAsGroup',
      'supplementalGroups',
      'supplementalGroupsPolicy',
      'seLinuxChangePolicy',
    ],
    [
      'appArmorProfile',
      'seLinuxOptions',
      'seccompProfile',
      'capabilities',
      'readOnlyRootFilesystem',
      'privileged',
      'allowPrivilegeEscalation',
      'procMount',
      'runAsUser',
      'runAsGroup',
    ],
    'cannot be set for a windows pod',
    spec,
    path,
  );
}

/** Fields of the pod that are named here but stand in the spec itself. */
const SPEC_FIELDS: ReadonlySet<string> = new Set([
  'hostUsers',
  'hostPID',
  'hostIPC',
  'shareProcessNamespace',
]);

function forbidFields(
  ofPod: readonly string[],
  ofContainers: readonly string[],
  detail: string,
  spec: PodSpec,
  path: string,
): FieldError[] {
  const podErrors = ofPod.flatMap((name) => {
    const holder: object = SPEC_FIELDS.has(name) ? spec : (spec.securityContext ?? {});
    const at = SPEC_FIELDS.has(name) ? `${path}.${name}` : `${path}.securityContext.${name}`;
    return when(isSet(holder, name), () => fieldForbidden(at, detail));
  });
  const containerErrors = containersOf(spec, path).flatMap(({ container, path: at }) =>
    ofContainers.flatMap((name) =>
      when(isSet(container.securityContext ?? {}, name), () =>
        fieldForbidden(`${at}.securityContext.${name}`, detail),
      ),
    ),
  );
  return [...podErrors, ...containerErrors];
}

/** Booleans of the spec that are no pointers count as set only when true. */
function isSet(holder: object, name: string): boolean {
  const value = (holder as Record<string, unknown>)[name];
  if (name === 'hostPID' || name === 'hostIPC') return value === true;
  return value !== undefined && !(Array.isArray(value) && value.length === 0);
}
