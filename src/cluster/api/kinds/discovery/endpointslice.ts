import type { EndpointSlice } from '../../../../gen/kube-discovery-v1.js';
import { isSameValue, validateImmutable } from '../../validation/field-error.js';
import { ipWarnings } from '../../validation/ip.js';
import { AGE_COLUMN, ageText, listText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Kind } from '../kind.js';
import { validateEndpointSlice } from './endpointslice-validation.js';

const MAX_SHOWN = 3;

export const endpointSlice: Kind<EndpointSlice> = {
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  resource: 'endpointslices',
  singular: 'endpointslice',
  shortNames: [],
  categories: [],
  isNamespaced: true,
  verbs: ALL_VERBS,
  message: 'discovery.v1.EndpointSlice',
  storagePrefix: 'endpointslices/',
  selectableFields: {},
  setDefaults: ({ ports }) => {
    for (const port of ports ?? []) {
      port.name ??= '';
      port.protocol ??= 'TCP';
    }
  },
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: true,
    generationOf: ({ metadata, addressType, endpoints, ports }) => ({
      labels: metadata.labels,
      addressType,
      endpoints,
      ports,
    }),
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    prepareCreate: (slice) => {
      dropDeprecatedTopology(slice);
      emptyToNull(slice);
    },
    prepareUpdate: (next, old) => {
      if (!isSameValue(next.endpoints, old.endpoints)) dropDeprecatedTopology(next);
      emptyToNull(next);
    },
    warnings,
  },
  validate: validateEndpointSlice,
  validateUpdate: (next, old) =>
    validateImmutable('addressType', next.addressType, old.addressType),
  subresources: [],
  columns: [
    NAME_COLUMN,
    textColumn('AddressType', 'Kind of the addresses.'),
    textColumn('Ports', 'Ports of each endpoint.'),
    textColumn('Endpoints', 'Addresses, ready or not.'),
    AGE_COLUMN,
  ],
  cells: ({ metadata, addressType, ports, endpoints }, nowMs) => [
    metadata.name ?? '',
    addressType,
    shown((ports ?? []).map(({ port, name }) => String(port ?? name ?? '*'))),
    shown((endpoints ?? []).flatMap(({ addresses }) => addresses)),
    ageText(metadata.creationTimestamp, nowMs),
  ],
};

function shown(texts: readonly string[]): string {
  const text = listText(texts, MAX_SHOWN);
  return text === '' ? '<unset>' : text;
}

/** The field is of an older version of the API; v1 does not write it. */
function dropDeprecatedTopology({ endpoints }: EndpointSlice): void {
  for (const endpoint of endpoints ?? []) delete endpoint.deprecatedTopology;
}

/** An empty list is null once it is stored: Kubernetes' stored form knows no empty lists. */
function emptyToNull(slice: EndpointSlice): void {
  for (const name of ['endpoints', 'ports'] as const)
    if (slice[name]?.length === 0) Reflect.set(slice, name, null);
}

function warnings({ addressType, endpoints }: EndpointSlice, old?: EndpointSlice): string[] {
  return [
    ...(addressType === 'FQDN' && old === undefined
      ? ['spec.addressType: FQDN endpoints are deprecated']
      : []),
    ...(endpoints ?? []).flatMap(({ addresses }, at) =>
      addresses.flatMap((address, index) =>
        ipWarnings(`endpoints[${at}].addresses[${index}]`, address),
      ),
    ),
  ];
}
