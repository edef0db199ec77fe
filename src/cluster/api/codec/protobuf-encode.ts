/**
 * Encodes an object in the form of `normalize` into protobuf by the schema table, byte for byte as
 * Kubernetes does: fields by number, zero values of non-pointers written, maps by key.
 */
import { FieldWriter } from '../../../base/bytes/field-writer.js';
import type { JsonObject, JsonValue } from '../object.js';
import type { Field } from '../schema/message.js';
import { schemaOf, type Schema } from '../schema/table.js';
import { parseDuration, parseMoment } from '../time.js';

export function encodeMessage(schema: Schema, object: JsonObject): Uint8Array {
  const writer = new FieldWriter();
  for (const field of inWireOrder(schema)) writeField(writer, field, object);
  return writer.finish();
}

const wireOrders = new WeakMap<Schema, readonly Field[]>();

function inWireOrder(schema: Schema): readonly Field[] {
  let fields = wireOrders.get(schema);
  if (fields === undefined) {
    fields = [...schema.byNumber.values()].sort((a, b) => a.number - b.number);
    wireOrders.set(schema, fields);
  }
  return fields;
}

function writeField(writer: FieldWriter, field: Field, object: JsonObject): void {
  if (field.isInline) {
    writer.bytes(field.number, encodeMessage(schemaOf(field.message), object));
    return;
  }
  const value = object[field.name] ?? null;
  if (field.shape === 'single') {
    const isLeftOut = value === null && (field.isPointer || field.scalar === 'bytes');
    if (!isLeftOut) writeElement(writer, field.number, field, value);
    return;
  }
  if (field.shape === 'list') {
    for (const inner of (value ?? []) as JsonValue[])
      writeElement(writer, field.number, field, inner);
    return;
  }
  const map = (value ?? {}) as JsonObject;
  for (const name of Object.keys(map).sort()) {
    const entry = new FieldWriter();
    entry.bytes(1, Buffer.from(name));
    writeMapValue(entry, field, map[name] ?? null);
    writer.bytes(field.number, entry.finish());
  }
}

function writeMapValue(entry: FieldWriter, field: Field, value: JsonValue): void {
  if (field.shape === 'map') {
    if (value !== null || field.scalar !== 'bytes') writeElement(entry, 2, field, value);
    return;
  }
  const items = new FieldWriter();
  for (const inner of (value ?? []) as JsonValue[]) writeElement(items, 1, field, inner);
  entry.bytes(2, items.finish());
}

function writeElement(writer: FieldWriter, number: number, field: Field, value: JsonValue): void {
  switch (field.scalar) {
    case '':
      writer.bytes(number, encodeMessage(schemaOf(field.message), (value ?? {}) as JsonObject));
      return;
    case 'bool':
      writer.integer(number, value === true ? 1 : 0);
      return;
    case 'int32':
    case 'int64':
      writer.integer(number, (value ?? 0) as number);
      return;
    case 'double':
      writer.double(number, (value ?? 0) as number);
      return;
    case 'string':
      writer.bytes(number, Buffer.from((value ?? '') as string));
      return;
    case 'bytes':
      writer.bytes(number, Buffer.from((value ?? '') as string, 'base64'));
      return;
    default:
      writer.bytes(number, encodeSpecial(field.scalar, value));
  }
}

/** A scalar that is a message of its own on the wire. */
function encodeSpecial(scalar: string, value: JsonValue): Uint8Array {
  const writer = new FieldWriter();
  switch (scalar) {
    case 'time':
    case 'microtime':
      writeTime(writer, value);
      break;
    case 'duration':
      writer.integer(1, Math.round(parseDuration((value ?? '0s') as string) * 1e6));
      break;
    case 'quantity':
      writer.bytes(1, Buffer.from((value ?? '0') as string));
      break;
    case 'intOrString':
      writer.integer(1, typeof value === 'string' ? 1 : 0);
      writer.integer(2, typeof value === 'number' ? value : 0);
      writer.bytes(3, Buffer.from(typeof value === 'string' ? value : ''));
      break;
    case 'schemaOrBool':
    case 'schemaOrArray':
    case 'schemaOrStringArray':
      writeSchemaOr(writer, scalar, value);
      break;
    default:
      if (value !== null) writer.bytes(1, Buffer.from(JSON.stringify(value)));
  }
  return writer.finish();
}

/** The zero time is an empty message. */
function writeTime(writer: FieldWriter, value: JsonValue): void {
  if (typeof value !== 'string') return;
  const { seconds, micros } = parseMoment(value);
  writer.integer(1, seconds / 1000);
  writer.integer(2, micros * 1000);
}

function writeSchemaOr(writer: FieldWriter, scalar: string, value: JsonValue): void {
  const schema = (inner: JsonValue): Uint8Array =>
    encodeMessage(schemaOf('apiextensions.v1.JSONSchemaProps'), inner as JsonObject);
  if (scalar === 'schemaOrBool') {
    writer.integer(1, value === false ? 0 : 1);
    if (typeof value === 'object') writer.bytes(2, schema(value));
  } else if (!Array.isArray(value)) {
    writer.bytes(1, schema(value));
  } else {
    for (const inner of value)
      writer.bytes(2, typeof inner === 'string' ? Buffer.from(inner) : schema(inner));
  }
}
