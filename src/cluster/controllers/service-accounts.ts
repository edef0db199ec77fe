/**
 * Gives every namespace its ServiceAccount `default`, and the ConfigMap with the certificate of
 * the cluster's CA, by which pods verify the API server.
 */
import type { ConfigMap, Namespace, ServiceAccount } from '../../gen/kube-core-v1.js';
import { isApiError } from '../api/status.js';
import { CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS } from '../client/resource-types.js';
import type { KubeObject } from '../api/object.js';
import type { Informer } from '../client/informer.js';
import type { WorkQueue } from '../client/work-queue.js';
import { enqueueEach, type ControllerContext } from './controller.js';
import { isNamespaceGoing } from './errors.js';

const ACCOUNT = 'default';
const ROOT_CA = 'kube-root-ca.crt';
const DESCRIPTION_KEY = 'kubernetes.io/description';
// Clients may compare it: the text of Kubernetes' own publisher.
const DESCRIPTION =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal ' +
  'endpoints such as the internal service IP or kubernetes.default.svc. No other usage is ' +
  'guaranteed across distributions of Kubernetes clusters.';

export function serviceAccounts(context: ControllerContext): void {
  const { client, informers } = context;
  const namespaces = informers.of(NAMESPACES);
  const accounts = informers.of(SERVICE_ACCOUNTS);
  const reconcile = async (namespace: string): Promise<void> => {
    if (!isOpen(namespaces.getByKey(namespace))) return;
    if (accounts.get(namespace, ACCOUNT) !== undefined) return;
    const account: ServiceAccount = {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: ACCOUNT, namespace },
    };
    await created(client.resource(SERVICE_ACCOUNTS, namespace).create(account));
  };
  const queue = context.loop({ name: 'serviceaccount', workers: 1, reconcile });
  enqueueEach(namespaces, queue);
  enqueueNamespaceOf(accounts, ACCOUNT, queue);
}

/** `rootCa`: PEM. */
export function rootCaPublisher(context: ControllerContext, rootCa: string): void {
  const { client, informers } = context;
  const namespaces = informers.of(NAMESPACES);
  const configMaps = informers.of(CONFIG_MAPS);
  const data = { 'ca.crt': rootCa };
  const reconcile = async (namespace: string): Promise<void> => {
    if (!isOpen(namespaces.getByKey(namespace))) return;
    const known = configMaps.get(namespace, ROOT_CA);
    const resource = client.resource(CONFIG_MAPS, namespace);
    const annotations = { ...known?.metadata.annotations, [DESCRIPTION_KEY]: DESCRIPTION };
    if (known === undefined) {
      const metadata = { name: ROOT_CA, namespace, annotations };
      const fresh: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
      await created(resource.create(fresh));
      return;
    }
    const keys = Object.keys(known.data ?? {});
    const isRight = keys.length === 1 && known.data?.['ca.crt'] === rootCa;
    if (isRight && known.metadata.annotations?.[DESCRIPTION_KEY] === DESCRIPTION) return;
    await resource.update({ ...known, metadata: { ...known.metadata, annotations }, data });
  };
  const queue = context.loop({ name: 'root-ca-cert-publisher', workers: 1, reconcile });
  enqueueEach(namespaces, queue);
  enqueueNamespaceOf(configMaps, ROOT_CA, queue);
}

function enqueueNamespaceOf<T extends KubeObject>(
  informer: Informer<T>,
  name: string,
  queue: WorkQueue,
): void {
  const enqueue = ({ metadata }: T): void => {
    if (metadata.name === name) queue.add(metadata.namespace ?? '');
  };
  informer.addHandler({ onUpdate: enqueue, onDelete: enqueue });
}

function isOpen(namespace: Namespace | undefined): boolean {
  return namespace !== undefined && namespace.status?.phase !== 'Terminating';
}

/** Another one may have been faster, or the namespace may have been deleted meanwhile. */
async function created(creation: Promise<KubeObject>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (isApiError(error, 'AlreadyExists') || isApiError(error, 'NotFound')) return;
    if (isNamespaceGoing(error)) return;
    throw error;
  }
}
