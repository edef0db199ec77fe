import type { ServiceAccount } from '../../../../gen/kube-core-v1.js';
import { AGE_COLUMN, ageText, NAME_COLUMN } from '../cells.js';
import { ALL_VERBS, type Kind } from '../kind.js';

const ENFORCE_MOUNTABLE_SECRETS = 'kubernetes.io/enforce-mountable-secrets';

export const serviceAccount: Kind<ServiceAccount> = {
  group: '',
  version: 'v1',
  kind: 'ServiceAccount',
  resource: 'serviceaccounts',
  singular: 'serviceaccount',
  shortNames: ['sa'],
  categories: [],
  isNamespaced: true,
  verbs: ALL_VERBS,
  message: 'core.v1.ServiceAccount',
  storagePrefix: 'serviceaccounts/',
  selectableFields: {},
  setDefaults: () => undefined,
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: false,
    returnsDeleted: true,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    prepareCreate: keepNamesOfSecrets,
    prepareUpdate: keepNamesOfSecrets,
    warnings,
  },
  validate: () => [],
  validateUpdate: () => [],
  subresources: [
    {
      name: 'token',
      kind: 'TokenRequest',
      group: 'authentication.k8s.io',
      version: 'v1',
      verbs: ['create'],
    },
  ],
  columns: [NAME_COLUMN, AGE_COLUMN],
  cells: ({ metadata }, nowMs) => [metadata.name ?? '', ageText(metadata.creationTimestamp, nowMs)],
};

/** The secrets of an account are in its namespace: only their names mean anything. */
function keepNamesOfSecrets(account: ServiceAccount): void {
  if (account.secrets !== undefined)
    account.secrets = account.secrets.map(({ name }) => (name === undefined ? {} : { name }));
}

function warnings(next: ServiceAccount, old: ServiceAccount | undefined): string[] {
  const has = (account: ServiceAccount | undefined): boolean =>
    Object.hasOwn(account?.metadata.annotations ?? {}, ENFORCE_MOUNTABLE_SECRETS);
  if (!has(next) || has(old)) return [];
  return [
    `metadata.annotations[${ENFORCE_MOUNTABLE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`,
  ];
}
