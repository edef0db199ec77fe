/** apps/v1 ReplicaSet. */
import type { ReplicaSet } from '../../../../gen/kube-apps-v1.js';
import type { FieldError } from '../../status.js';
import { validateImmutable } from '../../validation/field-error.js';
import { validateNonNegative } from '../../validation/values.js';
import { AGE_COLUMN, NAME_COLUMN, ageText, numberColumn } from '../cells.js';
import { ALL_VERBS, type Cell, type Kind } from '../kind.js';
import { dropUnservedFields } from '../core/pod/strategy.js';
import { hostNameWarnings, podWarnings } from '../core/pod/warnings.js';
import { validateSelectorAndTemplate, withTemplateDefaults } from './pod-template.js';
import { selectorCell, TEMPLATE_COLUMNS, templateCells, validateCounts } from './replica-counts.js';

export const replicaSet: Kind<ReplicaSet> = {
  group: 'apps',
  version: 'v1',
  kind: 'ReplicaSet',
  resource: 'replicasets',
  isNamespaced: true,
  singular: 'replicaset',
  shortNames: ['rs'],
  categories: ['all'],
  verbs: ALL_VERBS,
  message: 'apps.v1.ReplicaSet',
  storagePrefix: 'replicasets/',
  selectableFields: {},
  setDefaults: (object) => {
    object.spec = (object as Partial<ReplicaSet>).spec ?? ({} as ReplicaSet['spec']);
    object.spec.template = withTemplateDefaults(object.spec.template);
    object.spec.replicas ??= 1;
  },
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: true,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    prepareCreate: (object) => {
      object.status = { replicas: 0 };
      dropUnserved(object);
    },
    prepareUpdate: (next, old) => {
      next.status = old.status;
      dropUnserved(next);
    },
    warnings,
  },
  validate: ({ spec }) => [
    ...validateNonNegative('spec.replicas', spec.replicas),
    ...validateNonNegative('spec.minReadySeconds', spec.minReadySeconds),
    ...validateSelectorAndTemplate(spec.selector, spec.template ?? {}),
  ],
  validateUpdate: (next, old) =>
    validateImmutable('spec.selector', next.spec.selector, old.spec.selector),
  status: {
    prepareUpdate: (next, old) => {
      next.spec = old.spec;
    },
    validateUpdate: validateStatusUpdate,
  },
  scale: {
    specReplicas: 'spec.replicas',
    statusReplicas: 'status.replicas',
    selector: 'spec.selector',
  },
  subresources: [],
  columns: [
    NAME_COLUMN,
    numberColumn('Desired', 'Pods that are wanted.'),
    numberColumn('Current', 'Pods that there are.'),
    numberColumn('Ready', 'Pods that are ready.'),
    AGE_COLUMN,
    ...TEMPLATE_COLUMNS,
  ],
  cells,
};

function dropUnserved({ spec }: ReplicaSet): void {
  if (spec.template?.spec !== undefined) dropUnservedFields(spec.template.spec);
}

function warnings(next: ReplicaSet, old: ReplicaSet | undefined): string[] {
  const { metadata = {}, spec = { containers: [] } } = next.spec.template ?? {};
  const ofTemplate = podWarnings(metadata, spec, 'spec.template');
  if (old !== undefined)
    return next.metadata.generation === old.metadata.generation ? [] : ofTemplate;
  return [...hostNameWarnings(next.metadata.name ?? '', 'Pod names and hostnames'), ...ofTemplate];
}

function validateStatusUpdate(next: ReplicaSet): FieldError[] {
  return validateCounts(
    next.status ?? { replicas: 0 },
    [
      'replicas',
      'fullyLabeledReplicas',
      'readyReplicas',
      'availableReplicas',
      'observedGeneration',
      'terminatingReplicas',
    ],
    ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'],
  );
}

function cells({ metadata, spec, status }: ReplicaSet, nowMs: number): Cell[] {
  const selector = selectorCell(spec.selector, '<error>');
  return [
    metadata.name ?? '',
    spec.replicas ?? 0,
    status?.replicas ?? 0,
    status?.readyReplicas ?? 0,
    ageText(metadata.creationTimestamp, nowMs),
    ...templateCells(spec.template),
    selector === '' ? '<none>' : selector,
  ];
}
