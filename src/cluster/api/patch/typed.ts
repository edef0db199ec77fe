/**
 * Paths of an object that are owned one by one, and those of them in which two objects differ
 * (sigs.k8s.io/structured-merge-diff, typed; KEP-555).
 *
 * Objects are in the form in which they are served: no member that Go would omit, none of an
 * unknown name. A field that Go always writes counts with its zero value where it is absent.
 */
import { zeroMessage } from '../codec/emit.js';
import type { JsonObject, JsonValue } from '../object.js';
import type { Field } from '../schema/message.js';
import { schemaOf } from '../schema/table.js';
import { jsonEqual } from './equal.js';
import { EMPTY_SET, fieldSet, isEmpty, type FieldSet } from './field-set.js';
import { fieldElement, keyElement, valueElement, type PathElement } from './path-element.js';

/** Manner in which a value is owned: as a whole, or by its parts. */
export type OwnedType = Leaf | Struct | OwnedMap | KeyedList | ValueSet;

/** As a whole: scalars, atomic lists, maps and structs, embedded objects. */
interface Leaf {
  readonly sort: 'leaf';
}

/** By field. */
interface Struct {
  readonly sort: 'struct';
  readonly fields: Map<string, OwnedType>;
  /** Of the fields that Go always writes. */
  readonly zeros: ReadonlyMap<string, JsonValue>;
}

/** By name of the entry. */
interface OwnedMap {
  readonly sort: 'map';
  readonly element: OwnedType;
}

/** By the key fields of the element. */
interface KeyedList {
  readonly sort: 'list';
  readonly keys: readonly string[];
  /** Default of a key field that an element leaves out. */
  readonly defaults: ReadonlyMap<string, JsonValue>;
  readonly element: OwnedType;
}

/** By value of the element. */
interface ValueSet {
  readonly sort: 'set';
}

/** Paths that changed from one object to another. The sets have no path in common. */
export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

const LEAF: Leaf = { sort: 'leaf' };
const VALUE_SET: ValueSet = { sort: 'set' };
const EMPTY_OBJECT: JsonObject = Object.freeze({});
const structs = new Map<string, Struct>();

/** Of a message by its full name, as `apps.v1.Deployment`. */
export function ownedTypeOf(message: string): OwnedType {
  let struct = structs.get(message);
  if (struct === undefined) {
    struct = { sort: 'struct', fields: new Map(), zeros: zerosOf(message) };
    // Known before its fields are: a message may hold itself.
    structs.set(message, struct);
    for (const [name, field] of schemaOf(message).byName)
      struct.fields.set(name, typeOfField(field));
  }
  return struct;
}

function zerosOf(message: string): Map<string, JsonValue> {
  return new Map(Object.entries(zeroMessage(message)) as [string, JsonValue][]);
}

function typeOfField(field: Field): OwnedType {
  switch (field.shape) {
    case 'single':
      return field.ownership === 'atomic' ? LEAF : typeOfElement(field);
    case 'map':
      return field.ownership === 'atomic' ? LEAF : { sort: 'map', element: typeOfElement(field) };
    case 'mapOfLists':
      return field.ownership === 'atomic' ? LEAF : { sort: 'map', element: LEAF };
    case 'list':
      if (field.list === 'set') return VALUE_SET;
      return field.list === 'map' ? keyedList(field) : LEAF;
  }
}

function typeOfElement(field: Field): OwnedType {
  if (field.message === '') return LEAF;
  const isAtomic = field.ownership === undefined && schemaOf(field.message).isAtomic;
  return isAtomic ? LEAF : ownedTypeOf(field.message);
}

function keyedList(field: Field): KeyedList {
  const defaults = zerosOf(field.message);
  for (const key of field.keys) {
    const value = schemaOf(field.message).byName.get(key)?.default;
    if (value !== undefined) defaults.set(key, value);
  }
  return { sort: 'list', keys: field.keys, defaults, element: typeOfElement(field) };
}

/** All paths that `value` gives: what an apply of it would own. Throws: NotOwnable. */
export function fieldsOf(type: OwnedType, value: JsonValue): FieldSet {
  return fieldSet(false, childrenOf(type, value));
}

