/** A PATCH body as a function from the current object to the wanted one. */
import type { FieldValidation } from '../../api/codec/field-validation.js';
import { fieldProblems } from '../../api/codec/field-validation.js';
import { JsonSyntaxError, readJson } from '../../api/codec/json-reader.js';
import { normalize, SchemaError } from '../../api/codec/normalize.js';
import type { Kind } from '../../api/kinds/kind.js';
import { apiVersionOf, type JsonObject, type JsonValue } from '../../api/object.js';
import { goText } from '../../api/patch/go-text.js';
import { applyJsonPatch } from '../../api/patch/json.js';
import { applyMergePatch } from '../../api/patch/merge.js';
import { applyStrategicPatch } from '../../api/patch/strategic.js';
import { schemaOf } from '../../api/schema/table.js';
import { badRequest, invalid, unsupportedMediaType } from '../../api/status.js';
import { fieldInvalid } from '../../api/validation/field-error.js';

export interface Patch {
  readonly apply: (current: JsonObject, message: string) => JsonObject;
  /** Texts of the error for a patched object that does not fit its kind: the object, the reason. */
  readonly misfit: (
    patched: JsonObject,
    error: SchemaError,
  ) => readonly [shown: string, why: string];
}

const PATCHES: ReadonlyMap<string, (patch: JsonValue) => Patch> = new Map([
  [
    'application/json-patch+json',
    (patch: JsonValue): Patch => ({
      apply: (current) => applyJsonPatch(current, patch) as JsonObject,
      misfit: (wanted, error) => [documentText(wanted), error.message],
    }),
  ],
  [
    'application/merge-patch+json',
    (patch: JsonValue): Patch => ({
      apply: (current) => applyMergePatch(current, patch),
      misfit: (wanted, error) => [documentText(wanted), error.message],
    }),
  ],
  [
    'application/strategic-merge-patch+json',
    (patch: JsonValue): Patch => ({
      apply: (current, message) => {
        const { kind, apiVersion } = current;
        return { ...applyStrategicPatch(current, patch, schemaOf(message)), kind, apiVersion };
      },
      misfit: (_, error) => [goText(patch), restoreProblem(error)],
    }),
  ],
]);

/** The patched document as the real server has it then: names in order, metadata as it was. */
function documentText(wanted: JsonObject): string {
  const names = Object.keys(wanted).sort();
  const { metadata = null } = wanted;
  const inOrder = Object.fromEntries(names.map((name) => [name, wanted[name]]));
  try {
    return JSON.stringify({
      ...inOrder,
      metadata: normalize(schemaOf('meta.v1.ObjectMeta'), metadata).object,
    });
  } catch (error) {
    if (error instanceof SchemaError) return JSON.stringify(inOrder);
    throw error;
  }
}

const GO_SCALARS: ReadonlySet<string> = new Set(['bool', 'int32', 'int64', 'string']);

/** A misfit in the words of k8s.io/apimachinery/pkg/runtime/converter.go. */
function restoreProblem({ message }: SchemaError): string {
  const { found, type } =
    /cannot unmarshal (?<found>\S+) .*of type (?<type>\S+)$/.exec(message)?.groups ?? {};
  if (found === undefined || type === undefined) return message;
  if (type.startsWith('[]')) return `cannot restore slice from ${found}`;
  if (type.startsWith('map[')) return `cannot restore map from ${found}`;
  if (GO_SCALARS.has(type)) return `unrecognized type: ${type}`;
  return `cannot restore struct from: ${found}`;
}

/** `contentType` may have parameters. Server-side apply is not served. Throws: ApiError 400, 415. */
export function readPatch(contentType: string, body: Uint8Array): Patch {
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
export function patched(
  patch: Patch,
  current: JsonObject,
  kind: Pick<Kind, 'group' | 'version' | 'kind' | 'message'>,
  validation: FieldValidation,
  warnings: string[],
): JsonObject {
  const wanted = patch.apply(current, kind.message);
  const version = apiVersionOf(kind.group, kind.version);
  const { kind: given = kind.kind, apiVersion = version } = wanted;
  if (given !== kind.kind || apiVersion !== version) {
    const what = `no kind ${JSON.stringify(given)} is registered for version ${JSON.stringify(apiVersion)}`;
    throw misfit(documentText(wanted), `${what} in scheme "pkg/runtime/scheme.go:111"`);
  }
  try {
    const normalized = normalize(schemaOf(kind.message), wanted);
    warnings.push(...fieldProblems(normalized.unknownFields, validation));
    return { kind: kind.kind, apiVersion: version, ...normalized.object };
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw misfit(...patch.misfit(wanted, error));
  }
}

function misfit(shown: string, why: string): Error {
  return invalid({ group: '', resource: '' }, '', [fieldInvalid('patch', shown, why)]);
}
