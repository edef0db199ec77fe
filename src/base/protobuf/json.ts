/**
 * Shared by all generated JSON mappings (src/gen/): the proto3 JSON forms as the JSON gateway speaks them.
 *
 * Out: names as in the .proto files, 64-bit integers as strings, bytes as standard base64, enums by name, zero values
 * left out. In: .proto or lowerCamel names, integers as numbers or strings, either base64 alphabet with or without
 * padding, enums by name or number; null, unknown fields and unknown enum names are ignored. Anything else is a
 * DecodeError.
 *
 * Called by: src/gen/, and by the gateway, which parses request bodies with `parseJson`.
 * Ref: the JSON mapping of proto3 (protobuf.dev, "ProtoJSON Format"); grpc-gateway v2,
 * runtime.JSONPb.
 */
import { DecodeError, nearestSafe, tooDeep } from './runtime.js';

export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
export interface JsonObject {
  [name: string]: JsonValue;
}

const MAX_INT64 = 2n ** 63n - 1n;
const MIN_INT64 = -(2n ** 63n);
const MAX_UINT64 = 2n ** 64n - 1n;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * JSON.parse, except that integers of 16 digits and more become strings, so that no id loses its last digits.
 *
 * Throws: DecodeError.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(/\d{16}/.test(text) ? quoteLongIntegers(text) : text) as unknown;
  } catch (error) {
    throw new DecodeError(error instanceof Error ? error.message : String(error));
  }
}

function quoteLongIntegers(text: string): string {
  const parts: string[] = [];
  let copied = 0;
  let i = 0;
  while (i < text.length) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) {
      i = endOfString(text, i);
    } else if (isNumberPart(c)) {
      const start = i;
      while (i < text.length && isNumberPart(text.charCodeAt(i))) i++;
      const token = text.slice(start, i);
      if (/^-?\d{16,}$/.test(token)) {
        parts.push(text.slice(copied, start), '"', token, '"');
        copied = i;
      }
    } else {
      i++;
    }
  }
  parts.push(text.slice(copied));
  return parts.join('');
}

/** The position after the string literal that starts at `start`. */
function endOfString(text: string, start: number): number {
  for (let i = start; ;) {
    i = text.indexOf('"', i + 1);
    if (i < 0) return text.length;
    let escapes = 0;
    while (text.charCodeAt(i - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return i + 1;
  }
}

/** Of the characters numbers are made of, `E` and `e` included. */
function isNumberPart(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2b || c === 0x2e || (c | 0x20) === 0x65;
}

/** `depth` is what is left of the nesting allowance. */
export function jsonObject(j: unknown, message: string, depth: number): Record<string, unknown> {
  if (depth < 0) throw tooDeep();
  if (typeof j !== 'object' || j === null || Array.isArray(j)) throw invalid(message, j);
  return j as Record<string, unknown>;
}

/** The field under either of its names; undefined when absent or null. */
export function jsonField(
  o: Record<string, unknown>,
  protoName: string,
  camelName: string,
): unknown {
  const v = o[protoName];
  if (protoName === camelName) return v ?? undefined;
  const other = o[camelName];
  if (v !== undefined && other !== undefined) throw new DecodeError(`duplicate field ${camelName}`);
  return v ?? other ?? undefined;
}

export function jsonList(j: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(j)) throw invalid(field, j);
  return j as readonly unknown[];
}

export function twoOfOneof(oneof: string): DecodeError {
  return new DecodeError(`more than one member of ${oneof} is set`);
}

export function stringFromJson(j: unknown, field: string): string {
  if (typeof j !== 'string') throw invalid(field, j);
  return j;
}

export function boolFromJson(j: unknown, field: string): boolean {
  if (typeof j !== 'boolean') throw invalid(field, j);
  return j;
}

export function bigIntFromJson(j: unknown, field: string): bigint {
  return integer(j, field, MIN_INT64, MAX_INT64);
}

export function bigUintFromJson(j: unknown, field: string): bigint {
  return integer(j, field, 0n, MAX_UINT64);
}

export function intFromJson(j: unknown, field: string): number {
  return nearestSafe(Number(bigIntFromJson(j, field)));
}

export function uintFromJson(j: unknown, field: string): number {
  const n = Number(bigUintFromJson(j, field));
  if (!Number.isSafeInteger(n)) throw invalid(field, j);
  return n;
}

export function int32FromJson(j: unknown, field: string): number {
  return Number(integer(j, field, -0x8000_0000n, 0x7fff_ffffn));
}

export function uint32FromJson(j: unknown, field: string): number {
  return Number(integer(j, field, 0n, 0xffff_ffffn));
}

function integer(j: unknown, field: string, min: bigint, max: bigint): bigint {
  const v = wholeNumber(j);
  if (v === null || v < min || v > max) throw invalid(field, j);
  return v;
}

/** A number, or the text of one, exponent and zero fraction allowed; null if it is not whole. */
function wholeNumber(j: unknown): bigint | null {
  if (typeof j === 'number') return Number.isInteger(j) ? BigInt(j) : null;
  if (typeof j !== 'string' || j.length > 32) return null;
  if (/^-?(?:0|[1-9]\d*)$/.test(j)) return BigInt(j);
  if (!/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(j)) return null;
  const n = Number(j);
  return Number.isInteger(n) ? BigInt(n) : null;
}

/** Undefined for an unknown name, which is ignored like an unknown field. */
export function enumFromJson(
  j: unknown,
  field: string,
  names: Readonly<Record<number, string>>,
): number | undefined {
  if (typeof j === 'number') return int32FromJson(j, field);
  if (typeof j !== 'string') throw invalid(field, j);
  for (const id in names) if (names[id] === j) return Number(id);
  return undefined;
}

/** By name, or by number where the enum has no name for it. */
export function enumToJson(v: number, names: Readonly<Record<number, string>>): JsonValue {
  return names[v] ?? v;
}

export function bytesFromJson(j: unknown, field: string): Uint8Array {
  if (typeof j !== 'string') throw invalid(field, j);
  const text = j.replace(/[\r\n]/g, '');
  const digits = text.length % 4 === 0 ? text.replace(/={1,2}$/, '') : text;
  if (digits.length % 4 === 1 || !/^(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)$/.test(digits)) {
    throw invalid(field, j);
  }
  return Buffer.from(digits, 'base64');
}

export function bytesToJson(v: Uint8Array): string {
  return Buffer.from(v.buffer, v.byteOffset, v.length).toString('base64');
}

function invalid(field: string, j: unknown): DecodeError {
  const shown = typeof j === 'string' ? JSON.stringify(j.slice(0, 40)) : typeof j;
  return new DecodeError(`invalid value for ${field}: ${shown}`);
}
