import type { Namespace } from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import { fieldInvalid } from '../../validation/field-error.js';
import { AGE_COLUMN, ageText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Kind } from '../kind.js';
import { validateNamespaceFinalizer } from './namespace-finalize.js';

const NAME_LABEL = 'kubernetes.io/metadata.name';
/** Held until everything in the namespace is gone. */
const OWN_FINALIZER = 'kubernetes';

export const namespace: Kind<Namespace> = {
  group: '',
  version: 'v1',
  kind: 'Namespace',
  resource: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  categories: [],
  isNamespaced: false,
  verbs: ALL_VERBS.filter((verb) => verb !== 'deletecollection'),
  message: 'core.v1.Namespace',
  storagePrefix: 'namespaces/',
  selectableFields: {
    'status.phase': ({ status }) => status?.phase ?? '',
    // Besides metadata.name, for old clients.
    name: ({ metadata }) => metadata.name ?? '',
  },
  setDefaults: (object) => {
    labelWithName(object);
    object.status ??= {};
    object.status.phase ??= 'Active';
  },
  strategy: {
    nameRule: 'label',
    hasGeneration: false,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    isHeldBack: ({ spec }) => (spec.finalizers ?? []).length > 0,
    markDeleting: (object) => {
      object.status = { ...object.status, phase: 'Terminating' };
    },
    prepareCreate: (object) => {
      object.status = { phase: 'Active' };
      const { finalizers = [] } = (object as Partial<Namespace>).spec ?? {};
      object.spec = { finalizers: [...new Set([...finalizers, OWN_FINALIZER])] };
    },
    prepareUpdate: (next, old) => {
      next.spec = old.spec;
      next.status = old.status;
    },
  },
  validate: ({ spec }) =>
    (spec.finalizers ?? []).flatMap((name) => validateNamespaceFinalizer('spec.finalizers', name)),
  validateUpdate: () => [],
  status: {
    prepareUpdate: (next, old) => {
      next.spec = old.spec;
    },
    validateUpdate: validatePhase,
  },
  subresources: [
    { name: 'finalize', kind: 'Namespace', group: '', version: 'v1', verbs: ['update'] },
  ],
  columns: [NAME_COLUMN, textColumn('Status', 'Active or Terminating.'), AGE_COLUMN],
  cells: ({ metadata, status }, nowMs) => [
    metadata.name ?? '',
    status?.phase ?? '',
    ageText(metadata.creationTimestamp, nowMs),
  ],
};

function labelWithName({ metadata }: Namespace): void {
  if (metadata.name === undefined || metadata.name === '') return;
  metadata.labels = { ...metadata.labels, [NAME_LABEL]: metadata.name };
}

function validatePhase({ metadata, status }: Namespace): FieldError[] {
  const isDeleted = metadata.deletionTimestamp !== undefined;
  const phase = status?.phase ?? '';
  const expected = isDeleted ? 'Terminating' : 'Active';
  if (phase === expected) return [];
  const state = isDeleted ? 'not empty' : 'empty';
  const detail = `may only be '${expected}' if \`deletionTimestamp\` is ${state}`;
  return [fieldInvalid('status.Phase', phase, detail)];
}
