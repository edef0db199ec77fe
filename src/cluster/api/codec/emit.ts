/**
 * Fields of a message that a Go program writes as JSON, and the value of those not given.
 *
 * A field of Go is never absent, only zero: a zero value is left out unless the field is a pointer
 * (then only a nil pointer is), is marked to be written always, or is a struct.
 */
import type { JsonObject, JsonValue } from '../object.js';
import type { Field, ScalarType } from '../schema/message.js';
import { schemaOf, type Schema } from '../schema/table.js';
import { setOwn } from './json-reader.js';

interface GoType {
  /** JSON that Go writes for the zero value. */
  readonly zero: JsonValue;
  /** A struct of Go, to which "leave out if empty" does not apply. */
  readonly isStruct: boolean;
}

const GO_TYPES: Readonly<Record<ScalarType, GoType>> = {
  string: { zero: '', isStruct: false },
  bool: { zero: false, isStruct: false },
  int32: { zero: 0, isStruct: false },
  int64: { zero: 0, isStruct: false },
  double: { zero: 0, isStruct: false },
  bytes: { zero: null, isStruct: false },
  time: { zero: null, isStruct: true },
  microtime: { zero: null, isStruct: true },
  duration: { zero: '0s', isStruct: true },
  quantity: { zero: '0', isStruct: true },
  intOrString: { zero: 0, isStruct: true },
  raw: { zero: null, isStruct: true },
  fieldsV1: { zero: null, isStruct: true },
  json: { zero: null, isStruct: true },
  any: { zero: null, isStruct: false },
  schemaOrBool: { zero: null, isStruct: false },
  schemaOrArray: { zero: null, isStruct: false },
  schemaOrStringArray: { zero: null, isStruct: false },
};

/** Rule by which a field is written. */
interface Slot {
  readonly name: string;
  readonly field: Field;
  /** Written if nothing is given. */
  readonly absent: 'nothing' | 'null' | 'zero';
  /** A zero value that is given counts as not given. */
  readonly dropsZero: boolean;
}

const slotsOf = new WeakMap<Schema, readonly Slot[]>();

/**
 * The message in JSON form: fields in the order of the schema, zero values kept or left out.
 * `given` holds converted values by JSON name; null and undefined both stand for "not given".
 */
export function emit(schema: Schema, given: JsonObject): JsonObject {
  let slots = slotsOf.get(schema);
  if (slots === undefined) {
    slots = [...schema.byName].map(([name, field]) => slotOf(name, field));
    slotsOf.set(schema, slots);
  }
  const object: JsonObject = {};
  for (const { name, field, absent, dropsZero } of slots) {
    const value = given[name];
    if (value === undefined || value === null) {
      if (absent !== 'nothing') object[name] = absent === 'null' ? null : zeroElement(field);
    } else if (!dropsZero || !isZero(value)) {
      object[name] = value;
    }
  }
  return object;
}

/** An empty list of these is not the same as none: it resets who owns the object. */
const KEPT_WHEN_EMPTY = 'meta.v1.ManagedFieldsEntry';

function slotOf(name: string, field: Field): Slot {
  const { isPointer, isAlways, isOmitZero } = field;
  if (isPointer) return { name, field, absent: isAlways ? 'null' : 'nothing', dropsZero: false };
  if (field.shape !== 'single' || field.scalar === 'bytes')
    return {
      name,
      field,
      absent: isAlways ? 'null' : 'nothing',
      dropsZero: !isAlways && field.message !== KEPT_WHEN_EMPTY,
    };
  if (field.scalar === '' || GO_TYPES[field.scalar].isStruct)
    return { name, field, absent: isOmitZero ? 'nothing' : 'zero', dropsZero: false };
  return { name, field, absent: isAlways ? 'zero' : 'nothing', dropsZero: !isAlways };
}

function isZero(value: string | number | boolean | JsonValue[] | JsonObject): boolean {
  if (typeof value !== 'object') return value === '' || value === 0 || value === false;
  if (Array.isArray(value)) return value.length === 0;
  for (const name in value) if (Object.hasOwn(value, name)) return false;
  return true;
}

/** The message with nothing set, as Go writes it. */
export function zeroMessage(name: string): JsonObject {
  return emit(schemaOf(name), {});
}

/** An element of a list or a map whose value is null. */
export function zeroElement(field: Field): JsonValue {
  return field.scalar === '' ? zeroMessage(field.message) : GO_TYPES[field.scalar].zero;
}

/** A map with its names in order, as Go writes maps. */
export function sortedMap(names: string[], valueOf: (name: string) => JsonValue): JsonObject {
  const map: JsonObject = {};
  for (const name of names.sort()) setOwn(map, name, valueOf(name));
  return map;
}
