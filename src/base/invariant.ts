/** Raised when the program finds itself in a state it promised cannot occur. Never caught except by the process's top level. */
export class InvariantViolation extends Error {
  override name = 'InvariantViolation';
}

/** A value that a violation's message names. */
export type Detail = string | number | bigint | boolean | undefined;

/**
 * Asserts `condition`; the process must not continue when it is false.
 *
 * Each `{}` of the message stands for the next of the values, so that a check which holds builds no text:
 *
 *   invariant(index <= last, 'commit {} is beyond the end of the log, {}', index, last);
 *
 * Throws: InvariantViolation with the message.
 */
export function invariant(
  condition: boolean,
  message: string,
  a?: Detail,
  b?: Detail,
  c?: Detail,
): asserts condition {
  if (!condition) violated(message, [a, b, c]);
}

function violated(message: string, details: readonly Detail[]): never {
  let next = 0;
  const text = message.replaceAll('{}', () => String(details[next++]));
  throw new InvariantViolation(text);
}

/**
 * Switch of the checks that cost more than a comparison: whole structures, orders of whole lists.
 * Tests and the simulator run with them, servers without. A check stands where it applies:
 *
 *   if (verification.isOn) this.check();
 */
export const verification = { isOn: false };

/** Turns the costly checks on for this process, for good. Called by tests and the simulator only. */
export function verifyInvariants(): void {
  verification.isOn = true;
}
