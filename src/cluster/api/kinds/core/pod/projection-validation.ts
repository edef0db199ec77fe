/** Volumes whose files come from objects: secrets, config maps, fields of the pod, tokens. */
import type {
  ClusterTrustBundleProjection,
  DownwardAPIVolumeFile,
  KeyToPath,
  PodCertificateProjection,
  ProjectedVolumeSource,
  ServiceAccountTokenProjection,
  VolumeProjection,
} from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  when,
} from '../../../validation/field-error.js';
import { validateLabelSelector } from '../../../validation/label-selector.js';
import { subdomainProblems } from '../../../validation/names.js';
import { validateFieldRef, validateResourceFieldRef } from './env-validation.js';
import { validateFileMode, validateProjectedPath } from './path-validation.js';
import { validateSignerName } from './signer-name.js';

/** Fields that files may show, in alphabetical order. */
const FILE_FIELDS = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;
const KEY_TYPES = ['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519'];
const MIN_CERTIFICATE_SECONDS = 3600;
/** One day for signers of Kubernetes itself, 91 days for others. */
const MAX_CERTIFICATE_SECONDS = { own: 86_400, other: 91 * 86_400 };

/** The items of a secret or config map that become files. */
export function validateItems(items: readonly KeyToPath[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, index) => {
    const { key = '', path: file = '', mode } = item;
    const at = `${path}[${index}]`;
    return [
      ...when(key === '', () => fieldRequired(`${at}.key`)),
      ...when(file === '', () => fieldRequired(`${at}.path`)),
      ...validateProjectedPath(file, `${at}.path`),
      ...validateFileMode(mode, `${at}.mode`),
    ];
  });
}

export function validateDownwardFiles(
  files: readonly DownwardAPIVolumeFile[] | undefined,
  path: string,
): FieldError[] {
  return (files ?? []).flatMap((file) => validateDownwardFile(file, path));
}

/** Findings name the volume, not the file, as Kubernetes' do. */
function validateDownwardFile(file: DownwardAPIVolumeFile, path: string): FieldError[] {
  const { path: name = '', fieldRef, resourceFieldRef, mode } = file;
  return [
    ...when(name === '', () => fieldRequired(`${path}.path`)),
    ...validateProjectedPath(name, `${path}.path`),
    ...validateDownwardSource(fieldRef, resourceFieldRef, path),
    ...validateFileMode(mode, `${path}.mode`),
  ];
}

function validateDownwardSource(
  fieldRef: DownwardAPIVolumeFile['fieldRef'],
  resourceFieldRef: DownwardAPIVolumeFile['resourceFieldRef'],
  path: string,
): FieldError[] {
  if (fieldRef !== undefined) {
    const detail = 'fieldRef and resourceFieldRef can not be specified simultaneously';
    return [
      ...validateFieldRef(fieldRef, FILE_FIELDS, `${path}.fieldRef`),
      ...when(resourceFieldRef !== undefined, () => fieldInvalid(path, 'resource', detail)),
    ];
  }
  if (resourceFieldRef === undefined)
    return [fieldRequired(path, 'one of fieldRef and resourceFieldRef is required')];
  return validateResourceFieldRef(resourceFieldRef, true, `${path}.resourceFieldRef`);
}

/** Remembers the files of a volume, since each may come from one source only. */
class TakenPaths {
  private readonly taken = new Set<string>();
  private readonly volumePath: string;

  constructor(volumePath: string) {
    this.volumePath = volumePath;
  }

  /** `shown`: the value that the finding names. */
  claim(file: string | undefined, shown: string): FieldError[] {
    if (file === undefined || file === '') return [];
    const isTaken = this.taken.has(file);
    this.taken.add(file);
    return when(isTaken, () => fieldInvalid(this.volumePath, shown, 'conflicting duplicate paths'));
  }
}

export function validateProjected(volume: ProjectedVolumeSource, path: string): FieldError[] {
  const taken = new TakenPaths(path);
  const detail = 'may not specify more than 1 volume type per source';
  return [
    ...validateFileMode(volume.defaultMode, `${path}.defaultMode`),
    ...(volume.sources ?? []).flatMap((source, index) => {
      const at = `${path}.sources[${index}]`;
      const count = Object.values(source).filter((value) => value !== undefined).length;
      return [
        ...validateObjectSources(source, at, taken),
        ...validateToken(source.serviceAccountToken, at, path),
        ...validateTrustBundle(source.clusterTrustBundle, `${at}.clusterTrustBundle`, taken),
        ...validateCertificate(source.podCertificate, `${at}.podCertificate`, taken),
        ...when(count > 1, () => fieldForbidden(at, detail)),
      ];
    }),
  ];
}

