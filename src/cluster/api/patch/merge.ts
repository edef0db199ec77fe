/** JSON merge patch, RFC 7386 (application/merge-patch+json). */
import { describe } from '../codec/scalars.js';
import type { JsonObject, JsonValue } from '../object.js';
import { badRequest } from '../status.js';

/**
 * The object with the patch applied; shares what the patch does not name. Throws: ApiError 400 when
 * the patch is not an object.
 */
export function applyMergePatch(target: JsonObject, patch: JsonValue): JsonObject {
  if (patch === null) throw badRequest('Invalid JSON Patch');
  if (typeof patch !== 'object' || Array.isArray(patch))
    throw badRequest(
      `error decoding patch: json: cannot unmarshal ${describe(patch)} into Go value of type map[string]interface {}`,
    );
  return mergeObject(target, patch);
}

function mergeObject(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else if (value !== undefined) merged[name] = mergeValue(merged[name], value);
  }
  return merged;
}

function mergeValue(target: JsonValue | undefined, patch: JsonValue): JsonValue {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const isObject = typeof target === 'object' && target !== null && !Array.isArray(target);
  return mergeObject(isObject ? target : {}, patch);
}
