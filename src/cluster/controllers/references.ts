import type { ObjectReference } from '../../gen/kube-core-v1.js';
import type { OwnerReference } from '../../gen/kube-meta-v1.js';
import type { KubeObject } from '../api/object.js';

/** The reference to the owner that controls the object; at most one does. */
export function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

export function controllerReferenceTo(owner: KubeObject): OwnerReference {
  const { apiVersion, kind, metadata } = owner;
  const { name = '', uid = '' } = metadata;
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

export function isGoing({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}

/** For events about the object. */
export function referenceTo({ apiVersion, kind, metadata }: KubeObject): ObjectReference {
  const { namespace, name, uid, resourceVersion } = metadata;
  return { kind, namespace, name, uid, apiVersion, resourceVersion };
}

const ORPHANS = 'orphans of ';

/** Index of objects by the uid of their controller; those without one by `orphansOf(namespace)`. */
export function byController(object: KubeObject): readonly string[] {
  const { uid = '' } = controllerOf(object) ?? {};
  return [uid === '' ? orphansOf(object.metadata.namespace ?? '') : uid];
}

export function orphansOf(namespace: string): string {
  return ORPHANS + namespace;
}

/** Oldest first; of one second, by name. */
export function byAge(a: KubeObject, b: KubeObject): number {
  const text = ({ metadata }: KubeObject): string =>
    `${metadata.creationTimestamp ?? ''} ${metadata.name ?? ''}`;
  return text(a) < text(b) ? -1 : 1;
}
