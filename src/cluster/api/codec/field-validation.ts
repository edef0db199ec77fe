/**
 * Judges fields that are unknown or repeated, by the request's `fieldValidation`.
 */
import { cannotHandle, type ExpectedKind } from './decode.js';
import { SchemaError } from './normalize.js';
import { YAML_FINDINGS } from './yaml-reader.js';

/** `Warn` is what an absent parameter means. */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/**
 * The warnings that the client is to see. Throws: SchemaError if validation is strict and a field
 * is unknown or repeated.
 */
export function fieldProblems(
  unknownFields: readonly string[],
  validation: FieldValidation,
): readonly string[] {
  if (validation === 'Ignore' || unknownFields.length === 0) return [];
  if (validation === 'Strict')
    throw new SchemaError(`strict decoding error: ${unknownFields.join(', ')}`);
  return unknownFields.flatMap(warningsOf);
}

/** As fieldProblems, for the body of a create or update. Throws: ApiError 400. */
export function bodyFieldProblems(
  unknownFields: readonly string[],
  validation: FieldValidation,
  expected: ExpectedKind,
): readonly string[] {
  try {
    return fieldProblems(unknownFields, validation);
  } catch (error) {
    if (error instanceof SchemaError) throw cannotHandle(expected, expected, error.message);
    throw error;
  }
}

/** YAML's findings are lines of one text. */
function warningsOf(finding: string): string[] {
  const [first, ...lines] = finding.split('\n');
  return first === YAML_FINDINGS ? lines.map((line) => line.trim()) : [finding];
}
