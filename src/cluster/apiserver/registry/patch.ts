/** A PATCH body as a function from the current object to the wanted one. */
import { normalize, SchemaError } from '../../api/codec/normalize.js';
import { fieldProblems } from '../../api/codec/field-validation.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { JsonObject, JsonValue, KubeObject } from '../../api/object.js';
import { applyJsonPatch, decodeJsonPatch } from '../../api/patch/json.js';
import { applyMergePatch, decodeMergePatch } from '../../api/patch/merge.js';
import { applyStrategicPatch } from '../../api/patch/strategic.js';
import { schemaOf } from '../../api/schema/table.js';
import { invalid, unsupportedMediaType } from '../../api/status.js';
import type { FieldValidation } from './write-options.js';

const JSON_PATCH = 'application/json-patch+json';
const MERGE_PATCH = 'application/merge-patch+json';
const STRATEGIC_PATCH = 'application/strategic-merge-patch+json';
const ACCEPTED = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH];

export type PatchFunction = (current: JsonObject) => JsonObject;

/** `mediaType` is without parameters. Server-side apply is not served. Throws: ApiError 400, 415. */
export function readPatch(message: string, mediaType: string, body: Uint8Array): PatchFunction {
  if (mediaType === JSON_PATCH) {
    const operations = decodeJsonPatch(body);
    return (current) => applyJsonPatch(current, operations) as JsonObject;
  }
  if (mediaType === MERGE_PATCH) {
    const patch = decodeMergePatch(body);
    return (current) => applyMergePatch(current, patch) as JsonObject;
  }
  if (mediaType === STRATEGIC_PATCH) {
    const patch = decodeMergePatch(body);
    return (current) => applyStrategicPatch(schemaOf(message), current, patch);
  }
  throw unsupportedMediaType(ACCEPTED);
}

/** Brings a patched object into its canonical form, with defaults. Throws: ApiError 400, 422. */
export function settlePatched(
  kind: Kind,
  patched: JsonObject,
  mode: FieldValidation,
  warnings: string[],
): KubeObject {
  try {
    const { object, unknownFields } = normalize(schemaOf(kind.message), patched as JsonValue);
    warnings.push(...fieldProblems(unknownFields, mode));
    const settled = object as unknown as KubeObject;
    kind.setDefaults(settled);
    return settled;
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const value = JSON.stringify(JSON.stringify(patched));
    throw invalid({ group: '', resource: '' }, '', [
      {
        reason: 'FieldValueInvalid',
        field: 'patch',
        message: `Invalid value: ${value}: ${error.message}`,
      },
    ]);
  }
}
