/** Limits of leases and of the time their leader keeps. */

/** Leases that may expire in one second after a change of leader; the others follow later. */
export const EXPIRIES_PER_SEC = 1000;

/** Time until `expired` hands out a lease again: longer than a proposal takes to fail. */
export const REVOKE_RETRY_MS = 10_000;

/**
 * Period at which the remaining time of a long lease is logged, and length from which a lease is
 * long.
 */
export const CHECKPOINT_INTERVAL_SEC = 300;

/** Longest TTL a lease may have. */
export const MAX_LEASE_TTL_SEC = 9_000_000_000;