/** Undefined when the value is owned as a whole. */
function childrenOf(type: OwnedType, value: JsonValue): [PathElement, FieldSet][] {
  switch (type.sort) {
    case 'leaf':
      return [];
    case 'set':
      return asList(value).map((item) => [valueElement(item), fieldSet(true, [])]);
    case 'list':
      return keyedChildren(type, asList(value));
    case 'map':
    case 'struct':
      return namedChildren(type, asObject(value) ?? EMPTY_OBJECT);
  }
}

function namedChildren(type: OwnedMap | Struct, value: JsonObject): [PathElement, FieldSet][] {
  const children: [PathElement, FieldSet][] = [];
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const inner = memberType(type, name);
    const below = childrenOf(inner, member);
    const isMember = inner.sort === 'leaf' || isEmptyMember(member) || type.sort === 'map';
    children.push([fieldElement(name), fieldSet(isMember, below)]);
  }
  return children;
}

function isEmptyMember(value: JsonValue): boolean {
  if (value === null) return true;
  return !Array.isArray(value) && typeof value === 'object' && Object.keys(value).length === 0;
}

/** An element that is there twice is owned as a whole, together with its doubles. */
function keyedChildren(type: KeyedList, list: readonly JsonValue[]): [PathElement, FieldSet][] {
  return [...itemsByKey(type, list)].map(([element, [item, ...doubles]]) => [
    element,
    fieldSet(true, doubles.length > 0 ? [] : childrenOf(type.element, item ?? null)),
  ]);
}

function memberType(type: OwnedMap | Struct, name: string): OwnedType {
  return type.sort === 'map' ? type.element : (type.fields.get(name) ?? LEAF);
}

function asObject(value: JsonValue | undefined): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
}

