/** The volumes of a pod. */
import type { Volume, VolumeSource } from '../../../../../gen/kube-core-v1.js';
import { parseQuantity } from '../../../quantity.js';
import type { FieldError } from '../../../status.js';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  fieldTooLong,
  goQuote,
  validateAlternatives,
  when,
} from '../../../validation/field-error.js';
import { dnsLabelProblems, subdomainProblems } from '../../../validation/names.js';
import { validateOneOf } from '../../../validation/values.js';
import { validateClaimTemplate } from './claim-validation.js';
import { OLD_SOURCES, type Source } from './old-volumes.js';
import { validateFileMode, validateNoBacksteps } from './path-validation.js';
import {
  validateDownwardFiles,
  validateItems,
  validateProjected,
} from './projection-validation.js';
import type { Volumes } from './mount-validation.js';

const HOST_PATH_TYPES = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];
const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];
const MAX_DRIVER_LENGTH = 63;

/** `podName` is empty where the pod has no name yet, as in templates. */
export function validateVolumes(
  volumes: readonly Volume[],
  podName: string,
  ofPod: boolean,
  path: string,
): { readonly valid: Volumes; readonly errors: FieldError[] } {
  const valid = new Map<string, Volume>();
  const claims = new Set(
    volumes
      .filter(({ ephemeral }) => podName !== '' && ephemeral !== undefined)
      .map(({ name }) => `${podName}-${name}`),
  );
  const errors = volumes.flatMap((volume, index) => {
    const at = `${path}[${index}]`;
    const found = [
      ...validateSource(volume, ofPod, at),
      ...validateOwnClaimName(volume, podName, at),
      ...validateName(volume.name, valid, `${at}.name`),
    ];
    if (found.length === 0) valid.set(volume.name, volume);
    const claim = volume.persistentVolumeClaim?.claimName ?? '';
    const detail = 'must not reference a PVC that gets created for an ephemeral volume';
    return [
      ...found,
      ...when(claims.has(claim), () =>
        fieldInvalid(`${at}.persistentVolumeClaim.claimName`, claim, detail),
      ),
    ];
  });
  return { valid, errors };
}

function validateName(name: string | undefined, before: Volumes, path: string): FieldError[] {
  if (name === undefined || name === '') return [fieldRequired(path)];
  return [
    ...fieldProblems(path, name, dnsLabelProblems(name)),
    ...when(before.has(name), () => fieldDuplicate(path, name)),
  ];
}

/** The claim of an ephemeral volume is called after pod and volume. */
function validateOwnClaimName(volume: Volume, podName: string, path: string): FieldError[] {
  const { name, ephemeral } = volume;
  if (ephemeral === undefined || podName === '' || name === '') return [];
  const claim = `${podName}-${name}`;
  const problems = subdomainProblems(claim).map(
    (problem) => `PVC name ${goQuote(claim)}: ${problem}`,
  );
  return fieldProblems(`${path}.name`, name, problems);
}

function validateSource(volume: Volume, ofPod: boolean, path: string): FieldError[] {
  const alternatives = SOURCES.map(({ field, forbiddenAs, validate }) => ({
    path: `${path}.${forbiddenAs ?? field}`,
    isGiven: volume[field] !== undefined,
    validate: () => validate(volume, `${path}.${field}`, ofPod),
  }));
  if (!alternatives.some(({ isGiven }) => isGiven))
    return [fieldRequired(path, 'must specify a volume type')];
  return validateAlternatives(alternatives, 'volume');
}

function required(value: string | undefined, path: string): FieldError[] {
  return when(value === undefined || value === '', () => fieldRequired(path));
}

