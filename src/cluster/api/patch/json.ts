/** JSON patch, RFC 6902 (application/json-patch+json), as the Kubernetes API server applies it. */
import { describe } from '../codec/scalars.js';
import type { JsonObject, JsonValue } from '../object.js';
import { badRequest, requestEntityTooLarge, unprocessable } from '../status.js';
import { jsonEqual } from './equal.js';

const MAX_OPERATIONS = 10_000;
/** Bytes of JSON that all `copy` operations of a patch may make together. */
const MAX_COPIED_BYTES = 3 * 1024 * 1024;

const OPERATION_FIELDS = ['op', 'path', 'from', 'value'];

/**
 * The object with all operations applied, in order; shares what they do not name.
 *
 * As with the real server, `replace` of an absent member adds it and an index below zero counts
 * from the end. Throws: ApiError 400 when the patch is not a list of operations, 413 when there are
 * more than 10,000, 422 when one of them fails.
 */
export function applyJsonPatch(target: JsonObject, patch: JsonValue): JsonValue {
  const operations = operationsOf(patch);
  if (operations.length > MAX_OPERATIONS)
    throw requestEntityTooLarge(
      `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${operations.length}`,
    );
  try {
    let document: JsonValue = target;
    const budget = { bytes: MAX_COPIED_BYTES };
    for (const operation of operations) document = applyOperation(document, operation, budget);
    return document;
  } catch (error) {
    if (!(error instanceof OperationFailed)) throw error;
    throw unprocessable();
  }
}

/** Texts about members of operations that mean nothing, for warnings and strict requests. */
export function unknownPatchFields(patch: JsonValue): string[] {
  return operationsOf(patch).flatMap((operation, at) =>
    Object.keys(operation)
      .filter((name) => !OPERATION_FIELDS.includes(name))
      .map((name) => `json patch unknown field "[${at}].${name}"`),
  );
}

/** Clients do not see why: the text of the answer is always the same. */
class OperationFailed extends Error {}

function operationsOf(patch: JsonValue): JsonObject[] {
  if (patch === null) return [];
  if (!Array.isArray(patch)) throw undecodable(patch, 'value of type []handlers.jsonPatchOp');
  return patch.map((operation) => {
    if (operation === null) return {};
    if (typeof operation !== 'object' || Array.isArray(operation))
      throw undecodable(operation, 'value of type handlers.jsonPatchOp');
    for (const name of ['op', 'path', 'from']) {
      const value = operation[name];
      if (typeof value !== 'string' && value !== undefined && value !== null)
        throw undecodable(value, `struct field jsonPatchOp.${name} of type string`);
    }
    return operation;
  });
}

function undecodable(value: Exclude<JsonValue, null>, into: string): Error {
  return badRequest(
    `error decoding patch: json: cannot unmarshal ${describe(value)} into Go ${into}`,
  );
}

function applyOperation(
  document: JsonValue,
  operation: JsonObject,
  budget: { bytes: number },
): JsonValue {
  const { op, value = null } = operation;
  switch (op) {
    case 'add':
      return add(document, pointerOf(operation, 'path'), value);
    case 'remove':
      return remove(document, pointerOf(operation, 'path'));
    case 'replace':
      return replace(document, pointerOf(operation, 'path'), value);
    case 'move': {
      const from = pointerOf(operation, 'from');
      const moved = read(document, from);
      return add(remove(document, from), pointerOf(operation, 'path'), moved);
    }
    case 'copy': {
      const copied = read(document, pointerOf(operation, 'from'));
      budget.bytes -= Buffer.byteLength(JSON.stringify(copied));
      if (budget.bytes < 0) throw new OperationFailed();
      return add(document, pointerOf(operation, 'path'), copied);
    }
    case 'test':
      if (test(document, operation)) return document;
      throw new OperationFailed();
    default:
      throw new OperationFailed();
  }
}

/** Reference tokens of the pointer. Empty for the document as a whole. */
function pointerOf(operation: JsonObject, name: 'path' | 'from'): string[] {
  const pointer = operation[name];
  if (typeof pointer !== 'string') throw new OperationFailed();
  const [, ...tokens] = pointer.split('/');
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function test(document: JsonValue, operation: JsonObject): boolean {
  const pointer = pointerOf(operation, 'path');
  const found = pointer.length === 0 ? document : read(document, pointer);
  if (found === null) return (operation['value'] ?? null) === null;
  return jsonEqual(found, operation['value']);
}

/** The value at a pointer below the root; an absent member of an object reads as null. */
function read(document: JsonValue, pointer: readonly string[]): JsonValue {
  if (pointer.length === 0) throw new OperationFailed();
  let value = document;
  for (const token of pointer) {
    if (Array.isArray(value)) value = value[indexOf(token, value.length)] ?? null;
    else value = asObject(value)[token] ?? null;
  }
  return value;
}

function add(document: JsonValue, pointer: readonly string[], value: JsonValue): JsonValue {
  return changeParent(
    document,
    pointer,
    (object, name) => ({ ...object, [name]: value }),
    (list, token) => {
      const at = token === '-' ? list.length : indexOf(token, list.length + 1);
      return list.toSpliced(at, 0, value);
    },
  );
}

function remove(document: JsonValue, pointer: readonly string[]): JsonValue {
  return changeParent(
    document,
    pointer,
    (object, name) => {
      if (object[name] === undefined) throw new OperationFailed();
      const { [name]: _removed, ...rest } = object;
      return rest;
    },
    (list, token) => list.toSpliced(indexOf(token, list.length), 1),
  );
}

function replace(document: JsonValue, pointer: readonly string[], value: JsonValue): JsonValue {
  if (pointer.length === 0) {
    if (typeof value !== 'object' || value === null) throw new OperationFailed();
    return value;
  }
  return changeParent(
    document,
    pointer,
    (object, name) => ({ ...object, [name]: value }),
    (list, token) => list.with(indexOf(token, list.length), value),
  );
}

/** A document whose parts along the pointer are new and whose last object or list is changed. */
function changeParent(
  document: JsonValue,
  pointer: readonly string[],
  changeObject: (object: JsonObject, name: string) => JsonObject,
  changeList: (list: readonly JsonValue[], token: string) => JsonValue[],
): JsonValue {
  const [token, ...rest] = pointer;
  if (token === undefined) throw new OperationFailed();
  if (Array.isArray(document)) {
    if (rest.length === 0) return changeList(document, token);
    const at = indexOf(token, document.length);
    return document.with(at, changeParent(document[at] ?? null, rest, changeObject, changeList));
  }
  const object = asObject(document);
  if (rest.length === 0) return changeObject(object, token);
  const below = changeParent(object[token] ?? null, rest, changeObject, changeList);
  return { ...object, [token]: below };
}

function asObject(value: JsonValue): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new OperationFailed();
  return value;
}

/** A position within `length`; one below zero counts from the end. */
function indexOf(token: string, length: number): number {
  if (!/^[+-]?\d+$/.test(token)) throw new OperationFailed();
  const index = Number(token);
  const position = index < 0 ? index + length : index;
  if (position < 0 || position >= length) throw new OperationFailed();
  return position;
}
