import type { Secret } from '../../../../gen/kube-core-v1.js';
import { AGE_COLUMN, ageText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Kind } from '../kind.js';
import { validateImmutable } from '../../validation/field-error.js';
import { validateFrozenData } from './data-maps.js';
import { tlsWarnings, validateSecret } from './secret-validation.js';

export const secret: Kind<Secret> = {
  group: '',
  version: 'v1',
  kind: 'Secret',
  resource: 'secrets',
  singular: 'secret',
  shortNames: [],
  categories: [],
  isNamespaced: true,
  verbs: ALL_VERBS,
  message: 'core.v1.Secret',
  storagePrefix: 'secrets/',
  selectableFields: { type: ({ type }) => type ?? '' },
  setDefaults,
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: false,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    prepareCreate: () => undefined,
    prepareUpdate: () => undefined,
    warnings: tlsWarnings,
  },
  validate: validateSecret,
  validateUpdate: (next, old) => [
    ...validateImmutable('type', next.type, old.type),
    ...validateFrozenData(next, old, ['data']),
  ],
  subresources: [],
  columns: [
    NAME_COLUMN,
    textColumn('Type', 'What the data is for.'),
    textColumn('Data', 'Number of keys.'),
    AGE_COLUMN,
  ],
  cells: ({ metadata, type, data }, nowMs) => [
    metadata.name ?? '',
    type ?? '',
    Object.keys(data ?? {}).length,
    ageText(metadata.creationTimestamp, nowMs),
  ],
};

/** `stringData` is a way to write `data` as plain text; it is never stored. */
function setDefaults(object: Secret): void {
  const { stringData } = object;
  delete object.stringData;
  if (stringData !== undefined && Object.keys(stringData).length > 0) {
    const entries = Object.entries(stringData);
    object.data ??= {};
    for (const [key, text] of entries) object.data[key] = Buffer.from(text).toString('base64');
  }
  if (object.type === undefined || object.type === '') object.type = 'Opaque';
}