const CURRENT_SOURCES: readonly Source[] = [
  {
    field: 'emptyDir',
    validate: ({ emptyDir }, path) =>
      when(parseQuantity(emptyDir?.sizeLimit ?? '0').nanos < 0n, () =>
        fieldForbidden(`${path}.sizeLimit`, 'SizeLimit field must be a valid resource quantity'),
      ),
  },
  { field: 'hostPath', validate: ({ hostPath }, path) => validateHostPath(hostPath, path) },
  {
    field: 'secret',
    validate: ({ secret }, path) => [
      ...required(secret?.secretName, `${path}.secretName`),
      ...validateFileMode(secret?.defaultMode, `${path}.defaultMode`),
      ...validateItems(secret?.items, `${path}.items`),
    ],
  },
  {
    field: 'nfs',
    validate: ({ nfs }, path) => [
      ...required(nfs?.server, `${path}.server`),
      ...required(nfs?.path, `${path}.path`),
      ...when(nfs?.path?.startsWith('/') !== true, () =>
        fieldInvalid(`${path}.path`, nfs?.path ?? '', 'must be an absolute path'),
      ),
    ],
  },
  {
    field: 'persistentVolumeClaim',
    validate: ({ persistentVolumeClaim: claim }, path) =>
      required(claim?.claimName, `${path}.claimName`),
  },
  {
    field: 'downwardAPI',
    forbiddenAs: 'downwarAPI',
    validate: ({ downwardAPI }, path) => [
      ...validateFileMode(downwardAPI?.defaultMode, `${path}.defaultMode`),
      ...validateDownwardFiles(downwardAPI?.items, path),
    ],
  },
  {
    field: 'configMap',
    validate: ({ configMap }, path) => [
      ...required(configMap?.name, `${path}.name`),
      ...validateFileMode(configMap?.defaultMode, `${path}.defaultMode`),
      ...validateItems(configMap?.items, `${path}.items`),
    ],
  },
  {
    field: 'projected',
    validate: ({ projected }, path) => validateProjected(projected ?? {}, path),
  },
  { field: 'csi', validate: ({ csi }, path) => validateCsi(csi, path) },
  {
    field: 'ephemeral',
    validate: ({ ephemeral }, path) => {
      const template = ephemeral?.volumeClaimTemplate;
      const at = `${path}.volumeClaimTemplate`;
      return template === undefined ? [fieldRequired(at)] : validateClaimTemplate(template, at);
    },
  },
  {
    field: 'image',
    validate: ({ image }, path, ofPod) => {
      const { reference = '', pullPolicy = '' } = image ?? {};
      // The image may still be missing in a template.
      return [
        ...when(ofPod && reference === '', () => fieldRequired(`${path}.reference`)),
        ...validateOneOf(`${path}.pullPolicy`, pullPolicy, PULL_POLICIES, true),
      ];
    },
  },
];

/** The order in which Kubernetes looks at sources; the first that is given is the right one. */
const ORDER: readonly (keyof VolumeSource)[] = [
  'emptyDir',
  'hostPath',
  'gitRepo',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'secret',
  'nfs',
  'iscsi',
  'glusterfs',
  'flocker',
  'persistentVolumeClaim',
  'rbd',
  'cinder',
  'cephfs',
  'quobyte',
  'downwardAPI',
  'fc',
  'flexVolume',
  'configMap',
  'azureFile',
  'vsphereVolume',
  'photonPersistentDisk',
  'portworxVolume',
  'azureDisk',
  'storageos',
  'projected',
  'scaleIO',
  'csi',
  'ephemeral',
  'image',
];

const SOURCES = [...CURRENT_SOURCES, ...OLD_SOURCES].sort(
  (a, b) => ORDER.indexOf(a.field) - ORDER.indexOf(b.field),
);

function validateHostPath(source: Volume['hostPath'], path: string): FieldError[] {
  const { path: file = '', type } = source ?? {};
  if (file === '') return [fieldRequired(`${path}.path`)];
  return [
    ...validateNoBacksteps(file, `${path}.path`),
    ...when(type !== undefined && !HOST_PATH_TYPES.includes(type), () =>
      fieldNotSupported(`${path}.type`, type, HOST_PATH_TYPES),
    ),
  ];
}

function validateCsi(source: Volume['csi'], path: string): FieldError[] {
  const { driver = '', nodePublishSecretRef } = source ?? {};
  const secret = nodePublishSecretRef?.name ?? '';
  const at = `${path}.driver`;
  const driverErrors =
    driver === ''
      ? [fieldRequired(at)]
      : [
          ...when(driver.length > MAX_DRIVER_LENGTH, () => fieldTooLong(at, MAX_DRIVER_LENGTH)),
          ...fieldProblems(at, driver, subdomainProblems(driver.toLowerCase())),
        ];
  if (nodePublishSecretRef === undefined) return driverErrors;
  return [
    ...driverErrors,
    ...(secret === ''
      ? [fieldRequired(`${path}.nodePublishSecretRef.name`)]
      : fieldProblems(`${path}.name`, secret, subdomainProblems(secret))),
  ];
}
