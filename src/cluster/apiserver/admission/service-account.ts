/**
 * Pods run as a service account that exists, and find its token, the cluster's CA and their
 * namespace in a volume (k8s.io/kubernetes/plugin/pkg/admission/serviceaccount).
 */
import type { Container, Pod, ServiceAccount, Volume } from '../../../gen/kube-core-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import { isMirrorPod } from '../../api/kinds/core/pod/mirror.js';
import { forbidden } from '../../api/status.js';
import type { AdmissionPlugin, ObjectLookup } from './admission.js';

const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const VOLUME_PREFIX = 'kube-api-access-';
/** A second more than an hour marks tokens that the server asked for. */
const TOKEN_SECONDS = 3607;

export interface ServiceAccountKinds {
  readonly pods: Kind;
  readonly serviceAccounts: Kind;
}

/** `suffix` gives five characters that names are made unique with. */
export function serviceAccountAdmission(
  kinds: ServiceAccountKinds,
  lookup: ObjectLookup,
  suffix: () => string,
): AdmissionPlugin {
  const { pods, serviceAccounts } = kinds;
  return {
    name: 'ServiceAccount',
    async mutate({ operation, kind, subresource, namespace, name, object }) {
      if (operation !== 'CREATE' || kind !== pods || subresource !== '') return;
      const pod = object as Pod;
      const { spec } = pod;
      if (isMirrorPod(pod)) {
        // A kubelet writes it as its file says; nothing may be added.
        if ((spec.serviceAccountName ?? '') === '') return;
        throw forbidden(pods, name, 'a mirror pod may not reference service accounts');
      }
      if ((spec.serviceAccountName ?? '') === '') spec.serviceAccountName = 'default';
      const account = spec.serviceAccountName ?? '';
      spec.serviceAccount = account;
      const found = await lookup.find(serviceAccounts, `${namespace}/${account}`);
      if (found === undefined) {
        throw forbidden(
          pods,
          name,
          `error looking up service account ${namespace}/${account}: serviceaccount ${JSON.stringify(account)} not found`,
        );
      }
      const stored = found.object as ServiceAccount;
      if (mounts(pod, stored)) addTokenVolume(pod, suffix);
      if ((spec.imagePullSecrets ?? []).length === 0 && stored.imagePullSecrets !== undefined) {
        spec.imagePullSecrets = structuredClone(stored.imagePullSecrets);
      }
    },
  };
}

function mounts(pod: Pod, account: ServiceAccount): boolean {
  return pod.spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
}

function addTokenVolume(pod: Pod, suffix: () => string): void {
  const { spec } = pod;
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const needing = containers.filter(
    ({ volumeMounts = [] }) => !volumeMounts.some(({ mountPath }) => mountPath === MOUNT_PATH),
  );
  if (needing.length === 0) return;
  const volumes = spec.volumes ?? [];
  const existing = volumes.find(({ name }) => name.startsWith(VOLUME_PREFIX));
  const volume = existing ?? tokenVolume(`${VOLUME_PREFIX}${suffix()}`);
  if (existing === undefined) spec.volumes = [...volumes, volume];
  for (const container of needing) addMount(container, volume.name);
}

function addMount(container: Container, volume: string): void {
  const mount = { name: volume, readOnly: true, mountPath: MOUNT_PATH };
  container.volumeMounts = [...(container.volumeMounts ?? []), mount];
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
        {
          configMap: {
            name: 'kube-root-ca.crt',
            items: [{ key: 'ca.crt', path: 'ca.crt' }],
          },
        },
        {
          downwardAPI: {
            items: [
              {
                path: 'namespace',
                fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' },
              },
            ],
          },
        },
      ],
      defaultMode: 420,
    },
  };
}
