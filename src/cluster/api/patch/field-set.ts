/**
 * Sets of paths into an object: which fields a manager owns, which a write changed
 * (sigs.k8s.io/structured-merge-diff, fieldpath.Set; FieldsV1 of meta/v1).
 *
 * A set is a tree of path elements. It is immutable and shares what it can: an operation that
 * changes nothing returns the set that it was given, so that `===` tells "as before" cheaply.
 */
import { invariant } from '../../../base/invariant.js';
import type { JsonObject, JsonValue } from '../object.js';
import { comparePathElements, parsePathElement, type PathElement } from './path-element.js';

/** One node of a set, and the set of all paths below it. */
export class FieldSet {
  /** The path that leads here is in the set. False at the root. */
  readonly isMember: boolean;
  /** In the order of `comparePathElements`. No node is empty. */
  readonly children: ReadonlyMap<PathElement, FieldSet>;
  private json: JsonObject | undefined;

  constructor(isMember: boolean, children: ReadonlyMap<PathElement, FieldSet>) {
    this.isMember = isMember;
    this.children = children;
  }

  /** FieldsV1, frozen; the same object each time. */
  toJson(): JsonObject {
    if (this.json === undefined) {
      const json: JsonObject = {};
      if (this.isMember && this.children.size > 0) json['.'] = EMPTY_JSON;
      for (const [element, child] of this.children)
        json[element] = child.children.size === 0 ? EMPTY_JSON : child.toJson();
      this.json = Object.freeze(json);
    }
    return this.json;
  }
}

const EMPTY_JSON: JsonObject = Object.freeze({});
const NO_CHILDREN: ReadonlyMap<PathElement, FieldSet> = new Map();

export const EMPTY_SET = new FieldSet(false, NO_CHILDREN);
const MEMBER = new FieldSet(true, NO_CHILDREN);

/** A node with these children, in any order; empty ones are left out. */
export function fieldSet(
  isMember: boolean,
  children: Iterable<readonly [PathElement, FieldSet]>,
): FieldSet {
  const kept = [...children].filter(([, child]) => !isEmpty(child));
  if (kept.length === 0) return isMember ? MEMBER : EMPTY_SET;
  if (kept.length > 1) kept.sort(([a], [b]) => comparePathElements(a, b));
  return new FieldSet(isMember, new Map(kept));
}

/** The set of these paths. */
export function fieldSetOf(...paths: readonly (readonly PathElement[])[]): FieldSet {
  return paths.reduce((set, path) => union(set, chain(path)), EMPTY_SET);
}

function chain(path: readonly PathElement[]): FieldSet {
  invariant(path.length > 0, 'nobody owns an object as a whole');
  return path.reduceRight((below, element) => fieldSet(false, [[element, below]]), MEMBER);
}

export function isEmpty(set: FieldSet): boolean {
  return !set.isMember && set.children.size === 0;
}

export function has(set: FieldSet, path: readonly PathElement[]): boolean {
  let at: FieldSet | undefined = set;
  for (const element of path) at = at?.children.get(element);
  return at?.isMember ?? false;
}

export function equals(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true;
  if (a.isMember !== b.isMember || a.children.size !== b.children.size) return false;
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    if (other === undefined || !equals(child, other)) return false;
  }
  return true;
}

/** Paths in either. */
export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmpty(b)) return a;
  if (isEmpty(a)) return b;
  const isMember = a.isMember || b.isMember;
  const merged = new Map(a.children);
  let isChanged = isMember !== a.isMember;
  for (const [element, child] of b.children) {
    const own = a.children.get(element);
    const both = own === undefined ? child : union(own, child);
    if (both === own) continue;
    merged.set(element, both);
    isChanged = true;
  }
  if (!isChanged) return a;
  // Only a new element can be out of order.
  if (merged.size === a.children.size) return new FieldSet(isMember, merged);
  return fieldSet(isMember, merged);
}

