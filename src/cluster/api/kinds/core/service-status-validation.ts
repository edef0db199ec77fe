import type { LoadBalancerIngress, Service } from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
} from '../../validation/field-error.js';
import { parseIp } from '../../validation/ip.js';
import { subdomainProblems } from '../../validation/names.js';
import { validateIpLoosely } from '../../validation/values.js';

const IP_MODES: readonly string[] = ['Proxy', 'VIP'];

export function validateServiceStatus(next: Service, old: Service): FieldError[] {
  const field = 'status.loadBalancer.ingress';
  const points = next.status?.loadBalancer?.ingress ?? [];
  if (next.spec.type !== 'LoadBalancer')
    return points.length === 0
      ? []
      : [fieldForbidden(field, "may only be used when `spec.type` is 'LoadBalancer'")];
  const known = (old.status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip ?? '');
  return points.flatMap((point, index) => validateIngress(point, known, `${field}[${index}]`));
}

function validateIngress(
  { ip = '', ipMode, hostname = '' }: LoadBalancerIngress,
  known: readonly string[],
  path: string,
): FieldError[] {
  return [
    ...(ip === '' || known.includes(ip) ? [] : validateIpLoosely(`${path}.ip`, ip)),
    ...validateIpMode(ip, ipMode, `${path}.ipMode`),
    ...(hostname === ''
      ? []
      : fieldProblems(`${path}.hostname`, hostname, subdomainProblems(hostname))),
    ...(parseIp(hostname) === undefined
      ? []
      : [fieldInvalid(`${path}.hostname`, hostname, 'must be a DNS name, not an IP address')]),
  ];
}

function validateIpMode(ip: string, mode: string | undefined, field: string): FieldError[] {
  if (mode === undefined)
    return ip === '' ? [] : [fieldRequired(field, 'must be specified when `ip` is set')];
  if (ip === '') return [fieldForbidden(field, 'may not be specified when `ip` is not set')];
  return IP_MODES.includes(mode) ? [] : [fieldNotSupported(field, mode, IP_MODES)];
}
