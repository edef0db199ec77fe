/**
 * Brings a JSON value into the form that a round trip through Kubernetes' Go types gives it: fields
 * in the order of the schema, unknown fields gone, zero values kept or left out, quantities and
 * times in canonical form. Unknown and repeated fields are reported in the order of the document.
 *
 * Ref: sigs.k8s.io/json, whose error texts these are.
 */
import type { JsonObject, JsonValue } from '../object.js';
import type { Field, ScalarType } from '../schema/message.js';
import { schemaOf, type Schema } from '../schema/table.js';
import { emit, sortedMap, zeroElement } from './emit.js';
import { elementType, goName, innerListType, shortName, typeOf } from './go-types.js';
import type { Duplicate } from './json-reader.js';
import { convertScalar, describe, Misfit } from './scalars.js';

/** A value that does not fit the schema. The message is that of Go's decoder, without the object's name. */
export class SchemaError extends Error {
  override name = 'SchemaError';
}

export interface Normalized {
  readonly object: JsonObject;
  /** As `unknown field "spec.foo"` and `duplicate field "data.a"`; at most 100, none twice. */
  readonly unknownFields: readonly string[];
}

/** Null is handled before: it means "not given". */
type Given = Exclude<JsonValue, null>;

const MAX_UNKNOWN = 100;
const NO_DUPLICATES: ReadonlyMap<JsonObject, readonly Duplicate[]> = new Map();

/** A value that is null gives the empty message. Throws: SchemaError. */
export function normalize(
  schema: Schema,
  value: JsonValue,
  duplicates = NO_DUPLICATES,
): Normalized {
  const walk = new Walk(duplicates);
  const object = walk.root(schema, value);
  return { object, unknownFields: [...walk.unknownFields] };
}

class Walk {
  readonly unknownFields = new Set<string>();
  private readonly duplicates: ReadonlyMap<JsonObject, readonly Duplicate[]>;
  /** The first value that did not fit; decoding goes on, as a fatal one would count before it. */
  private failure: SchemaError | undefined;
  /** Names of fields from the root, without indexes and keys: as errors tell. */
  private readonly fields: string[] = [];
  /** The messages in which they stand. */
  private readonly schemas: Schema[] = [];
  /** From the root, with indexes and keys: as unknown fields are told. */
  private readonly path: (string | number)[] = [];

  constructor(duplicates: ReadonlyMap<JsonObject, readonly Duplicate[]>) {
    this.duplicates = duplicates;
  }

  root(schema: Schema, value: JsonValue): JsonObject {
    const object = this.message(schema, value) ?? {};
    if (this.failure !== undefined) throw this.failure;
    return object;
  }

  /** Undefined if the value is not an object. */
  private message(schema: Schema, value: JsonValue): JsonObject | undefined {
    if (value === null) return emit(schema, {});
    if (!isObject(value)) return this.mismatch(value, goName(schema.name));
    const given: JsonObject = {};
    const visit = (name: string, inner: JsonValue): void => {
      const field = schema.byName.get(name);
      if (field === undefined) return this.report('unknown', name);
      this.schemas.push(schema);
      this.fields.push(name);
      this.path.push(name);
      given[name] = this.field(field, inner);
      this.path.pop();
      this.fields.pop();
      this.schemas.pop();
    };
    this.eachEntry(value, visit, (name) => schema.byName.has(name));
    return emit(schema, given);
  }

  /** Visits the entries of an object and reports the repeated ones where they stand. */
  private eachEntry(
    object: JsonObject,
    visit: (name: string, value: JsonValue) => void,
    isKnown: (name: string) => boolean,
  ): void {
    const repeated = this.duplicates.get(object) ?? [];
    let position = 0;
    let next = 0;
    for (const name of Object.keys(object)) {
      visit(name, object[name] ?? null);
      position++;
      for (; repeated[next]?.position === position; next++) {
        const again = repeated[next]?.name ?? '';
        if (isKnown(again)) this.report('duplicate', again);
      }
    }
  }

  private field(field: Field, value: JsonValue): JsonValue | undefined {
    if (value === null) return undefined;
    switch (field.shape) {
      case 'single':
        return this.element(field, value);
      case 'list':
        return this.list(field, value, typeOf);
      case 'map':
        return this.map(field, value, (inner) => this.element(field, inner));
      case 'mapOfLists':
        return this.map(field, value, (inner) =>
          inner === null ? null : this.list(field, inner, innerListType),
        );
    }
  }

