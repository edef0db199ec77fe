/** Raised when the program finds itself in a state it promised cannot occur. Never caught except by the process's top level. */
export class InvariantViolation extends Error {
  override name = 'InvariantViolation';
}

/**
 * Asserts `condition`; the process must not continue when it is false.
 *
 * Throws: InvariantViolation with `message`.
 */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** Marks a branch the type system proves unreachable. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable value: ${String(value)}`);
}
