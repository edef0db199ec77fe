/**
 * JSON values of scalar fields, checked and brought into the form in which Kubernetes writes them.
 */
import { formatDurationMs } from '../../../base/go-duration.js';
import { invariant } from '../../../base/invariant.js';
import type { JsonValue } from '../object.js';
import { canonicalQuantity, QuantityError } from '../quantity.js';
import type { ScalarType } from '../schema/message.js';
import { canonicalMicroTime, canonicalTime, parseDuration, TimeError } from '../time.js';

/** A value does not fit its type. */
export class Misfit {
  /** As `number 1.5`, or the whole text of the error if `goType` is empty. */
  readonly found: string;
  /** Undefined if it is that of the field. */
  readonly goType: string | undefined;
  /** Go's type decodes itself, which ends decoding; others go on and report the first error at the end. */
  readonly isFatal: boolean;

  constructor(found: string, goType: string | undefined, isFatal: boolean) {
    this.found = found;
    this.goType = goType;
    this.isFatal = isFatal;
  }
}

const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);

/** The value in canonical form. Null is a result of times only: the zero time. */
export function convertScalar(
  scalar: ScalarType,
  value: Exclude<JsonValue, null>,
): JsonValue | Misfit {
  switch (scalar) {
    case 'string':
      return typeof value === 'string' ? value : mismatch(value);
    case 'bool':
      return typeof value === 'boolean' ? value : mismatch(value);
    case 'int32':
      return integer(value, INT32_MIN, INT32_MAX);
    case 'int64':
      return integer(value, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    case 'double':
      return typeof value === 'number' ? double(value) : mismatch(value);
    case 'bytes':
      return typeof value === 'string' ? base64(value) : mismatch(value);
    case 'time':
    case 'microtime':
    case 'duration':
      return typeof value === 'string' ? moment(scalar, value) : mismatch(value, 'string');
    case 'quantity':
      return quantity(value);
    case 'intOrString':
      if (typeof value === 'string') return value;
      return integer(value, INT32_MIN, INT32_MAX, 'int32');
    default:
      invariant(!scalar.startsWith('schema'), 'alternatives of schemas are no scalars');
      return value;
  }
}

/** Name that Go's decoder gives the type of a JSON value: `string`, `array`, `number` ... */
export function describe(value: Exclude<JsonValue, null>): string {
  if (typeof value === 'boolean') return 'bool';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** A type that decodes itself is told by the type that it takes from JSON. */
function mismatch(value: Exclude<JsonValue, null>, inner?: string): Misfit {
  return new Misfit(describe(value), inner, inner !== undefined);
}

function integer(
  value: Exclude<JsonValue, null>,
  min: number,
  max: number,
  inner?: string,
): number | Misfit {
  if (typeof value !== 'number') return mismatch(value, inner);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  return new Misfit(`number ${value}`, inner, inner !== undefined);
}

function double(value: number): number | Misfit {
  return Number.isFinite(value) ? value : new Misfit(`number ${value}`, undefined, false);
}

function quantity(value: Exclude<JsonValue, null>): string | Misfit {
  // Numbers are read by their text, so that 1 and "1" are the same.
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  try {
    return canonicalQuantity(text.trim());
  } catch (error) {
    if (error instanceof QuantityError) return new Misfit(error.message, '', true);
    throw error;
  }
}

function moment(scalar: 'time' | 'microtime' | 'duration', text: string): string | null | Misfit {
  try {
    if (scalar === 'duration') return formatDurationMs(parseDuration(text));
    return (scalar === 'time' ? canonicalTime(text) : canonicalMicroTime(text)) ?? null;
  } catch (error) {
    if (error instanceof TimeError) return new Misfit(error.message, '', true);
    throw error;
  }
}

/** Line breaks within are allowed, as Go allows them. */
function base64(text: string): string | Misfit {
  const wrong = wrongByte(text);
  if (wrong !== -1) return new Misfit(`illegal base64 data at input byte ${wrong}`, '', false);
  return Buffer.from(text, 'base64').toString('base64');
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const IS_DIGIT = new Uint8Array(128);
for (const digit of ALPHABET) IS_DIGIT[digit.charCodeAt(0)] = 1;
const PADDING = 0x3d;

/** The position that Go's decoder complains about; -1 if there is none. */
function wrongByte(text: string): number {
  let inGroup = 0;
  let at = 0;
  for (; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (IS_DIGIT[c] === 1) inGroup = (inGroup + 1) & 3;
    else if (c === PADDING) break;
    else if (!isLineBreak(c)) return at;
  }
  if (at === text.length) return inGroup === 0 ? -1 : at - inGroup;
  if (inGroup < 2) return at;
  let next = skipLineBreaks(text, at + 1);
  if (inGroup === 2) {
    if (next === text.length) return next;
    if (text.charCodeAt(next) !== PADDING) return next - 1;
    next = skipLineBreaks(text, next + 1);
  }
  return next < text.length ? next : -1;
}

function skipLineBreaks(text: string, from: number): number {
  let at = from;
  while (isLineBreak(text.charCodeAt(at))) at++;
  return at;
}

function isLineBreak(c: number): boolean {
  return c === 0x0a || c === 0x0d;
}
