/** The resources that a kubelet reads and writes. */
import type {
  ConfigMap,
  Node,
  Pod,
  Secret,
  Service,
  ServiceAccount,
} from '../../gen/kube-core-v1.js';
import type { KubeObject } from '../api/object.js';
import type { ResourceType } from '../api/kinds/kind.js';

function core<T extends KubeObject>(
  kind: string,
  resource: string,
  isNamespaced = true,
): ResourceType<T> {
  return { group: '', version: 'v1', kind, resource, isNamespaced };
}

export const PODS = core<Pod>('Pod', 'pods');
export const NODES = core<Node>('Node', 'nodes', false);
export const CONFIG_MAPS = core<ConfigMap>('ConfigMap', 'configmaps');
export const SECRETS = core<Secret>('Secret', 'secrets');
export const SERVICES = core<Service>('Service', 'services');
export const SERVICE_ACCOUNTS = core<ServiceAccount>('ServiceAccount', 'serviceaccounts');
