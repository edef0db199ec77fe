import type {
  Endpoint,
  EndpointHints,
  EndpointPort,
  EndpointSlice,
} from '../../../../gen/kube-discovery-v1.js';
import type { FieldError } from '../../status.js';
import {
  fieldDuplicate,
  fieldInvalid,
  fieldProblems,
  fieldRequired,
  fieldTooMany,
  isSameValue,
} from '../../validation/field-error.js';
import { ipText, parseIp, validateEndpointIp, type IpFamily } from '../../validation/ip.js';
import {
  dnsLabelProblems,
  labelValueProblems,
  qualifiedNameProblems,
  subdomainProblems,
  type TextRule,
} from '../../validation/names.js';
import { validateLabels } from '../../validation/object-meta.js';
import { validateIpLoosely, validateOneOf } from '../../validation/values.js';
import { PROTOCOLS } from '../protocols.js';

const MAX_ENDPOINTS = 1000;
const MAX_ADDRESSES = 100;
const MAX_PORTS = 20_000;
const MAX_HINTS = 8;
const MAX_TOPOLOGY_LABELS = 16;

export function validateEndpointSlice(slice: EndpointSlice, old?: EndpointSlice): FieldError[] {
  const { addressType, ports, endpoints } = slice as Partial<EndpointSlice>;
  // Older servers took endpoints that are refused now; an update that leaves them alone passes.
  const isUnchanged = old !== undefined && isSameValue(endpoints, old.endpoints);
  return [
    ...validateOneOf('addressType', addressType, ['FQDN', 'IPv4', 'IPv6'], true),
    ...validatePorts(ports ?? []),
    ...(isUnchanged ? [] : validateEndpoints(endpoints ?? [], addressType ?? '')),
  ];
}

function validatePorts(ports: readonly EndpointPort[]): FieldError[] {
  if (ports.length > MAX_PORTS) return [fieldTooMany('ports', ports.length, MAX_PORTS)];
  const names = new Set<string>();
  return ports.flatMap(({ name = '', protocol, appProtocol }, index) => {
    const path = `ports[${index}]`;
    const isTaken = names.has(name);
    names.add(name);
    return [
      ...(name === '' ? [] : fieldProblems(`${path}.name`, name, dnsLabelProblems(name))),
      ...(isTaken ? [fieldDuplicate(`${path}.name`, name)] : []),
      ...(protocol === undefined
        ? [fieldRequired(`${path}.protocol`)]
        : validateOneOf(`${path}.protocol`, protocol, PROTOCOLS)),
      ...(appProtocol === undefined
        ? []
        : fieldProblems(`${path}.appProtocol`, appProtocol, qualifiedNameProblems(appProtocol))),
    ];
  });
}

function validateEndpoints(endpoints: readonly Endpoint[], addressType: string): FieldError[] {
  if (endpoints.length > MAX_ENDPOINTS)
    return [fieldTooMany('endpoints', endpoints.length, MAX_ENDPOINTS)];
  return endpoints.flatMap((endpoint, index) =>
    validateEndpoint(endpoint, addressType, `endpoints[${index}]`),
  );
}

function validateEndpoint(endpoint: Endpoint, addressType: string, path: string): FieldError[] {
  const { nodeName, hostname, hints, deprecatedTopology = {} } = endpoint;
  const topologyPath = `${path}.deprecatedTopology`;
  const labelCount = Object.keys(deprecatedTopology).length;
  return [
    ...validateAddresses(endpoint, addressType, `${path}.addresses`),
    ...(nodeName === undefined
      ? []
      : fieldProblems(`${path}.nodeName`, nodeName, subdomainProblems(nodeName))),
    ...(labelCount > MAX_TOPOLOGY_LABELS
      ? [fieldTooMany(topologyPath, labelCount, MAX_TOPOLOGY_LABELS)]
      : []),
    ...validateLabels(deprecatedTopology, topologyPath),
    ...(hostname === undefined
      ? []
      : fieldProblems(`${path}.hostname`, hostname, dnsLabelProblems(hostname))),
    ...(hints === undefined ? [] : validateHints(hints, `${path}.hints`)),
  ];
}

