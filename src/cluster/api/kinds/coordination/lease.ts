import type { Lease } from '../../../../gen/kube-coordination-v1.js';
import type { FieldError } from '../../status.js';
import { fieldInvalid } from '../../validation/field-error.js';
import { validateNonNegative } from '../../validation/values.js';
import { AGE_COLUMN, ageText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Kind } from '../kind.js';

export const lease: Kind<Lease> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  resource: 'leases',
  singular: 'lease',
  shortNames: [],
  categories: [],
  isNamespaced: true,
  verbs: ALL_VERBS,
  message: 'coordination.v1.Lease',
  storagePrefix: 'leases/',
  selectableFields: {},
  setDefaults: () => undefined,
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: false,
    allowsUnconditionalUpdate: false,
    allowsCreateOnUpdate: true,
    prepareCreate: dropCoordination,
    prepareUpdate: dropCoordination,
  },
  validate,
  validateUpdate: () => [],
  subresources: [],
  columns: [NAME_COLUMN, textColumn('Holder', 'Who holds the lease.'), AGE_COLUMN],
  cells: ({ metadata, spec }, nowMs) => [
    metadata.name ?? '',
    (spec as Lease['spec'] | undefined)?.holderIdentity ?? '',
    ageText(metadata.creationTimestamp, nowMs),
  ],
};

function validate(object: Lease): FieldError[] {
  const spec: Partial<Lease['spec']> = (object as Partial<Lease>).spec ?? {};
  const { leaseDurationSeconds: duration, leaseTransitions } = spec;
  return [
    ...(duration === undefined || duration > 0
      ? []
      : [fieldInvalid('spec.leaseDurationSeconds', duration, 'must be greater than 0')]),
    ...validateNonNegative('spec.leaseTransitions', leaseTransitions),
  ];
}

/** Coordinated leader election is off in Kubernetes 1.36, as long as nobody switches it on. */
function dropCoordination(object: Lease): void {
  const spec = (object as Partial<Lease>).spec;
  delete spec?.strategy;
  delete spec?.preferredHolder;
}
