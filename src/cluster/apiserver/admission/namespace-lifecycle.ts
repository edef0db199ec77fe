/** Nothing is created in a namespace that is absent or going; the namespaces of the system stay. */
import type { Namespace } from '../../../gen/kube-core-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import { forbidden, notFound } from '../../api/status.js';
import type { ClusterEnv } from '../../env.js';
import type { AdmissionPlugin, ObjectLookup } from './admission.js';

const PROTECTED: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);

/** Time for which the cache is not asked about a namespace deleted through this server. */
const UNSURE_MS = 30_000;

export function namespaceLifecycle(
  namespaces: Kind,
  lookup: ObjectLookup,
  env: ClusterEnv,
): AdmissionPlugin {
  /** Monotonic ms until which the cache may show them as they were before their deletion. */
  const unsure = new Map<string, number>();
  const isUnsure = (name: string): boolean => (unsure.get(name) ?? 0) > env.monoMs();
  const deleted = (name: string): void => {
    for (const other of unsure.keys()) if (!isUnsure(other)) unsure.delete(other);
    unsure.set(name, env.monoMs() + UNSURE_MS);
  };
  return {
    name: 'NamespaceLifecycle',
    async mutate({ operation, kind, namespace, name, subresource }) {
      if (operation === 'DELETE') {
        if (kind !== namespaces || subresource !== '') return;
        if (PROTECTED.has(name)) {
          throw forbidden(namespaces, name, 'this namespace may not be deleted');
        }
        deleted(name);
        return;
      }
      if (!kind.isNamespaced || operation !== 'CREATE' || subresource !== '') return;
      const found = isUnsure(namespace)
        ? await lookup.read(namespaces, namespace)
        : await lookup.find(namespaces, namespace);
      if (found === undefined) throw notFound(namespaces, namespace);
      const { metadata, status } = found.object as Namespace;
      if (metadata.deletionTimestamp === undefined && status?.phase !== 'Terminating') return;
      const error = forbidden(
        kind,
        name,
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      );
      error.status.details = {
        ...error.status.details,
        causes: [
          {
            reason: 'NamespaceTerminating',
            message: `namespace ${namespace} is being terminated`,
            field: 'metadata.namespace',
          },
        ],
      };
      throw error;
    },
  };
}
