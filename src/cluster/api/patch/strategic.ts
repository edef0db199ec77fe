/**
 * Strategic merge patch (application/strategic-merge-patch+json): a merge patch that knows the
 * schema, so that it can merge lists by the key of their elements, and that carries directives
 * (k8s.io/apimachinery/pkg/util/strategicpatch).
 */
import { describe } from '../codec/scalars.js';
import type { JsonObject, JsonValue } from '../object.js';
import type { Schema } from '../schema/table.js';
import { apiError, badRequest, unprocessable } from '../status.js';
import { goText, goType } from './go-text.js';
import { patchFieldOf, patchTypeOf, type PatchField, type PatchType } from './patch-type.js';
import { keyOf, orderMerged } from './list-order.js';

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_FROM_LIST = '$deleteFromPrimitiveList';
const SET_ORDER = '$setElementOrder';

/**
 * The object with the patch applied; shares what the patch does not name. `schema` is that of the
 * object's kind. Throws: ApiError 400 or 500, with the texts of Kubernetes, when the
 * patch does not fit.
 */
export function applyStrategicPatch(
  target: JsonObject,
  patch: JsonValue,
  schema: Schema,
): JsonObject {
  if (patch === null) return target;
  if (typeof patch !== 'object' || Array.isArray(patch))
    throw badRequest(
      `json: cannot unmarshal ${describe(patch)} into Go value of type map[string]interface {}`,
    );
  return mergeMap(target, patch, patchTypeOf(schema));
}

/** An answer of code 500 that says no reason: how Kubernetes reports most faults of such a patch. */
function fault(message: string): Error {
  return apiError(500, '', message);
}

function badType(expected: JsonValue, actual: JsonValue | undefined): Error {
  return fault(`expected a ${goType(expected)}, but received a ${goType(actual)}`);
}

function noMergeKey(item: JsonObject, mergeKey: string): Error {
  return fault(`map: ${goText(item)} does not contain declared merge key: ${mergeKey}`);
}

function badDirective(directive: JsonValue, item: JsonObject): Error {
  const text =
    typeof directive === 'string' ? directive : `%!s(${goType(directive)}=${goText(directive)})`;
  return fault(`unknown patch type: ${text} in map: ${goText(item)}`);
}

function mergeMap(original: JsonObject, patch: JsonObject, type: PatchType): JsonObject {
  const directive = patch[DIRECTIVE];
  if (directive !== undefined) return applyDirective(directive, patch);
  const { [RETAIN_KEYS]: retainKeys, ...rest } = patch;
  const merged = retainKeys === undefined ? { ...original } : retain(original, rest, retainKeys);
  const ordered = mergeOrderedLists(merged, rest, type);
  for (const [name, value] of Object.entries(rest))
    if (value !== undefined && !ordered.has(name)) mergeMember(merged, name, value, type);
  return merged;
}

function applyDirective(directive: JsonValue, patch: JsonObject): JsonObject {
  if (directive === 'delete') return {};
  if (directive !== 'replace') throw badDirective(directive, patch);
  const { [DIRECTIVE]: _directive, ...rest } = patch;
  return rest;
}

/** Drops members that `retainKeys` does not name; the patch may name no others. */
function retain(original: JsonObject, patch: JsonObject, retainKeys: JsonValue): JsonObject {
  const bad = () => badRequest('invalid patch format of retainKeys');
  if (!Array.isArray(retainKeys)) throw bad();
  for (const [name, value] of Object.entries(patch)) {
    if (value === null || name.startsWith(DELETE_FROM_LIST) || name.startsWith(SET_ORDER)) continue;
    if (!retainKeys.includes(name)) throw bad();
  }
  return Object.fromEntries(Object.entries(original).filter(([name]) => retainKeys.includes(name)));
}

/**
 * Merges the lists whose order the patch sets, into `merged`. Returns the members of the patch that
 * are done with.
 */
