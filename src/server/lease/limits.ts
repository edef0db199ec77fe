/** Limits of questions about leases and of their revocation. */

/** Time the leader waits for committed entries to be applied. */
export const APPLIED_WAIT_MS = 1000;

/** Pause before a question is asked again. */
export const QUESTION_RETRY_MS = 50;

/** Keys encoded between two looks at the clock. */
export const KEYS_PER_PART = 256;

/** Leases looked up between two looks at the clock. */
export const LOOKUP_LEASES = 256;

/** Leases encoded between two looks at the clock, and in a part of the reply. */
export const PART_LEASES = 2048;

/** Time between two looks for leases that are over. */
export const CHECK_MS = 500;

/** Leases taken up at one check: at most 1000 a second. */
export const LEASES_PER_CHECK = 500;
export const MAX_REVOCATIONS_IN_FLIGHT = 16;
export const CHECKPOINTS_PER_ENTRY = 1000;

/** Leases that are given their place after promotion between two looks at the clock. */
export const PLACED_PER_LOOK = 256;
