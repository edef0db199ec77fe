/**
 * The body of a request as it is read before its kind is known: JSON or YAML as a value, protobuf
 * as an envelope.
 */
import type { JsonValue } from '../object.js';
import type { Schema } from '../schema/table.js';
import { JsonSyntaxError, readJson, type Document } from './json-reader.js';
import { describe } from './scalars.js';
import { normalize, type Normalized } from './normalize.js';

export interface Body {
  /** Empty if absent. */
  readonly apiVersion: string;
  readonly kind: string;
  /** The object in the form of `normalize`. Throws: SchemaError. */
  readonly convert: (schema: Schema) => Normalized;
}

/** The bytes are not of their media type, or kind and version cannot be read. */
export class BodyError extends Error {
  override name = 'BodyError';
}

/** Throws: BodyError. */
export function readJsonBody(bytes: Uint8Array): Body {
  try {
    return bodyOf(readJson(textOf(bytes)));
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw noKind(error.message);
    throw error;
  }
}

/** Throws: BodyError. */
export function bodyOf({ value, duplicates }: Document): Body {
  if (value !== null && (typeof value !== 'object' || Array.isArray(value)))
    throw noKind(`json: cannot unmarshal ${describe(value)} into Go value of type ${KIND_STRUCT}`);
  const apiVersion = textField(value?.['apiVersion'], 'apiVersion');
  return {
    apiVersion,
    kind: textField(value?.['kind'], 'kind'),
    convert: (schema) => normalize(schema, value, duplicates),
  };
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

const KIND_STRUCT =
  'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';

function textField(value: JsonValue | undefined, name: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  const found = describe(value);
  throw noKind(`json: cannot unmarshal ${found} into Go struct field .${name} of type string`);
}

function noKind(why: string): BodyError {
  return new BodyError(`couldn't get version/kind; json parse error: ${why}`);
}