function mergeOrderedLists(merged: JsonObject, patch: JsonObject, type: PatchType): Set<string> {
  const done = new Set<string>();
  for (const [directive, order] of Object.entries(patch)) {
    if (!directive.startsWith(SET_ORDER)) continue;
    done.add(directive);
    if (!Array.isArray(order)) throw badType([], order);
    const name = nameIn(directive, SET_ORDER, 'invalid patch format of setElementOrder list');
    const original = listMember(merged, name);
    const changes = listMember(patch, name);
    const field = patchFieldOf(type, name, 'list');
    checkOrder(changes ?? [], order, field.mergeKey);
    if (original === undefined && changes === undefined) continue;
    merged[name] = mergeInOrder(original, changes, order, field);
    done.add(name);
  }
  return done;
}

function nameIn(directive: string, prefix: string, fault400: string): string {
  if (!directive.startsWith(`${prefix}/`)) throw badRequest(fault400);
  return directive.slice(prefix.length + 1);
}

function listMember(object: JsonObject, name: string): JsonValue[] | undefined {
  const list = object[name];
  if (list !== undefined && !Array.isArray(list)) throw badType([], list);
  return list;
}

/** The items of the patch stand in the order in the same order. */
function checkOrder(changes: JsonValue[], order: JsonValue[], mergeKey: string): void {
  if (changes.length === 0 || order.length === 0) return;
  const kept = mergeKey === '' ? changes : changes.filter((item) => !isItemDeleted(item));
  let at = 0;
  for (const item of order) {
    while (at < kept.length && hasDirective(kept[at])) at++;
    const next = kept[at];
    if (next === undefined) return;
    if (identityOf(next, mergeKey) === identityOf(item, mergeKey)) at++;
  }
  if (at < kept.length)
    throw fault(
      `The order in patch list:\n${goText(changes)}\n doesn't match ${SET_ORDER} list:\n${goText(order)}\n`,
    );
}

function isItemDeleted(item: JsonValue): boolean {
  if (!isObject(item)) throw badType({}, item);
  return item[DIRECTIVE] === 'delete';
}

function hasDirective(item: JsonValue | undefined): boolean {
  return isObject(item) && item[DIRECTIVE] !== undefined;
}

/** Of an item of a list: itself, or the value of its merge key. */
function identityOf(item: JsonValue, mergeKey: string): JsonValue {
  if (mergeKey === '') return item;
  if (!isObject(item)) throw badType({}, item);
  const key = item[mergeKey];
  if (key === undefined) throw noMergeKey(item, mergeKey);
  return key;
}

function mergeInOrder(
  original: JsonValue[] | undefined,
  changes: JsonValue[] | undefined,
  order: JsonValue[],
  field: PatchField,
): JsonValue[] {
  let merged = original ?? [];
  if (original === undefined) merged = withoutDirectives(changes ?? []);
  else if (changes !== undefined) merged = mergeList(original, changes, field, false);
  elementsAreMaps([original ?? [], changes ?? []]);
  for (const item of [...merged, ...order]) identityOf(item, field.mergeKey);
  return orderMerged(merged, order, original ?? [], field.mergeKey);
}

function mergeMember(
  merged: JsonObject,
  directiveOrName: string,
  value: JsonValue,
  type: PatchType,
): void {
  const isDeletion = directiveOrName.startsWith(DELETE_FROM_LIST);
  const name = isDeletion
    ? nameIn(directiveOrName, DELETE_FROM_LIST, 'invalid patch format of primitive list')
    : directiveOrName;
  if (value === null) {
    delete merged[name];
    return;
  }
  const original = merged[name];
  if (isObject(original) && isObject(value)) {
    const field = patchFieldOf(type, name, 'object');
    merged[name] = field.strategy === 'replace' ? value : mergeMap(original, value, field.element);
  } else if (Array.isArray(original) && Array.isArray(value)) {
    const field = patchFieldOf(type, name, 'list');
    const isMerged = field.strategy === 'merge' || isDeletion;
    merged[name] = isMerged ? mergeList(original, value, field, isDeletion) : value;
  } else if (!isDeletion) {
    setNew(merged, name, value);
  }
}

