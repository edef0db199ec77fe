/**
 * The envelope of an object in protobuf: four bytes of magic, then runtime.Unknown with apiVersion,
 * kind and the message of that kind.
 */
import { FieldWriter } from '../../../base/bytes/field-writer.js';
import { DecodeError, EMPTY_BYTES, Reader } from '../../../base/protobuf/runtime.js';
import type { JsonObject, KubeObject } from '../object.js';
import { schemaOf } from '../schema/table.js';
import { BodyError, textOf, type Body } from './body.js';
import { SchemaError } from './normalize.js';
import { decodeMessage } from './protobuf-decode.js';
import { encodeMessage } from './protobuf-encode.js';

/** `k8s` and a zero byte. */
const MAGIC = Uint8Array.of(0x6b, 0x38, 0x73, 0);

/** Throws: BodyError. */
export function readProtobufBody(bytes: Uint8Array): Body {
  if (bytes.length === 0) throw new BodyError('empty data');
  if (!MAGIC.every((byte, at) => bytes[at] === byte)) {
    const what = 'provided data does not appear to be a protobuf message';
    throw new BodyError(`${what}, expected prefix [${MAGIC.join(' ')}]`);
  }
  if (bytes.length === MAGIC.length) throw new BodyError('empty body');
  return inProtobuf(BodyError, () => openEnvelope(bytes.subarray(MAGIC.length)));
}

function openEnvelope(bytes: Uint8Array): Body {
  const { 1: type = EMPTY_BYTES, 2: raw = EMPTY_BYTES } = bytesFields(bytes);
  const { 1: apiVersion = EMPTY_BYTES, 2: kind = EMPTY_BYTES } = bytesFields(type);
  return {
    apiVersion: textOf(apiVersion),
    kind: textOf(kind),
    convert: (schema) => ({
      object: inProtobuf(SchemaError, () => decodeMessage(schema, raw)),
      unknownFields: [],
    }),
  };
}

/** Fields of length-delimited wire type by number. Throws: DecodeError. */
function bytesFields(bytes: Uint8Array): Readonly<Record<number, Uint8Array>> {
  const reader = new Reader(bytes, 0);
  const fields: Record<number, Uint8Array> = {};
  while (reader.pos < bytes.length) {
    const tag = reader.tag(bytes.length);
    if ((tag & 7) === 2) fields[tag >>> 3] = reader.bytes(bytes.length);
    else reader.skip(tag, bytes.length);
  }
  return fields;
}

/** Tells what is wrong with bytes as an error of another class. */
function inProtobuf<T>(asError: new (message: string) => Error, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof DecodeError) throw new asError(`proto: ${error.message}`);
    throw error;
  }
}

/** The object in protobuf. Requires: `message` is the message of its kind. */
export function encodeProtobuf(message: string, object: KubeObject): Uint8Array {
  const type = new FieldWriter();
  type.bytes(1, Buffer.from(object.apiVersion));
  type.bytes(2, Buffer.from(object.kind));
  const envelope = new FieldWriter();
  envelope.raw(MAGIC);
  envelope.bytes(1, type.finish());
  envelope.bytes(2, encodeMessage(schemaOf(message), object as unknown as JsonObject));
  // An encoding and a media type of the content, both empty.
  envelope.bytes(3, EMPTY_BYTES);
  envelope.bytes(4, EMPTY_BYTES);
  return envelope.finish();
}
