import type { ListMeta, ObjectMeta } from '../../gen/kube-meta-v1.js';

/** A JSON value as `JSON.parse` makes it. Numbers beyond 2^53 are not exact, as in other JavaScript. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [name: string]: JsonValue | undefined;
}

/**
 * Any object of the API: plain JSON, the same form whether it came as JSON, YAML or protobuf. The
 * generated types (src/gen/kube-*.ts) are views of it.
 */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

export interface KubeList<T extends KubeObject = KubeObject> {
  apiVersion: string;
  kind: string;
  metadata: ListMeta;
  items: T[];
}

/** `apps/v1`, or `v1` for the core group, whose name is empty. */
export function apiVersionOf(group: string, version: string): string {
  return group === '' ? version : `${group}/${version}`;
}

export function splitApiVersion(apiVersion: string): {
  readonly group: string;
  readonly version: string;
} {
  const at = apiVersion.indexOf('/');
  if (at === -1) return { group: '', version: apiVersion };
  return { group: apiVersion.slice(0, at), version: apiVersion.slice(at + 1) };
}

/** Freezes a JSON value with all that it holds, so that it can be shared. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
