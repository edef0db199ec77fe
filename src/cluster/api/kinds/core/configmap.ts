import type { ConfigMap } from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import { fieldInvalid, fieldProblems, fieldTooLong } from '../../validation/field-error.js';
import { configKeyProblems } from '../../validation/names.js';
import { AGE_COLUMN, ageText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Kind } from '../kind.js';
import { base64Bytes, MAX_DATA_BYTES, validateFrozenData } from './data-maps.js';

export const configMap: Kind<ConfigMap> = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  resource: 'configmaps',
  singular: 'configmap',
  shortNames: ['cm'],
  categories: [],
  isNamespaced: true,
  verbs: ALL_VERBS,
  message: 'core.v1.ConfigMap',
  storagePrefix: 'configmaps/',
  selectableFields: {},
  setDefaults: () => undefined,
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: false,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    prepareCreate: () => undefined,
    prepareUpdate: () => undefined,
  },
  validate,
  validateUpdate: (next, old) => validateFrozenData(next, old, ['data', 'binaryData']),
  subresources: [],
  columns: [NAME_COLUMN, textColumn('Data', 'Number of keys.'), AGE_COLUMN],
  cells: ({ metadata, data, binaryData }, nowMs) => [
    metadata.name ?? '',
    Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length,
    ageText(metadata.creationTimestamp, nowMs),
  ],
};

function validate({ data = {}, binaryData = {} }: ConfigMap): FieldError[] {
  const texts = Object.entries(data).flatMap(([key]) => [
    ...fieldProblems(`data[${key}]`, key, configKeyProblems(key)),
    ...(Object.hasOwn(binaryData, key)
      ? [fieldInvalid(`data[${key}]`, key, 'duplicate of key present in binaryData')]
      : []),
  ]);
  const binaries = Object.keys(binaryData).flatMap((key) =>
    fieldProblems(`binaryData[${key}]`, key, configKeyProblems(key)),
  );
  const bytes =
    Object.values(data).reduce((sum, text) => sum + Buffer.byteLength(text), 0) +
    Object.values(binaryData).reduce((sum, text) => sum + base64Bytes(text), 0);
  // The field's odd name stands for the whole object.
  return [
    ...texts,
    ...binaries,
    ...(bytes > MAX_DATA_BYTES ? [fieldTooLong('[]', MAX_DATA_BYTES)] : []),
  ];
}
