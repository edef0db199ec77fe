/** Limits of the delivery of events: time, memory and sizes of one step. */

/** Time the hub works before it lets other work run. */
export const DISPATCH_SLICE_MS = 3;

/** Steps of a loop between two looks at the clock. */
export const DISPATCH_STEPS_PER_LOOK = 32;

/** Memory for revisions that watchers behind may still need. */
export const RECENT_BYTES = 4 * 1024 * 1024;

/** Revisions that may wait for dispatch before `notify` dispatches at once, which slows the writers down. */
export const UNDISPATCHED_BYTES = 16 * 1024 * 1024;

/** Amount of history that one read brings. */
export const HISTORY_READ_BYTES = 128 * 1024;

/** Watchers served from one slice of history before others get their turn. */
export const WATCHERS_PER_SLICE = 512;

/** Revisions in one response. */
export const REVISIONS_PER_RESPONSE = 1000;

/** Steps of a loop between two looks at the clock. */
export const CATCH_UP_STEPS_PER_LOOK = 16;
