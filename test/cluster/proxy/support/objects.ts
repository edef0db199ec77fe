/** Services and endpoint slices for tests. */
import type { Service, ServiceSpec } from '../../../../src/gen/kube-core-v1.js';
import type { Endpoint, EndpointSlice } from '../../../../src/gen/kube-discovery-v1.js';

export function serviceOf(name: string, spec: ServiceSpec, namespace = 'default'): Service {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
}

/** Of a service in `default`, with the port `http` 8080 unless `changes` say otherwise. */
export function sliceOf(
  service: string,
  endpoints: readonly Endpoint[],
  changes: Partial<EndpointSlice> = {},
): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-a`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: 'IPv4',
    endpoints: [...endpoints],
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    ...changes,
  };
}

export function endpointOf(ip: string, changes: Partial<Endpoint> = {}): Endpoint {
  return { addresses: [ip], conditions: { ready: true }, nodeName: 'node-a', ...changes };
}
