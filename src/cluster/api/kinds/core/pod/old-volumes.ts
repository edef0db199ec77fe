/**
 * Volumes of drivers that were part of Kubernetes once. No node here mounts them; they are kept and
 * checked, since objects of other clusters hold them.
 */
import type { Volume, VolumeSource } from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  when,
} from '../../../validation/field-error.js';
import { dnsLabelProblems } from '../../../validation/names.js';
import { validateRange } from '../../../validation/values.js';

/** A kind of volume, told by the one field of a volume that is set. */
export interface Source {
  readonly field: keyof VolumeSource;
  /** The field's name in the finding that there is another source already, where it differs. */
  readonly forbiddenAs?: string;
  /** `ofPod`: not of a template. */
  readonly validate: (volume: Volume, path: string, ofPod: boolean) => FieldError[];
}

/** A source of which only the fields that must be there are checked. */
function simple(field: keyof VolumeSource, ...required: string[]): Source {
  return {
    field,
    validate: (volume, path) => validateRequired(volume[field], required, path),
  };
}

function validateRequired(
  source: object | undefined,
  fields: readonly string[],
  path: string,
): FieldError[] {
  const values = (source ?? {}) as Record<string, unknown>;
  return fields.flatMap((field) => {
    const value = values[field];
    const isMissing = (value ?? '') === '' || (Array.isArray(value) && value.length === 0);
    return when(isMissing, () => fieldRequired(`${path}.${field}`));
  });
}

function validatePartition(partition: number | undefined, path: string): FieldError[] {
  return validateRange(`${path}.partition`, partition, 0, 255);
}

function validateSecretName(
  secret: { name?: string | undefined } | undefined,
  path: string,
): FieldError[] {
  return when(secret !== undefined && (secret.name ?? '') === '', () =>
    fieldRequired(`${path}.secretRef.name`),
  );
}

export const OLD_SOURCES: readonly Source[] = [
  {
    field: 'gitRepo',
    validate: ({ gitRepo }, path) => {
      const { directory = '' } = gitRepo ?? {};
      const at = `${path}.directory`;
      return [
        ...validateRequired(gitRepo, ['repository'], path),
        ...when(directory.startsWith('/'), () =>
          fieldInvalid(at, directory, 'must be a relative path'),
        ),
        ...when(directory.split('/').includes('..'), () =>
          fieldInvalid(at, directory, "must not contain '..'"),
        ),
      ];
    },
  },
  {
    field: 'gcePersistentDisk',
    validate: ({ gcePersistentDisk: disk }, path) => {
      // Its findings name the field without its first part.
      const at = path.replace(/gcePersistentDisk$/, 'persistentDisk');
      return [...validateRequired(disk, ['pdName'], at), ...validatePartition(disk?.partition, at)];
    },
  },
  {
    field: 'awsElasticBlockStore',
    validate: ({ awsElasticBlockStore: store }, path) => [
      ...validateRequired(store, ['volumeID'], path),
      ...validatePartition(store?.partition, path),
    ],
  },
  { field: 'iscsi', validate: validateIscsi },
  simple('glusterfs', 'endpoints', 'path'),
  { field: 'flocker', validate: validateFlocker },
  simple('rbd', 'monitors', 'image'),
  {
    field: 'cinder',
    validate: ({ cinder }, path) => [
      ...validateRequired(cinder, ['volumeID'], path),
      ...validateSecretName(cinder?.secretRef, path),
    ],
  },
  { ...simple('cephfs', 'monitors'), forbiddenAs: 'cephFS' },
  { field: 'quobyte', validate: validateQuobyte },
  { field: 'fc', validate: validateFibreChannel },
  { field: 'flexVolume', validate: validateFlexVolume },
  simple('azureFile', 'secretName', 'shareName'),
  simple('vsphereVolume', 'volumePath'),
  simple('photonPersistentDisk', 'pdID'),
  simple('portworxVolume', 'volumeID'),
  { field: 'azureDisk', validate: validateAzureDisk },
  {
    field: 'storageos',
    validate: ({ storageos }, path) => {
      const { volumeName = '', volumeNamespace = '' } = storageos ?? {};
      const label = (field: string, name: string): FieldError[] =>
        fieldProblems(`${path}.${field}`, name, name === '' ? [] : dnsLabelProblems(name));
      return [
        ...validateRequired(storageos, ['volumeName'], path),
        ...label('volumeName', volumeName),
        ...label('volumeNamespace', volumeNamespace),
        ...validateSecretName(storageos?.secretRef, path),
      ];
    },
  },
  simple('scaleIO', 'gateway', 'system', 'volumeName'),
];

const ISCSI_FORMS: Readonly<Record<string, RegExp>> = {
  iqn: /^iqn\.\d{4}-\d{2}\.([a-z0-9-.]+)(:([^,;*&$|\s]+))$/,
  eui: /^eui\.[0-9a-f]{16}$/i,
  naa: /^naa\.[0-9a-f]{32}$/i,
};

function iscsiNameProblems(name: string): string[] {
  const form = ISCSI_FORMS[name.slice(0, 3)];
  if (form === undefined) return ['must be valid format starting with iqn, eui, or naa'];
  return form.test(name) ? [] : ['must be valid format'];
}

