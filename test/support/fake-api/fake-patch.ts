import { apiError, unsupportedMediaType } from '../../../src/cluster/api/status.js';
import type { JsonObject, JsonValue, KubeObject } from '../../../src/cluster/api/object.js';

/** Keys by which lists of objects merge, in the order in which they are tried. */
const MERGE_KEYS = ['type', 'name', 'uid', 'key', 'ip', 'mountPath'];

/** Lists of objects with a `name` that a patch replaces as a whole. */
const ATOMIC_LISTS = ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses'];

/**
 * The patched object. Strategic merge guesses the key of a list from its items, and knows of the
 * directives only `$patch: delete`; apply is merged likewise.
 */
export function applyPatch(contentType: string, object: KubeObject, patch: JsonValue): KubeObject {
  const target = object as unknown as JsonObject;
  const patched = (value: JsonValue): KubeObject => value as unknown as KubeObject;
  switch (contentType) {
    case 'application/json-patch+json':
      return patched(jsonPatch(target, patch as JsonObject[]));
    case 'application/merge-patch+json':
      return patched(merge(target, patch, false));
    case 'application/strategic-merge-patch+json':
    case 'application/apply-patch+yaml':
      return patched(merge(target, patch, true));
    default:
      throw unsupportedMediaType(['application/json-patch+json', 'application/merge-patch+json']);
  }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function merge(target: JsonValue | undefined, patch: JsonValue, isStrategic: boolean): JsonValue {
  if (isStrategic && Array.isArray(patch) && Array.isArray(target)) {
    return mergeLists(target, patch);
  }
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith('$')) continue;
    if (value === null || value === undefined) delete result[name];
    else if (ATOMIC_LISTS.includes(name)) result[name] = value;
    else result[name] = merge(result[name], value, isStrategic);
  }
  return result;
}

function mergeLists(target: JsonValue[], patch: JsonValue[]): JsonValue {
  const key = MERGE_KEYS.find((name) =>
    [...target, ...patch].every((item) => isObject(item) && item[name] !== undefined),
  );
  if (key === undefined) return patch;
  const result = [...target];
  for (const item of patch) {
    const at = result.findIndex(
      (other) => isObject(other) && isObject(item) && other[key] === item[key],
    );
    if (isObject(item) && item['$patch'] === 'delete') {
      if (at !== -1) result.splice(at, 1);
    } else if (at === -1) result.push(merge(undefined, item, true));
    else result[at] = merge(result[at], item, true);
  }
  return result;
}

function jsonPatch(target: JsonObject, operations: JsonObject[]): JsonValue {
  const root: JsonObject = { root: target };
  for (const operation of operations) {
    const steps = pointer(operation['path']);
    const last = steps.pop() ?? '';
    let parent: JsonValue | undefined = root;
    for (const step of steps) parent = child(parent, step);
    if (typeof parent !== 'object' || parent === null) throw failed(operation);
    apply(parent, last, operation);
  }
  return root['root'] ?? null;
}

function pointer(path: JsonValue | undefined): string[] {
  const steps = (typeof path === 'string' ? path : '').split('/').slice(1);
  return ['root', ...steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))];
}

function child(parent: JsonValue | undefined, step: string): JsonValue | undefined {
  if (Array.isArray(parent)) return parent[Number(step)];
  return isObject(parent) ? parent[step] : undefined;
}

function apply(parent: JsonValue[] | JsonObject, step: string, operation: JsonObject): void {
  const value = operation['value'] ?? null;
  const exists = child(parent, step) !== undefined;
  const index = Number(step);
  switch (operation['op']) {
    case 'test':
      if (JSON.stringify(child(parent, step) ?? null) !== JSON.stringify(value))
        throw failed(operation);
      return;
    case 'add':
      if (!Array.isArray(parent)) parent[step] = value;
      else if (step === '-') parent.push(value);
      else parent.splice(index, 0, value);
      return;
    case 'replace':
      if (!exists) throw failed(operation);
      if (Array.isArray(parent)) parent[index] = value;
      else parent[step] = value;
      return;
    case 'remove':
      if (!exists) throw failed(operation);
      if (Array.isArray(parent)) parent.splice(index, 1);
      else delete parent[step];
      return;
    default:
      throw failed(operation);
  }
}

function failed(operation: JsonObject): Error {
  return apiError(422, 'Invalid', `the patch does not apply: ${JSON.stringify(operation)}`);
}
