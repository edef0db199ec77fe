import type { Kind } from '../../api/kinds/kind.js';

/** Key of an object within its kind: `namespace/name`, or `name`. */
export function keyOf(kind: Kind, namespace: string, name: string): string {
  return kind.isNamespaced ? `${namespace}/${name}` : name;
}

export function nameOfKey(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}
