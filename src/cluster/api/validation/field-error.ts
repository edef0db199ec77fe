/**
 * Findings of a validation, with the texts of Kubernetes (k8s.io/apimachinery
 * pkg/util/validation/field). Clients and their tests match them word for word.
 *
 * A path is plain text: `spec.containers[0].name`, `data[some key]`.
 */
import { GO_ESCAPES } from '../go-escapes.js';
import type { FieldError } from '../status.js';

/**
 * The value a finding names. Text is quoted, numbers and booleans stand bare, anything else is shown
 * as JSON; undefined shows as null.
 */
export type BadValue = string | number | boolean | object | null | undefined;

/** A value that must be there is missing or empty. */
export function fieldRequired(field: string, detail = ''): FieldError {
  return finding('FieldValueRequired', field, 'Required value', detail);
}

export function fieldInvalid(field: string, value: BadValue, detail: string): FieldError {
  return finding('FieldValueInvalid', field, `Invalid value: ${shown(value)}`, detail);
}

/** `supported` is named in the order given; Kubernetes sorts most such lists, not all. */
export function fieldNotSupported(
  field: string,
  value: BadValue,
  supported: readonly string[],
): FieldError {
  const list = supported.map(goQuote).join(', ');
  const detail = list === '' ? '' : `supported values: ${list}`;
  return finding('FieldValueNotSupported', field, `Unsupported value: ${shown(value)}`, detail);
}

export function fieldDuplicate(field: string, value: BadValue): FieldError {
  return finding('FieldValueDuplicate', field, `Duplicate value: ${shown(value)}`, '');
}

export function fieldForbidden(field: string, detail: string): FieldError {
  return finding('FieldValueForbidden', field, 'Forbidden', detail);
}

/** The value refers to something that is not there. */
export function fieldNotFound(field: string, value: BadValue): FieldError {
  return finding('FieldValueNotFound', field, `Not found: ${shown(value)}`, '');
}

export function fieldTooLong(field: string, maxBytes: number): FieldError {
  const detail = `may not be more than ${maxBytes} bytes`;
  return finding('FieldValueTooLong', field, 'Too long', detail);
}

export function fieldTooMany(field: string, actual: number, max: number): FieldError {
  const detail = `must have at most ${max} ${max === 1 ? 'item' : 'items'}`;
  return finding('FieldValueTooMany', field, `Too many: ${actual}`, detail);
}

/** One finding a text of `problems`: what the rules of names.ts return. */
export function fieldProblems(
  field: string,
  value: BadValue,
  problems: readonly string[],
): FieldError[] {
  return problems.map((problem) => fieldInvalid(field, value, problem));
}

/** The finding if `condition` holds; made only then. */
export function when(condition: boolean, make: () => FieldError): FieldError[] {
  return condition ? [make()] : [];
}

/** One way of several to fill in a choice: a volume's source, a probe's handler. */
export interface Alternative {
  /** Path of its field. */
  readonly path: string;
  readonly isGiven: boolean;
  readonly validate: () => FieldError[];
}

/** Validates the first alternative that is given and forbids the others. `what`: `handler`. */
export function validateAlternatives(
  alternatives: readonly Alternative[],
  what: string,
): FieldError[] {
  const detail = `may not specify more than 1 ${what} type`;
  const given = alternatives.filter(({ isGiven }) => isGiven);
  return given.flatMap(({ path, validate }, index) =>
    index === 0 ? validate() : [fieldForbidden(path, detail)],
  );
}

/** Findings for each value that came before in the list. */
export function validateUnique<T extends number | string>(
  values: readonly T[],
  pathOf: (index: number) => string,
): FieldError[] {
  const seen = new Set<T>();
  return values.flatMap((value, index) => {
    if (seen.has(value)) return [fieldDuplicate(pathOf(index), value)];
    seen.add(value);
    return [];
  });
}

const IMMUTABLE = 'field is immutable';

/** Finds a change of a value that must stay; absent and empty count as the same. */
export function validateImmutable(field: string, next: BadValue, old: BadValue): FieldError[] {
  return isSameValue(next, old) ? [] : [fieldInvalid(field, next, IMMUTABLE)];
}

/**
 * Deep equality of JSON values as the API server understands it: a missing field, an empty list and
 * an empty map are the same.
 */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (a === b || (isEmpty(a) && isEmpty(b))) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].every((key) =>
    isSameValue(left[key], right[key]),
  );
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return Array.isArray(value) && value.length === 0;
}

function finding(
  reason: FieldError['reason'],
  field: string,
  body: string,
  detail: string,
): FieldError {
  return { reason, field, message: detail === '' ? body : `${body}: ${detail}` };
}

function shown(value: BadValue): string {
  if (typeof value === 'string') return goQuote(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return goJson(value);
}

/** JSON as Go writes it: what could be markup is escaped. */
function goJson(value: object | null | undefined): string {
  return JSON.stringify(value ?? null).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const TEXT_ESCAPES: Readonly<Record<string, string>> = { ...GO_ESCAPES, '"': '\\"' };

/** Text as Go's `%q` shows it. */
export function goQuote(text: string): string {
  const inner = text.replace(/["\\]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    if (TEXT_ESCAPES[char] !== undefined) return TEXT_ESCAPES[char];
    if (code < 0x80) return `\\x${hex.padStart(2, '0')}`;
    return code > 0xffff ? `\\U${hex.padStart(8, '0')}` : `\\u${hex.padStart(4, '0')}`;
  });
  return `"${inner}"`;
}
