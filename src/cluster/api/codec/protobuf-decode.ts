/**
 * Decodes protobuf by the schema table into the form of `normalize`.
 *
 * Kubernetes' messages are proto2 made from Go structs: whatever is no pointer is on the wire even
 * when zero, embedded structs are nested there and flat in JSON, and some types have messages of
 * their own (Time, Quantity, IntOrString ...). Unknown fields are passed over.
 */
import { MAX_DEPTH, Reader, tooDeep } from '../../../base/protobuf/runtime.js';
import type { JsonObject, JsonValue } from '../object.js';
import type { Field } from '../schema/message.js';
import { schemaOf, type Schema } from '../schema/table.js';
import { emit, zeroElement } from './emit.js';
import { setOwn } from './json-reader.js';
import { decodeScalar, expectWire, WIRE_BYTES, WIRE_VARINT } from './protobuf-scalars.js';

/** Throws: DecodeError, and SchemaError on a quantity that is none. */
export function decodeMessage(schema: Schema, bytes: Uint8Array): JsonObject {
  return new Decoder(bytes).message(schema, bytes.length);
}

class Decoder {
  private readonly reader: Reader;
  private depth = 0;

  constructor(bytes: Uint8Array) {
    this.reader = new Reader(bytes, 0);
  }

  message(schema: Schema, end: number): JsonObject {
    const given: JsonObject = {};
    this.collect(schema, end, given);
    return emit(schema, given);
  }

  /** Puts the fields on the wire into `given`, those of embedded messages beside the others. */
  private collect(schema: Schema, end: number, given: JsonObject): void {
    if (++this.depth > MAX_DEPTH) throw tooDeep();
    const { reader } = this;
    while (reader.pos < end) {
      const tag = reader.tag(end);
      const field = schema.byNumber.get(tag >>> 3);
      if (field === undefined) reader.skip(tag, end);
      else if (field.isInline) this.embedded(field, tag, end, given);
      else this.field(field, tag & 7, end, given);
    }
    this.depth--;
  }

  private embedded(field: Field, tag: number, end: number, given: JsonObject): void {
    expectWire(tag & 7, WIRE_BYTES, field.message);
    this.collect(schemaOf(field.message), this.reader.stop(end), given);
  }

  private field(field: Field, wire: number, end: number, given: JsonObject): void {
    switch (field.shape) {
      case 'single':
        given[field.name] = this.element(field, wire, end);
        return;
      case 'list':
        this.append(field, wire, end, given);
        return;
      case 'map':
      case 'mapOfLists':
        this.entry(field, wire, end, given);
    }
  }

  private element(field: Field, wire: number, end: number): JsonValue {
    if (field.message !== '') {
      expectWire(wire, WIRE_BYTES, field.name);
      return this.message(schemaOf(field.message), this.reader.stop(end));
    }
    if (!field.scalar.startsWith('schemaOr')) return decodeScalar(field, wire, this.reader, end);
    expectWire(wire, WIRE_BYTES, field.name);
    return this.schemaOr(field.scalar, this.reader.stop(end));
  }

  /** A JSON schema as field `schemaField`, or its alternative as the other one. */
  private schemaOr(scalar: string, end: number): JsonValue {
    const { reader } = this;
    const props = schemaOf('apiextensions.v1.JSONSchemaProps');
    const schemaField = scalar === 'schemaOrBool' ? 2 : 1;
    let isAllowed = false;
    let schema: JsonValue | undefined;
    const list: JsonValue[] = [];
    while (reader.pos < end) {
      const tag = reader.tag(end);
      const isAlternative = tag >>> 3 === 3 - schemaField;
      if (tag >>> 3 === schemaField) schema = this.message(props, reader.stop(end));
      else if (!isAlternative) reader.skip(tag, end);
      else if (scalar === 'schemaOrBool') isAllowed = reader.bool(end);
      else if (scalar === 'schemaOrArray') list.push(this.message(props, reader.stop(end)));
      else list.push(reader.string(end));
    }
    return schema ?? (scalar === 'schemaOrBool' ? isAllowed : list);
  }

  /** Numbers may be packed: many in one field. */
  private append(field: Field, wire: number, end: number, given: JsonObject): void {
    const list = (given[field.name] ??= []) as JsonValue[];
    const isPacked = wire === WIRE_BYTES && (field.scalar === 'int32' || field.scalar === 'int64');
    if (!isPacked) {
      list.push(this.element(field, wire, end));
      return;
    }
    const stop = this.reader.stop(end);
    while (this.reader.pos < stop) list.push(this.element(field, WIRE_VARINT, stop));
  }

  private entry(field: Field, wire: number, end: number, given: JsonObject): void {
    expectWire(wire, WIRE_BYTES, field.name);
    const { reader } = this;
    const stop = reader.stop(end);
    const map = (given[field.name] ??= {}) as JsonObject;
    let key = '';
    let value: JsonValue = field.shape === 'map' ? zeroElement(field) : [];
    while (reader.pos < stop) {
      const tag = reader.tag(stop);
      if (tag === KEY_TAG) key = reader.string(stop);
      else if (tag >>> 3 !== 2) reader.skip(tag, stop);
      else if (field.shape === 'map') value = this.element(field, tag & 7, stop);
      else value = this.items(field, tag & 7, stop);
    }
    setOwn(map, key, value);
  }

  /** A list in a map is a message of its own, with the list as field 1. */
  private items(field: Field, wire: number, end: number): JsonValue[] {
    expectWire(wire, WIRE_BYTES, field.name);
    const { reader } = this;
    const stop = reader.stop(end);
    const items: JsonValue[] = [];
    while (reader.pos < stop) {
      const tag = reader.tag(stop);
      if (tag >>> 3 === 1) items.push(this.element(field, tag & 7, stop));
      else reader.skip(tag, stop);
    }
    return items;
  }
}

const KEY_TAG = (1 << 3) | WIRE_BYTES;
