/**
 * Scalar fields on the wire. Several are messages of their own there: Time and MicroTime
 * {seconds, nanos}, Quantity {string}, IntOrString {type, intVal, strVal}, RawExtension, FieldsV1
 * and JSON {raw}.
 */
import { formatDurationMs } from '../../../base/go-duration.js';
import { DecodeError, EMPTY_BYTES, type Reader } from '../../../base/protobuf/runtime.js';
import type { JsonValue } from '../object.js';
import { canonicalQuantity, QuantityError } from '../quantity.js';
import type { Field } from '../schema/message.js';
import { formatMicros, formatTime } from '../time.js';
import { textOf } from './body.js';
import { JsonSyntaxError, readJson } from './json-reader.js';

export const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;

/** Throws: DecodeError in gogo/protobuf's words. */
export function expectWire(wire: number, expected: number, name: string): void {
  if (wire === expected) return;
  const field = name.charAt(0).toUpperCase() + name.slice(1);
  throw new DecodeError(`wrong wireType = ${wire} for field ${field}`);
}

/** Requires: `reader` stands behind the tag. Throws: DecodeError. */
export function decodeScalar(field: Field, wire: number, reader: Reader, end: number): JsonValue {
  const { name, scalar } = field;
  switch (scalar) {
    case 'bool':
      expectWire(wire, WIRE_VARINT, name);
      return reader.bool(end);
    case 'int32':
      expectWire(wire, WIRE_VARINT, name);
      return reader.int32(end);
    case 'int64':
      expectWire(wire, WIRE_VARINT, name);
      return reader.int(end);
    case 'double':
      expectWire(wire, WIRE_FIXED64, name);
      return double(reader, end);
    case 'string':
      expectWire(wire, WIRE_BYTES, name);
      return reader.string(end);
    case 'bytes':
      expectWire(wire, WIRE_BYTES, name);
      return Buffer.from(reader.bytes(end)).toString('base64');
    default:
      expectWire(wire, WIRE_BYTES, name);
      return decodeSpecial(scalar, reader, reader.stop(end));
  }
}

function double(reader: Reader, end: number): number {
  if (reader.pos + 8 > end) throw new DecodeError('message is truncated');
  const value = new DataView(reader.buf.buffer, reader.buf.byteOffset + reader.pos, 8);
  reader.pos += 8;
  return value.getFloat64(0, true);
}

/** A scalar that is a message. `end` is the end of the message. */
function decodeSpecial(scalar: string, reader: Reader, end: number): JsonValue {
  const isEmpty = reader.pos === end;
  const { ints, bytes } = smallMessage(reader, end);
  const [, first = 0, second = 0] = ints;
  switch (scalar) {
    case 'time':
      return isEmpty ? null : formatTime(first * 1000);
    case 'microtime':
      return isEmpty ? null : formatMicros(first * 1000, Math.floor(second / 1000));
    case 'duration':
      return formatDurationMs(first / 1e6);
    case 'quantity':
      return quantity(textOf(bytes[1] ?? EMPTY_BYTES));
    case 'intOrString':
      return first === 1 ? textOf(bytes[3] ?? EMPTY_BYTES) : second;
    default:
      return json(bytes[1] ?? EMPTY_BYTES);
  }
}

/** Fields 1 to 3 of a message without lists, by number. */
function smallMessage(
  reader: Reader,
  end: number,
): { readonly ints: readonly number[]; readonly bytes: readonly Uint8Array[] } {
  const ints: number[] = [];
  const bytes: Uint8Array[] = [];
  while (reader.pos < end) {
    const tag = reader.tag(end);
    const wire = tag & 7;
    if (tag >>> 3 > 3 || (wire !== WIRE_VARINT && wire !== WIRE_BYTES)) reader.skip(tag, end);
    else if (wire === WIRE_VARINT) ints[tag >>> 3] = reader.int(end);
    else bytes[tag >>> 3] = reader.bytes(end);
  }
  return { ints, bytes };
}

function quantity(text: string): string {
  try {
    return text === '' ? '0' : canonicalQuantity(text);
  } catch (error) {
    if (error instanceof QuantityError) throw new DecodeError(error.message);
    throw error;
  }
}

/** An embedded value: JSON in protobuf too. */
function json(bytes: Uint8Array): JsonValue {
  if (bytes.length === 0) return null;
  try {
    return readJson(textOf(bytes)).value;
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw new DecodeError(error.message);
    throw error;
  }
}
