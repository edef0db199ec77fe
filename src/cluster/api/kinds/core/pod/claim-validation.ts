/** The claim that an ephemeral volume makes for its pod. */
import type {
  PersistentVolumeClaimSpec,
  PersistentVolumeClaimTemplate,
  TypedObjectReference,
} from '../../../../../gen/kube-core-v1.js';
import { parseQuantity } from '../../../quantity.js';
import type { FieldError } from '../../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  isSameValue,
  when,
} from '../../../validation/field-error.js';
import { validateLabelSelector } from '../../../validation/label-selector.js';
import { dnsLabelProblems, subdomainProblems } from '../../../validation/names.js';
import { validateAnnotations, validateLabels } from '../../../validation/object-meta.js';

const ACCESS_MODES = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const TEMPLATE_FIELDS: ReadonlySet<string> = new Set(['annotations', 'labels']);

export function validateClaimTemplate(
  template: PersistentVolumeClaimTemplate,
  path: string,
): FieldError[] {
  const meta = template.metadata ?? {};
  return [
    ...validateAnnotations(meta.annotations, `${path}.metadata.annotations`),
    ...validateLabels(meta.labels, `${path}.metadata.labels`),
    ...Object.entries(meta).flatMap(([name, value]) =>
      when(!TEMPLATE_FIELDS.has(name) && (value ?? '') !== '', () =>
        fieldForbidden(`${path}.metadata.${name}`, 'cannot be set'),
      ),
    ),
    ...validateClaimSpec(template.spec, `${path}.spec`),
  ];
}

/** The specification of a PersistentVolumeClaim. */
function validateClaimSpec(spec: PersistentVolumeClaimSpec, path: string): FieldError[] {
  const { storageClassName = '', volumeMode, volumeAttributesClassName = '' } = spec;
  const named = (field: string, name: string): FieldError[] =>
    fieldProblems(`${path}.${field}`, name, name === '' ? [] : subdomainProblems(name));
  return [
    ...validateAccessModes(spec.accessModes ?? [], `${path}.accessModes`),
    ...validateLabelSelector(spec.selector, `${path}.selector`),
    ...validateStorage(spec.resources?.requests?.['storage'], `${path}.resources[storage]`),
    ...named('storageClassName', storageClassName),
    ...when(volumeMode !== undefined && !['Block', 'Filesystem'].includes(volumeMode), () =>
      fieldNotSupported(`${path}.volumeMode`, volumeMode, ['Block', 'Filesystem']),
    ),
    ...validateDataSource(spec.dataSource, `${path}.dataSource`),
    ...validateDataSource(spec.dataSourceRef, `${path}.dataSourceRef`),
    ...validateDataSources(spec, path),
    ...named('volumeAttributesClassName', volumeAttributesClassName),
  ];
}

function validateAccessModes(modes: readonly string[], path: string): FieldError[] {
  const known = modes.filter((mode) => ACCESS_MODES.includes(mode));
  const isMixed =
    known.includes('ReadWriteOncePod') && known.some((mode) => mode !== 'ReadWriteOncePod');
  return [
    ...when(modes.length === 0, () => fieldRequired(path, 'at least 1 access mode is required')),
    ...modes.flatMap((mode) =>
      when(!ACCESS_MODES.includes(mode), () => fieldNotSupported(path, mode, ACCESS_MODES)),
    ),
    ...when(isMixed, () =>
      fieldForbidden(path, 'may not use ReadWriteOncePod with other access modes'),
    ),
  ];
}

function validateStorage(amount: string | undefined, path: string): FieldError[] {
  if (amount === undefined) return [fieldRequired(path)];
  return when(parseQuantity(amount).nanos <= 0n, () =>
    fieldInvalid(path, amount, 'must be greater than zero'),
  );
}

function validateDataSource(source: TypedObjectReference | undefined, path: string): FieldError[] {
  if (source === undefined) return [];
  const { name = '', kind = '', namespace = '' } = source;
  const apiGroup = source.apiGroup ?? '';
  const detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
  return [
    ...when(name === '', () => fieldRequired(`${path}.name`)),
    ...when(kind === '', () => fieldRequired(`${path}.kind`)),
    ...when(apiGroup === '' && kind !== 'PersistentVolumeClaim', () =>
      fieldInvalid(path, kind, detail),
    ),
    ...fieldProblems(
      `${path}.apiGroup`,
      apiGroup,
      apiGroup === '' ? [] : subdomainProblems(apiGroup),
    ),
    ...fieldProblems(
      `${path}.namespace`,
      namespace,
      namespace === '' ? [] : dnsLabelProblems(namespace),
    ),
  ];
}

/** Both fields for a source say the same, and the older one knows no namespaces. */
function validateDataSources(spec: PersistentVolumeClaimSpec, path: string): FieldError[] {
  const { dataSource, dataSourceRef } = spec;
  if (dataSource === undefined || dataSourceRef === undefined) return [];
  const shown = `${path}.dataSource`;
  if ((dataSourceRef.namespace ?? '') !== '')
    return [
      fieldInvalid(path, shown, 'may not be specified when dataSourceRef.namespace is specified'),
    ];
  const isSame = isSameValue(dataSource, { ...dataSourceRef, namespace: undefined });
  return when(!isSame, () => fieldInvalid(path, shown, 'must match dataSourceRef'));
}
