/** The kinds that the API server serves. */
import type { KubeObject } from '../object.js';
import type { Kind } from './kind.js';
import { deployment } from './apps/deployment.js';
import { replicaSet } from './apps/replicaset.js';
import { lease } from './coordination/lease.js';
import { configMap } from './core/configmap.js';
import { endpoints } from './core/endpoints.js';
import { event } from './core/event.js';
import { namespace } from './core/namespace.js';
import { node } from './core/node.js';
import { pod } from './core/pod.js';
import { secret } from './core/secret.js';
import { service } from './core/service.js';
import { serviceAccount } from './core/serviceaccount.js';
import { endpointSlice } from './discovery/endpointslice.js';

/** By group (core first), then by resource, as discovery names them. */
export const KINDS: readonly Kind[] = [
  ofAny(configMap),
  ofAny(endpoints),
  ofAny(event),
  ofAny(namespace),
  ofAny(node),
  ofAny(pod),
  ofAny(secret),
  ofAny(serviceAccount),
  ofAny(service),
  ofAny(deployment),
  ofAny(replicaSet),
  ofAny(lease),
  ofAny(endpointSlice),
];

/** Code that takes a kind from the list has objects of that kind only, since it found it by name. */
function ofAny<T extends KubeObject>(kind: Kind<T>): Kind {
  return kind as unknown as Kind;
}

const byResource = new Map(
  KINDS.map((kind) => [`${kind.group}/${kind.version}/${kind.resource}`, kind]),
);
const byName = new Map(KINDS.map((kind) => [`${kind.group}/${kind.version}/${kind.kind}`, kind]));

/** `pods` of the core group, whose name is empty; undefined if it is not served. */
export function findResource(group: string, version: string, resource: string): Kind | undefined {
  return byResource.get(`${group}/${version}/${resource}`);
}

/** As findResource, by the kind: `Pod`. */
export function findKind(group: string, version: string, kind: string): Kind | undefined {
  return byName.get(`${group}/${version}/${kind}`);
}
