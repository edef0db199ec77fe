/** Environment variables of a container and the fields they may be taken from. */
import type {
  ConfigMapKeySelector,
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  FileKeySelector,
  ObjectFieldSelector,
  ResourceFieldSelector,
} from '../../../../../gen/kube-core-v1.js';
import { parseQuantity } from '../../../quantity.js';
import type { FieldError } from '../../../status.js';
import {
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  when,
} from '../../../validation/field-error.js';
import {
  configKeyProblems,
  dnsLabelProblems,
  envVarNameProblems,
  qualifiedNameProblems,
  subdomainProblems,
} from '../../../validation/names.js';
import { validateNoBacksteps } from './path-validation.js';

/** Fields that variables may show, in alphabetical order. */
const ENV_FIELDS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
/** Fields of a pod that have a name at all, whether they may be shown or not. */
const NAMED_FIELDS: ReadonlySet<string> = new Set([
  ...ENV_FIELDS,
  'metadata.annotations',
  'metadata.labels',
  'spec.restartPolicy',
  'spec.schedulerName',
  'status.phase',
]);
const CONTAINER_RESOURCE_FIELDS = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

export function validateEnv(variables: readonly EnvVar[], path: string): FieldError[] {
  return variables.flatMap((variable, index) => {
    const { name = '', value = '', valueFrom } = variable;
    const at = `${path}[${index}]`;
    return [
      ...(name === ''
        ? [fieldRequired(`${at}.name`)]
        : fieldProblems(`${at}.name`, name, envVarNameProblems(name))),
      ...(valueFrom === undefined ? [] : validateSource(valueFrom, value, `${at}.valueFrom`)),
    ];
  });
}

function validateSource(source: EnvVarSource, value: string, path: string): FieldError[] {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = source;
  const refs = [fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef];
  const count = refs.filter((ref) => ref !== undefined).length;
  return [
    ...(fieldRef === undefined ? [] : validateFieldRef(fieldRef, ENV_FIELDS, `${path}.fieldRef`)),
    ...(resourceFieldRef === undefined
      ? []
      : validateResourceFieldRef(resourceFieldRef, false, `${path}.resourceFieldRef`)),
    ...(configMapKeyRef === undefined
      ? []
      : validateKeyRef(configMapKeyRef, `${path}.configMapKeyRef`)),
    ...(secretKeyRef === undefined ? [] : validateKeyRef(secretKeyRef, `${path}.secretKeyRef`)),
    ...(fileKeyRef === undefined ? [] : validateFileKeyRef(fileKeyRef, `${path}.fileKeyRef`)),
    ...validateCount(count, value, path),
  ];
}

function validateCount(count: number, value: string, path: string): FieldError[] {
  if (count === 0)
    return [
      fieldInvalid(
        path,
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      ),
    ];
  if (value !== '')
    return [fieldInvalid(path, '', 'may not be specified when `value` is not empty')];
  return when(count > 1, () =>
    fieldInvalid(path, '', 'may not have more than one field specified at a time'),
  );
}

/** A field of the pod, shown by a variable or a file. `allowed`: without subscript, sorted. */
export function validateFieldRef(
  { apiVersion = '', fieldPath = '' }: ObjectFieldSelector,
  allowed: readonly string[],
  path: string,
): FieldError[] {
  if (apiVersion === '') return [fieldRequired(`${path}.apiVersion`)];
  if (fieldPath === '') return [fieldRequired(`${path}.fieldPath`)];
  const wrong = (why: string): FieldError[] => [
    fieldInvalid(`${path}.fieldPath`, fieldPath, `error converting fieldPath: ${why}`),
  ];
  if (apiVersion !== 'v1') return wrong(`unsupported pod version: ${apiVersion}`);
  const subscripted = /^([^[\]]+)\['(.*)'\]$/.exec(fieldPath);
  if (subscripted !== null) {
    const [, field = '', key = ''] = subscripted;
    if (field === 'metadata.labels') return fieldProblems(path, key, qualifiedNameProblems(key));
    if (field !== 'metadata.annotations')
      return wrong(`field label does not support subscript: ${fieldPath}`);
    const lower = key.toLowerCase();
    return fieldProblems(path, lower, qualifiedNameProblems(lower));
  }
  // The name of the first versions of the API.
  const field = fieldPath === 'spec.host' ? 'spec.nodeName' : fieldPath;
  if (!NAMED_FIELDS.has(field)) return wrong(`field label not supported: ${fieldPath}`);
  return when(!allowed.includes(field), () =>
    fieldNotSupported(`${path}.fieldPath`, field, allowed),
  );
}

