/** apps/v1 Deployment. */
import type {
  Deployment,
  DeploymentStrategy,
  RollingUpdateDeployment,
} from '../../../../gen/kube-apps-v1.js';
import type { FieldError } from '../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  validateImmutable,
  when,
} from '../../validation/field-error.js';
import {
  percentOf,
  validateNonNegative,
  validateNonNegativeIntOrPercent,
} from '../../validation/values.js';
import { AGE_COLUMN, NAME_COLUMN, ageText, textColumn } from '../cells.js';
import { ALL_VERBS, type Cell, type Kind } from '../kind.js';
import { dropUnservedFields } from '../core/pod/strategy.js';
import { hostNameWarnings, podWarnings } from '../core/pod/warnings.js';
import { validateSelectorAndTemplate, withTemplateDefaults } from './pod-template.js';
import { selectorCell, TEMPLATE_COLUMNS, templateCells, validateCounts } from './replica-counts.js';

const TEMPLATE_PATH = 'spec.template';

export const deployment: Kind<Deployment> = {
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  resource: 'deployments',
  isNamespaced: true,
  singular: 'deployment',
  shortNames: ['deploy'],
  categories: ['all'],
  verbs: ALL_VERBS,
  message: 'apps.v1.Deployment',
  storagePrefix: 'deployments/',
  selectableFields: {},
  setDefaults,
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: true,
    // Annotations are copied to the ReplicaSets, so that a change of them is work to do.
    generationOf: ({ spec, metadata }) => [spec, metadata.annotations],
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    prepareCreate: (object) => {
      object.status = {};
      if (object.spec.template.spec !== undefined) dropUnservedFields(object.spec.template.spec);
    },
    prepareUpdate: (next, old) => {
      next.status = old.status;
      if (next.spec.template.spec !== undefined) dropUnservedFields(next.spec.template.spec);
    },
    warnings,
  },
  validate,
  validateUpdate: (next, old) =>
    validateImmutable('spec.selector', next.spec.selector, old.spec.selector),
  status: {
    prepareUpdate: (next, old) => {
      next.spec = old.spec;
      next.metadata.labels = old.metadata.labels;
    },
    validateUpdate: validateStatusUpdate,
    resetsMetadata: ['labels'],
  },
  scale: {
    specReplicas: 'spec.replicas',
    statusReplicas: 'status.replicas',
    selector: 'spec.selector',
  },
  subresources: [],
  columns: [
    NAME_COLUMN,
    textColumn('Ready', 'Pods that are ready, of those that are wanted.'),
    textColumn('Up-to-date', 'Pods made from the current template.'),
    textColumn('Available', 'Pods that have been ready for long enough.'),
    AGE_COLUMN,
    ...TEMPLATE_COLUMNS,
  ],
  cells,
};

function setDefaults(object: Deployment): void {
  object.spec = (object as Partial<Deployment>).spec ?? ({} as Deployment['spec']);
  const { spec } = object;
  spec.template = withTemplateDefaults(spec.template);
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  const strategy = spec.strategy ?? {};
  spec.strategy = strategy;
  if (strategy.type === undefined || strategy.type === '') strategy.type = 'RollingUpdate';
  if (strategy.type !== 'RollingUpdate') return;
  const rolling = strategy.rollingUpdate ?? {};
  strategy.rollingUpdate = rolling;
  rolling.maxUnavailable ??= '25%';
  rolling.maxSurge ??= '25%';
}

function validate({ spec }: Deployment): FieldError[] {
  const { progressDeadlineSeconds: deadline, minReadySeconds = 0 } = spec;
  const isTooSoon = deadline !== undefined && deadline <= minReadySeconds;
  const at = 'spec.progressDeadlineSeconds';
  return [
    ...validateNonNegative('spec.replicas', spec.replicas),
    ...validateSelectorAndTemplate(spec.selector, spec.template),
    ...validateStrategy(spec.strategy ?? {}),
    ...validateNonNegative('spec.minReadySeconds', minReadySeconds),
    ...validateNonNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit),
    ...validateNonNegative(at, deadline),
    ...when(isTooSoon, () => fieldInvalid(at, deadline, 'must be greater than minReadySeconds')),
  ];
}

function validateStrategy(strategy: DeploymentStrategy): FieldError[] {
  const { type = '', rollingUpdate } = strategy;
  const path = 'spec.strategy.rollingUpdate';
  if (type === 'Recreate') {
    const detail = "may not be specified when strategy `type` is 'Recreate'";
    return when(rollingUpdate !== undefined, () => fieldForbidden(path, detail));
  }
  if (type !== 'RollingUpdate') {
    const shown = { Type: type, RollingUpdate: rollingUpdate ?? null };
    return [fieldNotSupported('spec.strategy', shown, ['Recreate', 'RollingUpdate'])];
  }
  if (rollingUpdate === undefined)
    return [fieldRequired(path, 'this should be defaulted and never be nil')];
  return validateRollingUpdate(rollingUpdate, path);
}

function validateRollingUpdate(
  { maxUnavailable = 0, maxSurge = 0 }: RollingUpdateDeployment,
  path: string,
): FieldError[] {
  const at = `${path}.maxUnavailable`;
  const isStuck = amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0;
  const isTooMuch = (percentOf(maxUnavailable) ?? 0) > 100;
  return [
    ...validateNonNegativeIntOrPercent(at, maxUnavailable),
    ...validateNonNegativeIntOrPercent(`${path}.maxSurge`, maxSurge),
    ...when(isStuck, () => fieldInvalid(at, maxUnavailable, 'may not be 0 when `maxSurge` is 0')),
    ...when(isTooMuch, () => fieldInvalid(at, maxUnavailable, 'must not be greater than 100%')),
  ];
}

/** A number, or the number of a percentage; zero of what is neither. */
function amountOf(value: number | string): number {
  return typeof value === 'number' ? value : (percentOf(value) ?? 0);
}

function warnings(next: Deployment, old: Deployment | undefined): string[] {
  const { metadata = {}, spec = { containers: [] } } = next.spec.template;
  const ofTemplate = podWarnings(metadata, spec, TEMPLATE_PATH);
  if (old !== undefined)
    return next.metadata.generation === old.metadata.generation ? [] : ofTemplate;
  return [...hostNameWarnings(next.metadata.name ?? '', 'Pod names and hostnames'), ...ofTemplate];
}

function validateStatusUpdate(next: Deployment, old: Deployment): FieldError[] {
  const collisions = next.status?.collisionCount;
  const isDecremented = (old.status?.collisionCount ?? 0) > (collisions ?? 0);
  return [
    ...validateCounts(
      next.status ?? {},
      [
        'observedGeneration',
        'replicas',
        'updatedReplicas',
        'readyReplicas',
        'availableReplicas',
        'unavailableReplicas',
        'terminatingReplicas',
        'collisionCount',
      ],
      ['updatedReplicas', 'readyReplicas', 'availableReplicas'],
    ),
    ...when(isDecremented, () =>
      fieldInvalid('status.collisionCount', collisions ?? 0, 'cannot be decremented'),
    ),
  ];
}

function cells({ metadata, spec, status }: Deployment, nowMs: number): Cell[] {
  return [
    metadata.name ?? '',
    `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    status?.updatedReplicas ?? 0,
    status?.availableReplicas ?? 0,
    ageText(metadata.creationTimestamp, nowMs),
    ...templateCells(spec.template),
    selectorCell(spec.selector, '<invalid>'),
  ];
}
