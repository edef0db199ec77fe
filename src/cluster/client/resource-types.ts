/** Resources that clients reach; kinds (src/cluster/api/kinds) are for the server. */
import type { Deployment, ReplicaSet } from '../../gen/kube-apps-v1.js';
import type { Lease } from '../../gen/kube-coordination-v1.js';
import type {
  ConfigMap,
  Endpoints,
  Event,
  Namespace,
  Node,
  Pod,
  Secret,
  Service,
  ServiceAccount,
} from '../../gen/kube-core-v1.js';
import type { EndpointSlice } from '../../gen/kube-discovery-v1.js';
import type { ResourceType } from '../api/kinds/kind.js';
import type { KubeObject } from '../api/object.js';

function resource<T extends KubeObject>(
  group: string,
  kind: string,
  plural: string,
  isNamespaced = true,
): ResourceType<T> {
  return { group, version: 'v1', kind, resource: plural, isNamespaced };
}

export const CONFIG_MAPS = resource<ConfigMap>('', 'ConfigMap', 'configmaps');
export const DEPLOYMENTS = resource<Deployment>('apps', 'Deployment', 'deployments');
export const ENDPOINT_SLICES = resource<EndpointSlice>(
  'discovery.k8s.io',
  'EndpointSlice',
  'endpointslices',
);
export const ENDPOINTS = resource<Endpoints>('', 'Endpoints', 'endpoints');
export const EVENTS = resource<Event>('', 'Event', 'events');
export const LEASES = resource<Lease>('coordination.k8s.io', 'Lease', 'leases');
export const NAMESPACES = resource<Namespace>('', 'Namespace', 'namespaces', false);
export const NODES = resource<Node>('', 'Node', 'nodes', false);
export const PODS = resource<Pod>('', 'Pod', 'pods');
export const REPLICA_SETS = resource<ReplicaSet>('apps', 'ReplicaSet', 'replicasets');
export const SECRETS = resource<Secret>('', 'Secret', 'secrets');
export const SERVICE_ACCOUNTS = resource<ServiceAccount>('', 'ServiceAccount', 'serviceaccounts');
export const SERVICES = resource<Service>('', 'Service', 'services');
