/** The kinds that these tests are about, found by the paths of recorded requests. */
import { lease } from '../../../../src/cluster/api/kinds/coordination/lease.js';
import { configMap } from '../../../../src/cluster/api/kinds/core/configmap.js';
import { endpoints } from '../../../../src/cluster/api/kinds/core/endpoints.js';
import { event } from '../../../../src/cluster/api/kinds/core/event.js';
import { namespace } from '../../../../src/cluster/api/kinds/core/namespace.js';
import { node } from '../../../../src/cluster/api/kinds/core/node.js';
import { secret } from '../../../../src/cluster/api/kinds/core/secret.js';
import { serviceAccount } from '../../../../src/cluster/api/kinds/core/serviceaccount.js';
import { service } from '../../../../src/cluster/api/kinds/core/service.js';
import { endpointSlice } from '../../../../src/cluster/api/kinds/discovery/endpointslice.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { JsonObject, KubeObject } from '../../../../src/cluster/api/object.js';
import type { FieldError } from '../../../../src/cluster/api/status.js';
import { targetOf } from './recorded-writes.js';

export const KINDS = [
  configMap,
  endpoints,
  endpointSlice,
  event,
  lease,
  namespace,
  node,
  secret,
  service,
  serviceAccount,
] as unknown as readonly Kind[];

export function kindOf(path: string): Kind | undefined {
  const { group, resource } = targetOf(path);
  return KINDS.find((kind) => kind.group === group && kind.resource === resource);
}

export function kindNamed(name: string): Kind {
  const found = KINDS.find(({ kind }) => kind === name);
  if (found === undefined) throw new Error(`no kind ${name}`);
  return found;
}

export function texts(found: readonly FieldError[]): string[] {
  return found.map(({ field, message }) => `${field}: ${message}`);
}

/** Findings of creating an object, without those on its metadata. */
export function refused(kindName: string, body: JsonObject): string[] {
  const kind = kindNamed(kindName);
  const metadata = { name: 'x', ...(kind.isNamespaced ? { namespace: 'default' } : {}) };
  const object = {
    ...structuredClone(body),
    metadata: { ...metadata, ...(body['metadata'] as JsonObject | undefined) },
  } as unknown as KubeObject;
  kind.setDefaults(object);
  kind.strategy.prepareCreate(object);
  return texts(kind.validate(object));
}