function validateIscsi({ name, iscsi }: Volume, path: string): FieldError[] {
  const { iqn = '', lun, initiatorName, targetPortal = '' } = iscsi ?? {};
  const hasChap = iscsi?.chapAuthDiscovery === true || iscsi?.chapAuthSession === true;
  const detail =
    'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.';
  const isTooLong = initiatorName !== undefined && `${name}:${targetPortal}`.length > 64;
  return [
    ...validateRequired(iscsi, ['targetPortal', 'iqn'], path),
    ...fieldProblems(`${path}.iqn`, iqn, iqn === '' ? [] : iscsiNameProblems(iqn)),
    ...validateRange(`${path}.lun`, lun, 0, 255),
    ...when(hasChap && iscsi?.secretRef === undefined, () => fieldRequired(`${path}.secretRef`)),
    ...(initiatorName === undefined
      ? []
      : fieldProblems(`${path}.initiatorname`, initiatorName, iscsiNameProblems(initiatorName))),
    ...when(isTooLong, () => fieldInvalid(path.replace(/iscsi$/, 'name'), name, detail)),
  ];
}

function validateFlocker({ flocker }: Volume, path: string): FieldError[] {
  const { datasetName: name = '', datasetUUID: uuid = '' } = flocker ?? {};
  const both = 'datasetName and datasetUUID can not be specified simultaneously';
  return [
    ...when(name === '' && uuid === '', () =>
      fieldRequired(path, 'one of datasetName and datasetUUID is required'),
    ),
    ...when(name !== '' && uuid !== '', () => fieldInvalid(path, 'resource', both)),
    ...when(name.includes('/'), () =>
      fieldInvalid(`${path}.datasetName`, name, "must not contain '/'"),
    ),
  ];
}

function validateQuobyte({ quobyte }: Volume, path: string): FieldError[] {
  const { registry = '', tenant = '' } = quobyte ?? {};
  const detail = 'must be a host:port pair or multiple pairs separated by commas';
  const at = `${path}.registry`;
  const volume = validateRequired(quobyte, ['volume'], path);
  if (registry === '') return [fieldRequired(at, detail), ...volume];
  if (tenant.length > 64)
    return [
      fieldRequired(
        `${path}.tenant`,
        'must be a UUID and may not exceed a length of 64 characters',
      ),
      ...volume,
    ];
  const wrong = registry.split(',').filter((pair) => !/^(\[[^\]]*\]|[^:[\]]*):[^:]*$/.test(pair));
  return [...wrong.map(() => fieldInvalid(at, registry, detail)), ...volume];
}

function validateFibreChannel({ fc }: Volume, path: string): FieldError[] {
  const { targetWWNs = [], wwids = [], lun } = fc ?? {};
  const at = `${path}.targetWWNs`;
  const hasTargets = targetWWNs.length > 0;
  return [
    ...when(!hasTargets && wwids.length === 0, () =>
      fieldRequired(at, 'must specify either targetWWNs or wwids, but not both'),
    ),
    ...when(hasTargets && wwids.length > 0, () =>
      fieldInvalid(at, targetWWNs, 'targetWWNs and wwids can not be specified simultaneously'),
    ),
    ...when(hasTargets && lun === undefined, () =>
      fieldRequired(`${path}.lun`, 'lun is required if targetWWNs is specified'),
    ),
    ...(hasTargets ? validateRange(`${path}.lun`, lun, 0, 255) : []),
  ];
}

function validateFlexVolume({ flexVolume }: Volume, path: string): FieldError[] {
  const reserved = Object.keys(flexVolume?.options ?? {}).filter((key) => {
    const domain = `.${key.split('/')[0] ?? ''}`.toLowerCase();
    return domain.endsWith('.kubernetes.io') || domain.endsWith('.k8s.io');
  });
  const detail = 'kubernetes.io and k8s.io namespaces are reserved';
  return [
    ...validateRequired(flexVolume, ['driver'], path),
    ...reserved.map((key) => fieldInvalid(`${path}.options[${key}]`, key, detail)),
  ];
}

const DISK_URIS = {
  managed:
    '/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}',
  blob: 'https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd',
};

function validateAzureDisk({ azureDisk }: Volume, path: string): FieldError[] {
  const { diskURI = '', kind, cachingMode } = azureDisk ?? {};
  const oneOf = (
    field: string,
    value: string | undefined,
    supported: readonly string[],
  ): FieldError[] =>
    when(value !== undefined && !supported.includes(value), () =>
      fieldNotSupported(`${path}.${field}`, value, supported),
    );
  const isManaged = kind === 'Managed';
  const start = isManaged ? '/subscriptions/' : 'https://';
  return [
    ...validateRequired(azureDisk, ['diskName', 'diskURI'], path),
    ...oneOf('cachingMode', cachingMode, ['None', 'ReadOnly', 'ReadWrite']),
    ...oneOf('kind', kind, ['Dedicated', 'Managed', 'Shared']),
    ...when(kind !== undefined && !diskURI.startsWith(start), () =>
      fieldNotSupported(`${path}.diskURI`, diskURI, [
        isManaged ? DISK_URIS.managed : DISK_URIS.blob,
      ]),
    ),
  ];
}