/** An amount that a container asks for, shown by a variable or (`isVolume`) a file. */
export function validateResourceFieldRef(
  { containerName = '', resource = '', divisor = '0' }: ResourceFieldSelector,
  isVolume: boolean,
  path: string,
): FieldError[] {
  const divisorErrors = validateDivisor(resource, divisor, `${path}.divisor`);
  if (isVolume && containerName === '')
    return [fieldRequired(`${path}.containerName`), ...divisorErrors];
  if (resource === '') return [fieldRequired(`${path}.resource`), ...divisorErrors];
  const isKnown =
    CONTAINER_RESOURCE_FIELDS.includes(resource) || /^(limits|requests)\.hugepages-/.test(resource);
  return [
    ...when(!isKnown, () =>
      fieldNotSupported(`${path}.resource`, resource, CONTAINER_RESOURCE_FIELDS),
    ),
    ...divisorErrors,
  ];
}

const DIVISOR_OF_BYTES = '1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei';

function validateDivisor(resource: string, divisor: string, path: string): FieldError[] {
  if (parseQuantity(divisor).nanos === 0n) return [];
  const name = resource.replace(/^(limits|requests)\./, '');
  if (name === resource) return [];
  if (name === 'cpu') {
    const detail = "only divisor's values 1m and 1 are supported with the cpu resource";
    return when(!['1m', '1'].includes(divisor), () => fieldInvalid(path, resource, detail));
  }
  const titles: Readonly<Record<string, string>> = {
    memory: 'memory',
    'ephemeral-storage': 'local ephemeral storage',
  };
  const title = name.startsWith('hugepages-') ? 'hugepages' : titles[name];
  if (title === undefined) return [];
  const detail = `only divisor's values ${DIVISOR_OF_BYTES} are supported with the ${title} resource`;
  const isKnown = DIVISOR_OF_BYTES.split(', ').includes(divisor);
  return when(!isKnown, () => fieldInvalid(path, resource, detail));
}

/** A key of a ConfigMap or of a Secret. */
function validateKeyRef({ name = '', key = '' }: ConfigMapKeySelector, path: string): FieldError[] {
  return [
    ...fieldProblems(`${path}.name`, name, subdomainProblems(name)),
    ...(key === ''
      ? [fieldRequired(`${path}.key`)]
      : fieldProblems(`${path}.key`, key, configKeyProblems(key))),
  ];
}

function validateFileKeyRef(
  { key = '', volumeName = '', path: file = '' }: FileKeySelector,
  path: string,
): FieldError[] {
  return [
    ...(key === ''
      ? [fieldRequired(`${path}.key`)]
      : fieldProblems(`${path}.key`, key, envVarNameProblems(key))),
    ...(volumeName === ''
      ? [fieldRequired(`${path}.volumeName`)]
      : fieldProblems(`${path}.volumeName`, volumeName, dnsLabelProblems(volumeName))),
    ...(file === '' ? [fieldRequired(`${path}.path`)] : validateNoBacksteps(file, `${path}.path`)),
  ];
}

export function validateEnvFrom(sources: readonly EnvFromSource[], path: string): FieldError[] {
  return sources.flatMap(({ prefix = '', configMapRef, secretRef }, index) => {
    const at = `${path}[${index}]`;
    const named = [
      ['configMapRef', configMapRef],
      ['secretRef', secretRef],
    ] as const;
    const given = named.filter(([, ref]) => ref !== undefined);
    return [
      ...fieldProblems(`${at}.prefix`, prefix, prefix === '' ? [] : envVarNameProblems(prefix)),
      ...given.flatMap(([field, ref]) => validateRefName(ref?.name ?? '', `${at}.${field}.name`)),
      ...when(given.length === 0, () =>
        fieldInvalid(path, '', 'must specify one of: `configMapRef` or `secretRef`'),
      ),
      ...when(given.length > 1, () =>
        fieldInvalid(path, '', 'may not have more than one field specified at a time'),
      ),
    ];
  });
}

/** A name that may end with a dash, as the beginning of a generated one. */
function validateRefName(name: string, path: string): FieldError[] {
  if (name === '') return [fieldRequired(path)];
  const stem = name.length > 1 && name.endsWith('-') ? `${name.slice(0, -2)}a` : name;
  return fieldProblems(path, name, subdomainProblems(stem));
}