/** Takes a value of the patch that has nothing to be merged with. */
function setNew(merged: JsonObject, name: string, value: JsonValue): void {
  const kept = withoutDirective(value);
  if (kept === undefined) delete merged[name];
  else merged[name] = withoutNulls(kept);
}

function mergeList(
  original: JsonValue[],
  patch: JsonValue[],
  field: PatchField,
  isDeletion: boolean,
): JsonValue[] {
  if (original.length === 0 && patch.length === 0) return original;
  const { mergeKey } = field;
  if (!elementsAreMaps([original, patch])) {
    if (isDeletion) return original.filter((item) => !patch.includes(item));
    const merged = [...new Set([...original, ...patch])];
    return orderMerged(merged, patch, original, '');
  }
  if (mergeKey === '')
    throw fault(`cannot merge lists without merge key for ${field.element.goKind}`);
  const { kept, changes } = applyItemDirectives(
    original as JsonObject[],
    patch as JsonObject[],
    mergeKey,
  );
  const merged = mergeItems(kept, changes, field);
  for (const item of merged) identityOf(item, mergeKey);
  return orderMerged(merged, changes, kept, mergeKey);
}

/** Elements of all lists are of one type. Throws: ApiError when they are not, or are lists. */
function elementsAreMaps(lists: JsonValue[][]): boolean {
  const items = lists.flat();
  const type = goType(items[0]);
  if (type === '[]interface {}') throw unprocessable();
  if (items.length === 0) throw fault('no elements in any of the given slices');
  if (items.some((item) => goType(item) !== type))
    throw fault(`list element types are not identical: ${goText(lists)}`);
  return isObject(items[0]);
}

function applyItemDirectives(
  original: readonly JsonObject[],
  patch: readonly JsonObject[],
  mergeKey: string,
): { kept: JsonObject[]; changes: JsonObject[] } {
  let kept = [...original];
  let isReplaced = false;
  const changes: JsonObject[] = [];
  for (const item of patch) {
    const directive = item[DIRECTIVE];
    if (directive === undefined) changes.push(item);
    else if (directive === 'replace') isReplaced = true;
    else if (directive === 'delete') {
      const key = identityOf(item, mergeKey);
      kept = kept.filter((other) => keyOf(other, mergeKey) !== key);
    } else if (directive === 'merge')
      throw fault('merging lists cannot yet be specified in the patch');
    else throw badDirective(directive, item);
  }
  return isReplaced ? { kept: changes, changes: [] } : { kept, changes };
}

function mergeItems(
  original: readonly JsonObject[],
  patch: readonly JsonObject[],
  { mergeKey, element }: PatchField,
): JsonObject[] {
  const merged = [...original];
  for (const item of patch) {
    const key = identityOf(item, mergeKey);
    const at = merged.findIndex((other) => keyOf(other, mergeKey) === key);
    const found = merged[at];
    if (found === undefined) merged.push(item);
    else merged[at] = mergeMap(found, item, element);
  }
  return merged;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Undefined for a map that is a directive itself. */
function withoutDirective(value: JsonValue): JsonValue | undefined {
  if (Array.isArray(value)) return withoutDirectives(value);
  if (!isObject(value)) return value;
  if (value[DIRECTIVE] !== undefined) return undefined;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      member === undefined ? undefined : withoutDirective(member),
    ]),
  );
}

function withoutDirectives(list: readonly JsonValue[]): JsonValue[] {
  return list.map(withoutDirective).filter((item) => item !== undefined);
}

/** Members that are null are left out, at every depth. */
function withoutNulls(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const members = Object.entries(value).filter(
    (entry): entry is [string, JsonValue] => entry[1] !== null && entry[1] !== undefined,
  );
  return Object.fromEntries(members.map(([name, member]) => [name, withoutNulls(member)]));
}
