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

/** Longest time one turn spends applying before it lets I/O through. */
export const APPLY_SLICE_MS = 4;

/** Entries applied between two looks at the clock. */
export const ENTRIES_PER_LOOK = 32;

/** Bytes waiting to be written by the backend above which applying pauses. */
export const BACKEND_BACKLOG_BYTES = 64 * 1024 * 1024;
export const BACKLOG_RETRY_MS = 2;

/** Committed entries that may wait for apply before new proposals are refused. */
export const MAX_APPLY_BACKLOG = 5000;

/** Time and bytes that applied changes may wait for others before the backend gets them. */
export const FLUSH_DELAY_MS = 5;
export const FLUSH_BYTES = 128 * 1024;

/** Time an unanswered round waits before it asks again, with a context never used before. */
export const READ_RETRY_MS = 500;
