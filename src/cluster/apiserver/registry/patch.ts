/** A PATCH body as a function from the current object to the wanted one. */
import type { FieldValidation } from '../../api/codec/field-validation.js';
import { fieldProblems } from '../../api/codec/field-validation.js';
import { JsonSyntaxError, readJson } from '../../api/codec/json-reader.js';
import { normalize, SchemaError } from '../../api/codec/normalize.js';
import type { Kind } from '../../api/kinds/kind.js';
import {
  apiVersionOf,
  type JsonObject,
  type JsonValue,
  type KubeObject,
} from '../../api/object.js';
import { applyJsonPatch } from '../../api/patch/json.js';
import { applyMergePatch } from '../../api/patch/merge.js';
import { applyStrategicPatch } from '../../api/patch/strategic.js';
import { schemaOf } from '../../api/schema/table.js';
import { badRequest, invalid, unsupportedMediaType } from '../../api/status.js';

export type PatchFunction = (current: JsonObject, message: string) => JsonObject;

const PATCHES: ReadonlyMap<string, (patch: JsonValue) => PatchFunction> = new Map([
  [
    'application/json-patch+json',
    (patch: JsonValue): PatchFunction =>
      (current) =>
        applyJsonPatch(current, patch) as JsonObject,
  ],
  [
    'application/merge-patch+json',
    (patch: JsonValue): PatchFunction =>
      (current) =>
        applyMergePatch(current, patch),
  ],
  [
    'application/strategic-merge-patch+json',
    (patch: JsonValue): PatchFunction =>
      (current, message) => {
        const { kind, apiVersion } = current;
        const patched = applyStrategicPatch(current, patch, schemaOf(message));
        return { ...patched, kind, apiVersion };
      },
  ],
]);

/** `contentType` may have parameters. Server-side apply is not served. Throws: ApiError 400, 415. */
export function readPatch(contentType: string, body: Uint8Array): PatchFunction {
  const [mediaType = ''] = contentType.split(';');
  const make = PATCHES.get(mediaType.trim().toLowerCase());
  if (make === undefined) throw unsupportedMediaType([...PATCHES.keys()]);
  try {
    return make(readJson(Buffer.from(body).toString('utf8')).value);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw badRequest(`error decoding patch: ${error.message}`);
  }
}

/** Brings a patched object into its canonical form, with defaults. Throws: ApiError 400, 422. */
export function settlePatched(
  kind: Kind,
  patched: JsonObject,
  validation: FieldValidation,
  warnings: string[],
): KubeObject {
  const version = apiVersionOf(kind.group, kind.version);
  const { kind: given = kind.kind, apiVersion = version } = patched;
  if (given !== kind.kind || apiVersion !== version) {
    const what = `no kind ${JSON.stringify(given)} is registered for version ${JSON.stringify(apiVersion)}`;
    throw invalidPatch(patched, `${what} in scheme "pkg/runtime/scheme.go:111"`);
  }
  try {
    const normalized = normalize(schemaOf(kind.message), patched);
    warnings.push(...fieldProblems(normalized.unknownFields, validation));
    const object = {
      kind: kind.kind,
      apiVersion: version,
      ...normalized.object,
    } as unknown as KubeObject;
    kind.setDefaults(object);
    return object;
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw invalidPatch(patched, error.message);
  }
}

function invalidPatch(patched: JsonObject, why: string): Error {
  const value = JSON.stringify(JSON.stringify(patched));
  return invalid({ group: '', resource: '' }, '', [
    {
      reason: 'FieldValueInvalid',
      field: 'patch',
      message: `Invalid value: ${value}: ${why}`,
    },
  ]);
}
