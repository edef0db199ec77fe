/**
 * Objects that every cluster has from the beginning: the namespaces of the system, the service of
 * the API server and that of the cluster's DNS. Made by the API server through its own client, and
 * left alone once they are there.
 */
import type { Service } from '../../../gen/kube-core-v1.js';
import { namespace } from '../../api/kinds/core/namespace.js';
import { service } from '../../api/kinds/core/service.js';
import { DNS_NAMESPACE, DNS_SERVICE } from '../../api/service-names.js';
import { isApiError } from '../../api/status.js';
import type { KubeClient } from '../../client/client.js';
import { addressAt } from '../registry/service-allocator.js';

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
/** Addresses of the service range that are not given out by chance. */
const API_OFFSET = 1;
const DNS_OFFSET = 10;

/** Address of the DNS service, as pods have it in resolv.conf. */
export function dnsAddress(serviceCidr: string): string {
  return addressAt(serviceCidr, DNS_OFFSET);
}

/** Address of the API server's service. */
export function apiServiceAddress(serviceCidr: string): string {
  return addressAt(serviceCidr, API_OFFSET);
}

export interface SystemObjectsSetup {
  readonly client: KubeClient;
  readonly serviceCidr: string;
  /** Port on which API servers serve. */
  readonly apiPort: number;
}

/** Rejects with the first error but AlreadyExists. */
export async function createSystemObjects(setup: SystemObjectsSetup): Promise<void> {
  const { client, serviceCidr, apiPort } = setup;
  const namespaces = client.resource(namespace);
  for (const name of NAMESPACES) {
    await ignoreExisting(
      namespaces.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name }, spec: {} }),
    );
  }
  for (const made of [apiService(serviceCidr, apiPort), dnsService(serviceCidr)]) {
    const services = client.resource(service, made.metadata.namespace ?? '');
    await ignoreExisting(services.create(made));
  }
}

async function ignoreExisting(created: Promise<unknown>): Promise<void> {
  try {
    await created;
  } catch (error) {
    if (!isApiError(error, 'AlreadyExists')) throw error;
  }
}

function apiService(serviceCidr: string, targetPort: number): Service {
  const address = apiServiceAddress(serviceCidr);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { component: 'apiserver', provider: 'kubernetes' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: address,
      clusterIPs: [address],
      ports: [{ name: 'https', protocol: 'TCP', port: 443, targetPort }],
    },
  };
}

/** Without a selector: every node serves DNS for its own pods, and publishes itself as an endpoint. */
function dnsService(serviceCidr: string): Service {
  const address = dnsAddress(serviceCidr);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: DNS_SERVICE,
      namespace: DNS_NAMESPACE,
      labels: {
        'k8s-app': 'kube-dns',
        'kubernetes.io/cluster-service': 'true',
        'kubernetes.io/name': 'CoreDNS',
      },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: address,
      clusterIPs: [address],
      internalTrafficPolicy: 'Local',
      ports: [
        { name: 'dns', protocol: 'UDP', port: 53, targetPort: 53 },
        { name: 'dns-tcp', protocol: 'TCP', port: 53, targetPort: 53 },
      ],
    },
  };
}
