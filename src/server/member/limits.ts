/** Limits of one member's consensus and of what waits for it. Their relations to others: startup/limit-chain.ts. */

/** Entries in one message to a follower; one entry of any size passes. */
export const MAX_APPEND_BYTES = 1024 * 1024;
export const MAX_INFLIGHT_MESSAGES = 512;
export const MAX_INFLIGHT_BYTES = 64 * 1024 * 1024;
/** Entries proposed and not committed; also commands that wait to be proposed. */
export const MAX_UNCOMMITTED_BYTES = 256 * 1024 * 1024;
export const MAX_COMMITTED_BYTES_PER_READY = 1024 * 1024;

const REQUEST_TIMEOUT_BASE_MS = 5000;
/** Ticks of the first election timeout that always remain: a leader that exists makes itself known in that time. */
const TICKS_TO_WAIT_FOR_LEADER = 3;

interface Pace {
  readonly heartbeatMs: number;
  readonly electionMs: number;
}

/** Time for a proposal or a linearizable read, as etcd has it. */
export function requestTimeoutMs(electionMs: number): number {
  return REQUEST_TIMEOUT_BASE_MS + 2 * electionMs;
}

export function electionTicks({ heartbeatMs, electionMs }: Pace): number {
  return Math.max(1, Math.round(electionMs / heartbeatMs));
}

/** Ticks of the first election timeout that a fresh process may skip (`--initial-election-tick-advance`). */
export function advanceTicks(pace: Pace): number {
  return Math.max(0, electionTicks(pace) - TICKS_TO_WAIT_FOR_LEADER);
}
