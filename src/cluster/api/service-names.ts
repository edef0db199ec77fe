/** Names by which services, their endpoint slices and cluster DNS find each other. */

/** Label of an endpoint slice: its service (k8s.io/api/discovery/v1). */
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

export const DNS_NAMESPACE = 'kube-system';
export const DNS_SERVICE = 'kube-dns';

/** Slice by which a node publishes itself as a server of DNS: each serves it for its own pods. */
export function dnsSliceOf(nodeName: string): string {
  return `${DNS_SERVICE}-${nodeName}`;
}