/** Paths in both. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  const isMember = a.isMember && b.isMember;
  const shared = new Map<PathElement, FieldSet>();
  let isChanged = isMember !== a.isMember;
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    const both = other === undefined ? EMPTY_SET : intersection(child, other);
    isChanged ||= both !== child;
    if (!isEmpty(both)) shared.set(element, both);
  }
  return isChanged ? node(isMember, shared) : a;
}

/** Paths in `a` but not in `b`. Paths below one of `b` stay. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return subtract(a, b, difference);
}

/** Paths in `a` that are neither in `b` nor below a path of `b`. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  return subtract(a, b, (child, other) =>
    other.isMember ? EMPTY_SET : recursiveDifference(child, other),
  );
}

function subtract(
  a: FieldSet,
  b: FieldSet,
  rest: (child: FieldSet, other: FieldSet) => FieldSet,
): FieldSet {
  const isMember = a.isMember && !b.isMember;
  let children: Map<PathElement, FieldSet> | undefined;
  for (const [element, other] of b.children) {
    const child = a.children.get(element);
    if (child === undefined) continue;
    const left = rest(child, other);
    if (left === child) continue;
    children ??= new Map(a.children);
    if (isEmpty(left)) children.delete(element);
    else children.set(element, left);
  }
  if (children === undefined && isMember === a.isMember) return a;
  return node(isMember, children ?? a.children);
}

/** Children are in order and not empty. */
function node(isMember: boolean, children: ReadonlyMap<PathElement, FieldSet>): FieldSet {
  if (children.size > 0) return new FieldSet(isMember, children);
  return isMember ? MEMBER : EMPTY_SET;
}

/** All paths of the set, each before those below it. */
export function* pathsOf(set: FieldSet): Generator<PathElement[]> {
  for (const [element, child] of set.children) {
    if (child.isMember) yield [element];
    for (const path of pathsOf(child)) yield [element, ...path];
  }
}

/** Most writers own what they owned before, and pods of one template have the same owners. */
const parsed = new Map<string, FieldSet>();
let parsedChars = 0;
const MAX_PARSED_CHARS = 8 * 1024 * 1024;

/**
 * The set that FieldsV1 describes. Sets are kept by their text, the oldest dropped beyond 8 MiB of
 * text. Throws: SyntaxError when it is not FieldsV1.
 */
export function fieldSetFromJson(json: JsonValue): FieldSet {
  const text = JSON.stringify(json);
  const known = parsed.get(text);
  if (known !== undefined) return known;
  const read = readChildren(json);
  const set = read === undefined ? EMPTY_SET : fieldSet(false, read.children);
  if (text.length > MAX_PARSED_CHARS / 64) return set;
  parsed.set(text, set);
  parsedChars += text.length;
  for (const oldest of parsed.keys()) {
    if (parsedChars <= MAX_PARSED_CHARS) break;
    parsed.delete(oldest);
    parsedChars -= oldest.length;
  }
  return set;
}

interface Children {
  readonly hasSelf: boolean;
  readonly children: Map<PathElement, FieldSet>;
}

/** Undefined when nothing lies below. */
function readChildren(json: JsonValue | undefined): Children | undefined {
  if (json === null) return undefined;
  if (typeof json !== 'object' || Array.isArray(json))
    throw new SyntaxError('FieldsV1 is made of objects');
  const children = new Map<PathElement, FieldSet>();
  for (const [key, below] of Object.entries(json)) {
    if (key === '.') continue;
    const element = parsePathElement(key);
    if (element === undefined) continue;
    const inner = readChildren(below);
    const child = inner === undefined ? MEMBER : fieldSet(inner.hasSelf, inner.children);
    children.set(element, union(children.get(element) ?? EMPTY_SET, child));
  }
  if (children.size === 0) return undefined;
  return { hasSelf: json['.'] !== undefined, children };
}
