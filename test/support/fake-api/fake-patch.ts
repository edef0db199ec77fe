import {
  splitApiVersion,
  type JsonObject,
  type JsonValue,
  type KubeObject,
} from '../../../src/cluster/api/object.js';
import { applyJsonPatch } from '../../../src/cluster/api/patch/json.js';
import { applyMergePatch } from '../../../src/cluster/api/patch/merge.js';
import { applyStrategicPatch } from '../../../src/cluster/api/patch/strategic.js';
import { messageOfKind, schemaOf, type Schema } from '../../../src/cluster/api/schema/table.js';
import { unsupportedMediaType } from '../../../src/cluster/api/status.js';

/** The patched object. Apply patches are merged like strategic ones: nobody owns fields here. */
export function applyPatch(contentType: string, object: KubeObject, patch: JsonValue): KubeObject {
  const target = object as unknown as JsonObject;
  return patched(contentType, target, patch) as unknown as KubeObject;
}

function patched(contentType: string, target: JsonObject, patch: JsonValue): JsonValue {
  switch (contentType) {
    case 'application/json-patch+json':
      return applyJsonPatch(target, patch);
    case 'application/merge-patch+json':
      return applyMergePatch(target, patch);
    case 'application/strategic-merge-patch+json':
    case 'application/apply-patch+yaml':
      return applyStrategicPatch(target, patch, schemaOfObject(target));
    default:
      throw unsupportedMediaType([]);
  }
}

function schemaOfObject(object: JsonObject): Schema {
  const { apiVersion, kind } = object as unknown as KubeObject;
  const { group, version } = splitApiVersion(apiVersion);
  const message = messageOfKind(group, version, kind);
  if (message === undefined) throw unsupportedMediaType([]);
  return schemaOf(message);
}
