import type { Pod, Service } from '../../../gen/kube-core-v1.js';
import { hasEnded } from '../pods.js';

export type AddressType = 'IPv4' | 'IPv6';

/** The families in which the Service has endpoints; the first is its main one. */
export function addressTypesOf({ spec }: Service): readonly AddressType[] {
  const families = (spec?.ipFamilies ?? []).filter(
    (family): family is AddressType => family === 'IPv4' || family === 'IPv6',
  );
  return families.length === 0 ? ['IPv4'] : families;
}

/** Of pods that have ended, none: their addresses may be others' by now. */
export function addressesOf(pod: Pod, type: AddressType): string[] {
  if (hasEnded(pod)) return [];
  const { podIP = '', podIPs } = pod.status ?? {};
  const all = podIPs?.map(({ ip = '' }) => ip) ?? [podIP];
  return all.filter((ip) => ip !== '' && ip.includes(':') === (type === 'IPv6'));
}

/** Only a pod that names the Service as its subdomain has a name of its own below it. */
export function hostnameOf({ spec, metadata }: Pod, service: Service): string | undefined {
  const isBelow =
    spec.subdomain === service.metadata.name && metadata.namespace === service.metadata.namespace;
  return isBelow && (spec.hostname ?? '') !== '' ? spec.hostname : undefined;
}
