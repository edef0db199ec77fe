/** Facts of a pod for its own variables and files: fields and resources (downward API). */
import type { Container, Pod, ResourceFieldSelector } from '../../gen/kube-core-v1.js';
import { findContainer } from './pods/pod-spec.js';
import { quantityValue } from './quantity-value.js';

export interface PodAddresses {
  readonly hostIps: readonly string[];
  readonly podIps: readonly string[];
}

/** Text of a field path. Throws: Error for a path that nothing may refer to. */
export function podField(pod: Pod, path: string, { hostIps, podIps }: PodAddresses): string {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (keyed !== null) {
    const map = keyed[1] === 'labels' ? metadata.labels : metadata.annotations;
    return map?.[keyed[2] ?? ''] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return metadata.name ?? '';
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
      return mapText(metadata.labels);
    case 'metadata.annotations':
      return mapText(metadata.annotations);
    case 'spec.nodeName':
      return spec.nodeName ?? '';
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? '';
    case 'status.hostIP':
      return hostIps[0] ?? '';
    case 'status.hostIPs':
      return hostIps.join(',');
    case 'status.podIP':
      return podIps[0] ?? '';
    case 'status.podIPs':
      return podIps.join(',');
    default:
      throw new Error(`unsupported fieldPath: ${path}`);
  }
}

/** `key="value"` a line, in the order of keys. */
function mapText(map: Record<string, string> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

/**
 * A request or limit of a container in units of the divisor, rounded up. Without a limit the node's
 * allocatable amount is what the container may use. Throws: Error for an unknown container or resource.
 */
export function resourceField(
  pod: Pod,
  container: Container,
  selector: ResourceFieldSelector,
  allocatable: Readonly<Record<string, string>>,
): string {
  const { containerName = '', resource } = selector;
  const of = containerName === '' ? container : findContainer(pod, containerName);
  if (of === undefined) throw new Error(`container ${containerName} not found`);
  const [list, ...rest] = resource.split('.');
  const name = rest.join('.');
  if ((list !== 'limits' && list !== 'requests') || name === '') {
    throw new Error(`unsupported container resource : ${resource}`);
  }
  const { limits = {}, requests = {} } = of.resources ?? {};
  const text =
    list === 'limits' ? (limits[name] ?? allocatable[name]) : (requests[name] ?? limits[name]);
  const divisor = quantityValue(selector.divisor ?? '1');
  const unit = divisor === 0 ? 1 : divisor;
  return String(Math.ceil(Number((quantityValue(text ?? '0') / unit).toFixed(6))));
}
