/**
 * Judges fields that are unknown or repeated, by the request's `fieldValidation`.
 */
import type { Decoded, ExpectedKind } from './decode.js';
import { cannotHandle } from './decode.js';
import { YAML_FINDINGS } from './yaml-reader.js';

/** `Warn` is what an absent parameter means. */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/**
 * The warnings that the client is to see. Throws: ApiError 400 if validation is strict and a field
 * is unknown or repeated.
 */
export function judgeUnknownFields(
  { unknownFields }: Pick<Decoded, 'unknownFields'>,
  validation: FieldValidation,
  expected: ExpectedKind,
): readonly string[] {
  if (validation === 'Ignore' || unknownFields.length === 0) return [];
  if (validation === 'Strict')
    throw cannotHandle(expected, expected, strictDecodingError(unknownFields));
  return unknownFields.flatMap(warningsOf);
}

/** `strict decoding error: unknown field "spec.foo", ...`. */
export function strictDecodingError(unknownFields: readonly string[]): string {
  return `strict decoding error: ${unknownFields.join(', ')}`;
}

function warningsOf(finding: string): string[] {
  const [first, ...lines] = finding.split('\n');
  return first === YAML_FINDINGS ? lines.map((line) => line.trim()) : [finding];
}