function validateAddresses(endpoint: Endpoint, addressType: string, path: string): FieldError[] {
  const { addresses = [] } = endpoint as Partial<Endpoint>;
  const rule = ADDRESS_RULES[addressType];
  return [
    ...(addresses.length === 0 ? [fieldRequired(path, 'must contain at least 1 address')] : []),
    ...(addresses.length > MAX_ADDRESSES
      ? [fieldTooMany(path, addresses.length, MAX_ADDRESSES)]
      : []),
    ...(rule === undefined
      ? []
      : addresses.flatMap((address, index) => rule(address, `${path}[${index}]`, path))),
  ];
}

/** `listPath` is of the list of addresses, which some findings name instead of the address. */
type AddressRule = (address: string, path: string, listPath: string) => FieldError[];

const ADDRESS_RULES: Readonly<Record<string, AddressRule>> = {
  IPv4: (address, path, listPath) =>
    validateFamily(address, path, listPath, 'IPv4', validateIpLoosely),
  IPv6: (address, path, listPath) =>
    validateFamily(address, path, listPath, 'IPv6', validateIpStrictly),
  FQDN: validateFullName,
};

function validateFamily(
  address: string,
  path: string,
  listPath: string,
  family: IpFamily,
  rule: (field: string, value: string) => FieldError[],
): FieldError[] {
  const found = rule(path, address);
  if (found.length > 0) return found;
  const isOther = parseIp(address)?.family !== family;
  return [
    ...(isOther ? [fieldInvalid(listPath, address, `must be an ${family} address`)] : []),
    ...validateEndpointIp(path, address),
  ];
}

function validateIpStrictly(path: string, value: string): FieldError[] {
  const found = validateIpLoosely(path, value);
  const address = parseIp(value);
  if (found.length > 0 || address === undefined || ipText(address) === value) return found;
  return [fieldInvalid(path, value, `must be in canonical form ("${ipText(address)}")`)];
}

/** A DNS name of two labels or more, which may end with a dot. */
function validateFullName(address: string, path: string): FieldError[] {
  if (address === '') return [fieldRequired(path)];
  const name = address.replace(/\.$/, '');
  const problems = subdomainProblems(name);
  if (problems.length > 0) return [fieldInvalid(path, name, problems.join(','))];
  const labels = name.split('.');
  if (labels.length < 2) {
    const detail = 'should be a domain with at least two segments separated by dots';
    return [fieldInvalid(path, name, detail)];
  }
  const bad = labels.find((label) => dnsLabelProblems(label).length > 0);
  return bad === undefined ? [] : [fieldInvalid(path, bad, dnsLabelProblems(bad).join(','))];
}

function validateHints(
  { forZones = [], forNodes = [] }: EndpointHints,
  path: string,
): FieldError[] {
  if (forZones.length > MAX_HINTS)
    return [fieldTooMany(`${path}.forZones`, forZones.length, MAX_HINTS)];
  const zones = validateHintNames(forZones, labelValueProblems, `${path}.forZones`);
  if (forNodes.length > MAX_HINTS)
    return [...zones, fieldTooMany(`${path}.forNodes`, forNodes.length, MAX_HINTS)];
  return [...zones, ...validateHintNames(forNodes, subdomainProblems, `${path}.forNodes`)];
}

function validateHintNames(
  hints: readonly { readonly name: string }[],
  rule: TextRule,
  path: string,
): FieldError[] {
  return hints.flatMap(({ name }, index) => {
    const isTaken = hints.findIndex((other) => other.name === name) < index;
    const field = `${path}[${index}].name`;
    return [
      ...(isTaken ? [fieldDuplicate(field, name)] : []),
      ...fieldProblems(field, name, rule(name)),
    ];
  });
}
