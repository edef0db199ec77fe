/** Cluster IPs of a Service, and the families of addresses that they belong to. */
import type { Service, ServiceSpec } from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import {
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
} from '../../validation/field-error.js';
import { parseIp } from '../../validation/ip.js';
import { validateIpLoosely } from '../../validation/values.js';
import { hasClusterIp, HEADLESS, isHeadless } from './service-rules.js';

const FAMILIES: readonly string[] = ['IPv4', 'IPv6'];
const POLICIES: readonly string[] = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
const IPS = 'spec.clusterIPs';
const POLICY = 'spec.ipFamilyPolicy';
const FIXED = 'may not change once set';

/**
 * Findings that keep cluster IPs from being allocated. The first group that finds something is the
 * answer, as the others would only follow from it.
 */
export function validateAddresses(service: Service, old: Service | undefined): FieldError[] {
  if (!hasClusterIp(service)) return [];
  const groups = [validateForm, validateFamilies];
  for (const group of groups) {
    const found = group(service, old);
    if (found.length > 0) return found;
  }
  return [];
}

function validateForm(service: Service, old: Service | undefined): FieldError[] {
  const { clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = service.spec;
  const before = [
    ...validateFirstIp(service.spec),
    ...ipFamilies.flatMap((family, index) => {
      const field = `spec.ipFamilies[${index}]`;
      return [
        ...(FAMILIES.includes(family) ? [] : [fieldNotSupported(field, family, FAMILIES)]),
        ...(ipFamilies.indexOf(family) < index ? [fieldDuplicate(field, family)] : []),
      ];
    }),
    ...(ipFamilyPolicy === undefined || POLICIES.includes(ipFamilyPolicy)
      ? []
      : [fieldNotSupported(POLICY, ipFamilyPolicy, POLICIES)]),
  ];
  const bad = clusterIPs.flatMap((ip, index) => {
    if (index === 0 && ip === HEADLESS)
      return clusterIPs.length > 1
        ? [fieldInvalid(IPS, clusterIPs, "'None' must be the first and only value")]
        : [];
    if (old?.spec.clusterIPs?.includes(ip) === true) return [];
    return validateIpLoosely(`${IPS}[${index}]`, ip);
  });
  const tooMany =
    clusterIPs.length > 2 ? [fieldInvalid(IPS, clusterIPs, 'may only hold up to 2 values')] : [];
  if (bad.length > 0) return [...before, ...bad, ...tooMany];
  return [...before, ...tooMany, ...validatePair(clusterIPs), ...validateMatch(service)];
}

function validateFirstIp({ clusterIP = '', clusterIPs = [] }: ServiceSpec): FieldError[] {
  if (clusterIP === '') {
    if (clusterIPs.length === 0) return [];
    return [fieldInvalid(IPS, clusterIPs, 'must be empty when `clusterIP` is not specified')];
  }
  if (clusterIPs.length === 0) return [fieldRequired(IPS)];
  if (clusterIPs[0] === clusterIP) return [];
  return [fieldInvalid(IPS, clusterIPs, 'first value must match `clusterIP`')];
}

function validatePair(ips: readonly string[]): FieldError[] {
  const families = new Set(ips.map((ip) => parseIp(ip)?.family));
  if (families.size === ips.length) return [];
  return [fieldInvalid(IPS, ips, 'may specify no more than one IP for each IP family')];
}

function validateMatch(service: Service): FieldError[] {
  if (isHeadless(service)) return [];
  const { clusterIPs = [], ipFamilies = [] } = service.spec;
  return clusterIPs.flatMap((ip, index) => {
    const family = ipFamilies[index];
    if (family === undefined || parseIp(ip)?.family === family) return [];
    const detail = `expected an ${family} value as indicated by \`ipFamilies[${index}]\``;
    return [fieldInvalid(`${IPS}[${index}]`, ip, detail)];
  });
}

/** This cluster has addresses of IPv4 only. */
function validateFamilies(service: Service): FieldError[] {
  const { clusterIP, clusterIPs = [], ipFamilies = [], ipFamilyPolicy, selector } = service.spec;
  const isSingle = ipFamilyPolicy === 'SingleStack';
  const detail = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
  const found = [
    ...(isSingle && clusterIPs.length === 2
      ? [fieldInvalid(POLICY, ipFamilyPolicy, `${detail} cluster IPs are specified`)]
      : []),
    ...(isSingle && ipFamilies.length === 2
      ? [fieldInvalid(POLICY, ipFamilyPolicy, `${detail} IP families are specified`)]
      : []),
    // An IPv4 address has its family by now.
    ...clusterIPs.flatMap((ip, index) =>
      index < ipFamilies.length || ip === HEADLESS
        ? []
        : [fieldInvalid(`${IPS}[${index}]`, clusterIPs, 'IPv6 is not configured on this cluster')],
    ),
  ];
  if (found.length > 0) return found;
  if (clusterIP === HEADLESS && Object.keys(selector ?? {}).length === 0) return [];
  return [
    ...(ipFamilyPolicy === 'RequireDualStack'
      ? [
          fieldInvalid(
            POLICY,
            ipFamilyPolicy,
            'this cluster is not configured for dual-stack services',
          ),
        ]
      : []),
    ...ipFamilies.flatMap((family, index) =>
      family === 'IPv4'
        ? []
        : [fieldInvalid(`spec.ipFamilies[${index}]`, family, 'not configured on this cluster')],
    ),
  ];
}

/** A service keeps its cluster IPs and their families, unless it comes from or becomes a name. */
export function validateAddressUpdate(next: Service, old: Service): FieldError[] {
  if (!hasClusterIp(next) || !hasClusterIp(old)) return [];
  if (isHeadless(next) && isHeadless(old)) return [];
  const ips = validateKept(next, old, 'clusterIPs');
  const isStillHeadful = !isHeadless(next) && !isHeadless(old);
  return [...ips, ...(isStillHeadful ? validateKept(next, old, 'ipFamilies') : [])];
}

function validateKept(
  next: Service,
  old: Service,
  name: 'clusterIPs' | 'ipFamilies',
): FieldError[] {
  const held = old.spec[name] ?? [];
  const values = next.spec[name] ?? [];
  const field = `spec.${name}[0]`;
  const what = name === 'clusterIPs' ? 'clusterIP' : 'ipFamily';
  if (values.length === 0 && held.length > 0)
    return [fieldInvalid(field, next.spec[name], `primary ${what} can not be unset`)];
  if (values.length === held.length)
    return held.flatMap((value, index) =>
      value === values[index]
        ? []
        : [fieldInvalid(name === 'clusterIPs' ? `spec.${name}[${index}]` : field, values, FIXED)],
    );
  const isGivenUp = held.length > values.length && next.spec.ipFamilyPolicy !== 'SingleStack';
  const detail = `must be set to 'SingleStack' when releasing the secondary ${what}`;
  return [
    ...(held.length > 0 && held[0] !== values[0] ? [fieldInvalid(field, values, FIXED)] : []),
    ...(isGivenUp ? [fieldInvalid(POLICY, next.spec.ipFamilyPolicy, detail)] : []),
  ];
}