function asList(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

/** A value that ownership cannot be kept of. */
export class NotOwnable extends Error {
  override name = 'NotOwnable';
}

/** Elements by what identifies them, in order. Throws: NotOwnable for one without any key field. */
function itemsByKey(
  type: KeyedList | ValueSet,
  list: readonly JsonValue[],
): Map<PathElement, JsonValue[]> {
  const items = new Map<PathElement, JsonValue[]>();
  for (const item of list) {
    const element = type.sort === 'set' ? valueElement(item) : keyOf(type, item);
    const same = items.get(element);
    if (same === undefined) items.set(element, [item]);
    else same.push(item);
  }
  return items;
}

function keyOf(type: KeyedList, item: JsonValue): PathElement {
  const object = asObject(item) ?? EMPTY_OBJECT;
  const entries: [string, JsonValue][] = [];
  for (const key of type.keys) {
    const value = object[key] ?? type.defaults.get(key);
    if (value !== undefined) entries.push([key, value]);
  }
  if (entries.length === 0) throw new NotOwnable('an element omits all key fields');
  return keyElement(entries);
}

/** A node of each of the three trees. `SAME` and no other object when nothing changed. */
const SAME: Comparison = { added: EMPTY_SET, modified: EMPTY_SET, removed: EMPTY_SET };
const HERE = fieldSet(true, []);
const ADDED: Comparison = { ...SAME, added: HERE };
const MODIFIED: Comparison = { ...SAME, modified: HERE };
const REMOVED: Comparison = { ...SAME, removed: HERE };

/** Paths that change from `before` to `after`, both of the type. Throws: NotOwnable. */
export function compareTyped(type: OwnedType, before: JsonObject, after: JsonObject): Comparison {
  return compare(type, before, after);
}

/** Undefined stands for an absent value, at most on one side. */
function compare(
  type: OwnedType,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
): Comparison {
  if (before === after) return SAME;
  switch (type.sort) {
    case 'leaf':
      return compareLeaf(before, after);
    case 'struct':
    case 'map':
      return compareMembers(type, before, after);
    case 'list':
    case 'set':
      return compareLists(type, before, after);
  }
}

function compareLeaf(before: JsonValue | undefined, after: JsonValue | undefined): Comparison {
  if (before === undefined) return ADDED;
  if (after === undefined) return REMOVED;
  return jsonEqual(before, after) ? SAME : MODIFIED;
}

function compareMembers(
  type: Struct | OwnedMap,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
): Comparison {
  const left = asObject(before);
  const right = asObject(after);
  if (hasNoMembers(type, left) && hasNoMembers(type, right)) return compareLeaf(before, after);
  const found = new Differences();
  for (const name in left) compareMember(found, type, name, left, right);
  for (const name in right)
    if (left?.[name] === undefined) compareMember(found, type, name, left, right);
  if (type.sort === 'struct' && (left === undefined || right === undefined))
    for (const name of type.zeros.keys())
      if (left?.[name] === undefined && right?.[name] === undefined)
        compareMember(found, type, name, left, right);
  return found.finish(before, after);
}

function compareMember(
  found: Differences,
  type: Struct | OwnedMap,
  name: string,
  left: JsonObject | undefined,
  right: JsonObject | undefined,
): void {
  const before = memberOf(type, left, name);
  const after = memberOf(type, right, name);
  if (before === after) return;
  found.add(fieldElement(name), compare(memberType(type, name), before, after));
}

function memberOf(
  type: Struct | OwnedMap,
  object: JsonObject | undefined,
  name: string,
): JsonValue | undefined {
  if (object === undefined) return undefined;
  return object[name] ?? (type.sort === 'struct' ? type.zeros.get(name) : undefined);
}

function hasNoMembers(type: Struct | OwnedMap, object: JsonObject | undefined): boolean {
  if (object === undefined) return true;
  if (type.sort === 'struct' && type.zeros.size > 0) return false;
  for (const name in object) if (object[name] !== undefined) return false;
  return true;
}

function compareLists(
  type: KeyedList | ValueSet,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
): Comparison {
  const left = asList(before);
  const right = asList(after);
  if (left.length === 0 && right.length === 0) return compareLeaf(before, after);
  const leftItems = itemsByKey(type, left);
  const rightItems = itemsByKey(type, right);
  const element = type.sort === 'set' ? LEAF : type.element;
  const found = new Differences();
  for (const [key, items] of leftItems)
    found.add(key, compareItems(element, items, rightItems.get(key) ?? []));
  for (const [key, items] of rightItems)
    if (!leftItems.has(key)) found.add(key, compareItems(element, [], items));
  return found.finish(before, after);
}

/** Elements with one key. Several on one side count as one value without insides. */
function compareItems(
  element: OwnedType,
  before: readonly JsonValue[],
  after: readonly JsonValue[],
): Comparison {
  if (before.length <= 1 && after.length <= 1) return compare(element, before[0], after[0]);
  if (before.length > 1 && after.length > 1)
    return jsonEqual([...before], [...after]) ? SAME : MODIFIED;
  if (before.length > 1) {
    const rest = after.length === 0 ? SAME : compare(element, undefined, after[0]);
    return { ...rest, removed: HERE };
  }
  const rest = before.length === 0 ? SAME : compare(element, before[0], undefined);
  return { ...rest, added: HERE };
}

/** Collects what the children of a node differ in. */
class Differences {
  private readonly added: [PathElement, FieldSet][] = [];
  private readonly modified: [PathElement, FieldSet][] = [];
  private readonly removed: [PathElement, FieldSet][] = [];

  add(element: PathElement, child: Comparison): void {
    if (child === SAME) return;
    if (!isEmpty(child.added)) this.added.push([element, child.added]);
    if (!isEmpty(child.modified)) this.modified.push([element, child.modified]);
    if (!isEmpty(child.removed)) this.removed.push([element, child.removed]);
  }

  /** The node itself is added or removed with all that it holds. */
  finish(before: JsonValue | undefined, after: JsonValue | undefined): Comparison {
    const isWhole = before === undefined || after === undefined;
    const changes = this.added.length + this.modified.length + this.removed.length;
    if (!isWhole && changes === 0) return SAME;
    return {
      added: fieldSet(before === undefined, this.added),
      modified: fieldSet(false, this.modified),
      removed: fieldSet(after === undefined, this.removed),
    };
  }
}