function validateObjectSources(
  { secret, configMap, downwardAPI }: VolumeProjection,
  path: string,
  taken: TakenPaths,
): FieldError[] {
  const objects = [
    ['secret', secret],
    ['configMap', configMap],
  ] as const;
  const found = objects.flatMap(([field, source]) => {
    if (source === undefined) return [];
    const { name = '', items } = source;
    return [
      ...when(name === '', () => fieldRequired(`${path}.${field}.name`)),
      ...validateItems(items, `${path}.${field}.items`),
      ...(items ?? []).flatMap((item) => taken.claim(item.path, name)),
    ];
  });
  return [
    ...found,
    ...(downwardAPI?.items ?? []).flatMap((file) => [
      ...validateDownwardFile(file, `${path}.downwardAPI`),
      ...taken.claim(file.path, file.path),
    ]),
  ];
}

function validateToken(
  token: ServiceAccountTokenProjection | undefined,
  path: string,
  volumePath: string,
): FieldError[] {
  if (token === undefined) return [];
  const { expirationSeconds: seconds = 0, path: file = '' } = token;
  const at = `${path}.serviceAccountToken.expirationSeconds`;
  return [
    ...when(seconds < MIN_TOKEN_SECONDS, () =>
      fieldInvalid(at, seconds, 'may not specify a duration less than 10 minutes'),
    ),
    ...when(seconds > MAX_TOKEN_SECONDS, () =>
      fieldInvalid(at, seconds, 'may not specify a duration larger than 2^32 seconds'),
    ),
    ...(file === ''
      ? [fieldRequired(`${volumePath}.path`)]
      : validateProjectedPath(file, `${volumePath}.path`)),
  ];
}

function validateTrustBundle(
  bundle: ClusterTrustBundleProjection | undefined,
  path: string,
  taken: TakenPaths,
): FieldError[] {
  if (bundle === undefined) return [];
  const { path: file = '' } = bundle;
  return [
    ...validateBundleChoice(bundle, path),
    ...when(file === '', () => fieldRequired(`${path}.path`)),
    ...validateProjectedPath(file, `${path}.path`),
    ...taken.claim(file, file),
  ];
}

/** One bundle by its name, or all of a signer that a selector matches. */
function validateBundleChoice(bundle: ClusterTrustBundleProjection, path: string): FieldError[] {
  const { name, signerName, labelSelector } = bundle;
  if (name !== undefined && signerName !== undefined)
    return [fieldInvalid(path, bundle, 'only one of name and signerName may be used')];
  if (name !== undefined) {
    // A bundle of a signer is called `example.com:signer:name`.
    const own = name.slice(name.lastIndexOf(':') + 1);
    const problems = subdomainProblems(own).map(
      (problem) => `not a valid clustertrustbundlename: ${problem}`,
    );
    const detail = 'labelSelector must be unset if name is specified';
    return [
      ...when(name === '', () => fieldRequired(`${path}.name`, 'must be a valid object name')),
      ...fieldProblems(`${path}.name`, name, problems),
      ...when(labelSelector !== undefined, () =>
        fieldInvalid(`${path}.labelSelector`, labelSelector, detail),
      ),
    ];
  }
  if (signerName === undefined)
    return [fieldRequired(path, 'either name or signerName must be specified')];
  const at = `${path}.signerName`;
  return [
    ...when(signerName === '', () => fieldRequired(at, 'must be a valid signer name')),
    ...validateSignerName(signerName, at),
    ...validateLabelSelector(labelSelector, `${path}.labelSelector`),
  ];
}

function validateCertificate(
  certificate: PodCertificateProjection | undefined,
  path: string,
  taken: TakenPaths,
): FieldError[] {
  if (certificate === undefined) return [];
  const { signerName = '', keyType = '' } = certificate;
  const files = ['credentialBundlePath', 'keyPath', 'certificateChainPath'] as const;
  const given = files.filter((field) => (certificate[field] ?? '') !== '');
  const missing = 'specify at least one of credentialBundlePath, keyPath, and certificateChainPath';
  return [
    ...validateSignerName(signerName, `${path}.signerName`),
    ...when(!KEY_TYPES.includes(keyType), () =>
      fieldNotSupported(`${path}.keyType`, keyType, KEY_TYPES),
    ),
    ...validateCertificateTime(certificate, `${path}.maxExpirationSeconds`),
    ...given.flatMap((field) => {
      const file = certificate[field] ?? '';
      return [...validateProjectedPath(file, `${path}.${field}`), ...taken.claim(file, file)];
    }),
    ...when(given.length === 0, () => fieldRequired(path, missing)),
  ];
}

function validateCertificateTime(
  { maxExpirationSeconds: seconds, signerName = '' }: PodCertificateProjection,
  path: string,
): FieldError[] {
  if (seconds === undefined) return [];
  const isOwn = signerName.startsWith('kubernetes.io/');
  const max = isOwn ? MAX_CERTIFICATE_SECONDS.own : MAX_CERTIFICATE_SECONDS.other;
  const limit = (text: string): FieldError =>
    fieldInvalid(path, seconds, `if provided, maxExpirationSeconds must be ${text}`);
  return [
    ...when(seconds < MIN_CERTIFICATE_SECONDS, () => limit(`>= ${MIN_CERTIFICATE_SECONDS}`)),
    ...when(seconds > max, () => limit(`<= ${max}`)),
  ];
}
