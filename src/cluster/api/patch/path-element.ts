/**
 * One step of a path into an object, in the text form that managed fields have on the wire
 * (sigs.k8s.io/structured-merge-diff, fieldpath):
 *
 *   f:replicas                   a field of a struct or an entry of a map
 *   k:{"containerPort":80,...}   an element of a list, by its key fields
 *   v:"example.com/guard"        an element of a set, by its value
 *   i:0                          an element of a list, by its position
 *
 * Two steps are the same exactly when their texts are: keys are sorted, values are in Go's JSON.
 */
import type { JsonValue } from '../object.js';

export type PathElement = string;

export function fieldElement(name: string): PathElement {
  return `f:${name}`;
}

export function valueElement(value: JsonValue): PathElement {
  return `v:${goJson(value)}`;
}

/** `entries` are key fields with their values; at least one. */
export function keyElement(entries: [string, JsonValue][]): PathElement {
  if (entries.length > 1) entries.sort(([a], [b]) => compareTexts(a, b));
  const members = entries.map(([name, value]) => `${goJson(name)}:${goJson(value)}`);
  return `k:{${members.join(',')}}`;
}

/**
 * Brings a step of the wire to its one form. Undefined for a step of an unknown sort, which readers
 * ignore. Throws: SyntaxError when the text is not a step.
 */
export function parsePathElement(text: string): PathElement | undefined {
  if (text.length < 2) throw new SyntaxError('key must be 2 characters long');
  if (text[1] !== ':') throw new SyntaxError(`missing colon: ${text}`);
  const rest = text.slice(2);
  switch (text[0]) {
    case 'f':
      return text;
    case 'v':
      return valueElement(JSON.parse(rest) as JsonValue);
    case 'k': {
      const key = JSON.parse(rest) as JsonValue;
      if (typeof key !== 'object' || key === null || Array.isArray(key))
        throw new SyntaxError(`not a key: ${text}`);
      return keyElement(Object.entries(key) as [string, JsonValue][]);
    }
    case 'i':
      if (!/^[+-]?\d+$/.test(rest)) throw new SyntaxError(`not an index: ${text}`);
      return `i:${Number(rest)}`;
    default:
      return undefined;
  }
}

/** A step as conflicts name it: `.replicas`, `[name="web"]`, `[="x"]`, `[0]`. */
export function describePathElement(element: PathElement): string {
  const rest = element.slice(2);
  if (element.startsWith('f:')) return `.${rest}`;
  if (element.startsWith('v:')) return `[=${rest}]`;
  if (element.startsWith('i:')) return `[${rest}]`;
  const key = JSON.parse(rest) as Record<string, JsonValue>;
  return `[${Object.entries(key)
    .map(([name, value]) => `${name}=${goJson(value)}`)
    .join(',')}]`;
}

const SORTS = 'fkvi';

/** Order in which steps are written: fields, keys, values, positions. */
export function comparePathElements(a: PathElement, b: PathElement): number {
  const sort = a.charAt(0);
  if (sort !== b.charAt(0)) return SORTS.indexOf(sort) - SORTS.indexOf(b.charAt(0));
  switch (sort) {
    case 'f':
      return compareTexts(a, b);
    case 'k':
      return compareMembers(membersOf(a.slice(2)), membersOf(b.slice(2)));
    default:
      return compareValues(
        JSON.parse(a.slice(2)) as JsonValue,
        JSON.parse(b.slice(2)) as JsonValue,
      );
  }
}

type Members = [string, JsonValue | undefined][];

/** Of a key, whose members are sorted. */
function membersOf(json: string): Members {
  return Object.entries(JSON.parse(json) as Record<string, JsonValue>);
}

function sortedMembers(value: Record<string, JsonValue | undefined>): Members {
  return Object.entries(value).sort(([a], [b]) => compareTexts(a, b));
}

function compareMembers(a: Members, b: Members): number {
  for (let at = 0; at < a.length; at++) {
    const left = a[at];
    const right = b[at];
    if (left === undefined || right === undefined) break;
    const byName = compareTexts(left[0], right[0]);
    const order = byName === 0 ? compareValues(left[1], right[1]) : byName;
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Numbers, texts, booleans, lists, objects, null: in this order. */
function compareValues(a: JsonValue | undefined, b: JsonValue | undefined): number {
  const rank = rankOf(a) - rankOf(b);
  if (rank !== 0) return rank;
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b);
  if (Array.isArray(a) && Array.isArray(b)) {
    for (let at = 0; at < Math.min(a.length, b.length); at++) {
      const order = compareValues(a[at], b[at]);
      if (order !== 0) return order;
    }
    return a.length - b.length;
  }
  if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null)
    return compareMembers(
      sortedMembers(a as Record<string, JsonValue>),
      sortedMembers(b as Record<string, JsonValue>),
    );
  return Number(a) - Number(b);
}

function rankOf(value: JsonValue | undefined): number {
  if (value === null || value === undefined) return 5;
  if (Array.isArray(value)) return 3;
  return ['number', 'string', 'boolean', '', 'object'].indexOf(typeof value);
}

export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

const ESCAPED_BY_GO = /[<>&\u2028\u2029]/g;

/** JSON as Go's encoding/json writes it: safe within HTML, members of objects sorted. */
function goJson(value: JsonValue): string {
  const isScalar = typeof value !== 'object' || value === null;
  const json = isScalar ? JSON.stringify(value) : JSON.stringify(value, sortMembers);
  if (json.search(ESCAPED_BY_GO) === -1) return json;
  return json.replace(
    ESCAPED_BY_GO,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function sortMembers(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(sortedMembers(value as Record<string, JsonValue>));
}