  private list(
    field: Field,
    value: Given,
    goType: (field: Field) => string,
  ): JsonValue | undefined {
    if (!Array.isArray(value)) return this.mismatch(value, goType(field));
    const depth = this.path.length;
    const list = value.map((inner, index) => {
      this.path.push(index);
      const element = this.element(field, inner) ?? null;
      this.path.length = depth;
      return element;
    });
    return list;
  }

  private map(
    field: Field,
    value: Given,
    convert: (inner: JsonValue) => JsonValue | undefined,
  ): JsonObject | undefined {
    if (!isObject(value)) return this.mismatch(value, typeOf(field));
    const converted = new Map<string, JsonValue>();
    const visit = (name: string, inner: JsonValue): void => {
      this.path.push(name);
      converted.set(name, convert(inner) ?? null);
      this.path.pop();
    };
    this.eachEntry(value, visit, () => true);
    return sortedMap([...converted.keys()], (name) => converted.get(name) ?? null);
  }

  /** A single value, or one of a list or map. Undefined if it does not fit. */
  private element(field: Field, value: JsonValue): JsonValue | undefined {
    if (value === null) return zeroElement(field);
    if (field.message !== '') return this.message(schemaOf(field.message), value);
    const scalar = field.scalar as ScalarType;
    if (scalar.startsWith('schemaOr')) return schemaOr(scalar, value);
    const converted = convertScalar(scalar, value);
    if (!(converted instanceof Misfit)) return converted;
    return this.misfit(converted, converted.goType ?? elementType(field));
  }

  private mismatch(value: Given, goType: string): undefined {
    return this.misfit({ found: describe(value), isFatal: false }, goType);
  }

  /** An empty type means that `found` is the whole text. */
  private misfit({ found, isFatal }: Pick<Misfit, 'found' | 'isFatal'>, goType: string): undefined {
    const place = this.place();
    const text =
      goType === '' ? found : `json: cannot unmarshal ${found} into Go ${place} of type ${goType}`;
    const error = new SchemaError(text);
    if (isFatal) throw error;
    this.failure ??= error;
    return undefined;
  }

  /** Embedded messages, which are flat in JSON, stand in the path by their names. */
  private place(): string {
    const struct = this.schemas.at(-1);
    if (struct === undefined) return 'value';
    const path = this.fields.flatMap((name, index) => {
      const schema = this.schemas[index];
      return schema === undefined ? [name] : [...embeddedNames(schema, name), name];
    });
    return `struct field ${shortName(struct.name)}.${path.join('.')}`;
  }

  private report(what: 'unknown' | 'duplicate', name: string): void {
    if (this.unknownFields.size >= MAX_UNKNOWN) return;
    const path = [...this.path, name].map((part) =>
      typeof part === 'number' ? `[${part}]` : `.${part}`,
    );
    this.unknownFields.add(`${what} field ${JSON.stringify(path.join('').slice(1))}`);
  }
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names of the embedded messages through which `schema` has the field. */
function embeddedNames(schema: Schema, name: string): string[] {
  if (schema.fields.some((field) => field.name === name)) return [];
  const through = schema.fields.find(
    (field) => field.isInline && schemaOf(field.message).byName.has(name),
  );
  if (through === undefined) return [];
  return [shortName(through.message), ...embeddedNames(schemaOf(through.message), name)];
}

const SCHEMA_PROPS = 'apiextensions.v1.JSONSchemaProps';

/**
 * A JSON schema, or what may stand in its place. Kubernetes does not look for unknown fields within.
 * Throws: SchemaError.
 */
function schemaOr(scalar: ScalarType, value: Given): JsonValue {
  if (isObject(value)) return normalize(schemaOf(SCHEMA_PROPS), value).object;
  if (scalar === 'schemaOrBool' && typeof value === 'boolean') return value;
  if (Array.isArray(value)) {
    if (scalar === 'schemaOrArray')
      return value.map((inner) => normalize(schemaOf(SCHEMA_PROPS), inner).object);
    if (scalar === 'schemaOrStringArray' && value.every((inner) => typeof inner === 'string'))
      return value;
  }
  throw new SchemaError(EXPECTED[scalar] ?? '');
}

const EXPECTED: Readonly<Partial<Record<ScalarType, string>>> = {
  schemaOrBool: 'boolean or JSON schema expected',
  schemaOrArray: 'JSON schema or array of JSON schemas expected',
  schemaOrStringArray: 'JSON schema or array of strings expected',
};
