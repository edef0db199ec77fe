import type {
  EndpointAddress,
  EndpointPort,
  Endpoints,
  EndpointSubset,
} from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import { fieldProblems, fieldRequired, isSameValue } from '../../validation/field-error.js';
import { ipWarnings, validateEndpointIp } from '../../validation/ip.js';
import {
  dnsLabelProblems,
  qualifiedNameProblems,
  subdomainProblems,
} from '../../validation/names.js';
import { validateIpLoosely, validateOneOf, validatePort } from '../../validation/values.js';
import { AGE_COLUMN, ageText, listText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Kind } from '../kind.js';
import { PROTOCOLS } from '../protocols.js';

const MAX_SHOWN = 3;

export const endpoints: Kind<Endpoints> = {
  group: '',
  version: 'v1',
  kind: 'Endpoints',
  resource: 'endpoints',
  singular: 'endpoints',
  shortNames: ['ep'],
  categories: [],
  isNamespaced: true,
  verbs: ALL_VERBS,
  message: 'core.v1.Endpoints',
  deprecation: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  storagePrefix: 'services/endpoints/',
  selectableFields: {},
  setDefaults: ({ subsets = [] }) => {
    for (const port of subsets.flatMap(({ ports = [] }) => ports))
      if (port.protocol === undefined || port.protocol === '') port.protocol = 'TCP';
  },
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: false,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: true,
    prepareCreate: () => undefined,
    prepareUpdate: () => undefined,
    warnings,
  },
  // Older servers took subsets that are refused now; an update that leaves them alone passes.
  validate: ({ subsets = [] }, old) =>
    old !== undefined && isSameValue(subsets, old.subsets)
      ? []
      : subsets.flatMap((subset, index) => validateSubset(subset, `subsets[${index}]`)),
  validateUpdate: () => [],
  subresources: [],
  columns: [
    NAME_COLUMN,
    textColumn('Endpoints', 'Addresses and ports that are ready.'),
    AGE_COLUMN,
  ],
  cells: ({ metadata, subsets }, nowMs) => [
    metadata.name ?? '',
    endpointsText(subsets ?? []),
    ageText(metadata.creationTimestamp, nowMs),
  ],
};

function warnings({ subsets = [] }: Endpoints): string[] {
  return subsets.flatMap((subset, at) =>
    (['addresses', 'notReadyAddresses'] as const).flatMap((name) =>
      (subset[name] ?? []).flatMap(({ ip }, index) =>
        ipWarnings(`subsets[${at}].${name}[${index}].ip`, ip),
      ),
    ),
  );
}

function validateSubset(subset: EndpointSubset, path: string): FieldError[] {
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  return [
    ...(addresses.length + notReadyAddresses.length === 0
      ? [fieldRequired(path, 'must specify `addresses` or `notReadyAddresses`')]
      : []),
    ...addresses.flatMap((address, index) =>
      validateAddress(address, `${path}.addresses[${index}]`),
    ),
    ...notReadyAddresses.flatMap((address, index) =>
      validateAddress(address, `${path}.notReadyAddresses[${index}]`),
    ),
    ...ports.flatMap((port, index) =>
      validateEndpointPort(port, ports.length > 1, `${path}.ports[${index}]`),
    ),
  ];
}

function validateAddress(
  { ip, hostname = '', nodeName }: EndpointAddress,
  path: string,
): FieldError[] {
  return [
    ...validateIpLoosely(`${path}.ip`, ip),
    ...(hostname === ''
      ? []
      : fieldProblems(`${path}.hostname`, hostname, dnsLabelProblems(hostname))),
    ...(nodeName === undefined
      ? []
      : fieldProblems(`${path}.nodeName`, nodeName, subdomainProblems(nodeName))),
    ...validateEndpointIp(`${path}.ip`, ip),
  ];
}

function validateEndpointPort(port: EndpointPort, needsName: boolean, path: string): FieldError[] {
  const { name = '', protocol, appProtocol } = port;
  const nameFindings = needsName ? [fieldRequired(`${path}.name`)] : [];
  return [
    ...(name === '' ? nameFindings : fieldProblems(`${path}.name`, name, dnsLabelProblems(name))),
    ...validatePort(`${path}.port`, port.port),
    ...validateOneOf(`${path}.protocol`, protocol, PROTOCOLS, true),
    ...(appProtocol === undefined
      ? []
      : fieldProblems(`${path}.appProtocol`, appProtocol, qualifiedNameProblems(appProtocol))),
  ];
}

function endpointsText(subsets: readonly EndpointSubset[]): string {
  if (subsets.length === 0) return '<none>';
  const texts = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(({ ip }) => ip)
      : ports.flatMap(({ port }) =>
          addresses.map(({ ip }) => `${ip.includes(':') ? `[${ip}]` : ip}:${port}`),
        ),
  );
  return listText(texts, MAX_SHOWN);
}
