/** Limits of the services, and of the times they wait. */

/** Keepalives of one stream that may wait for their answer before more are read. */
export const KEEP_ALIVES_WAITING = 256;

/** Requests of one watch stream that may wait for their turn before more are read. */
export const WATCH_REQUESTS_WAITING = 64;
/** Requests of a watch stream handled between two looks at the clock: each makes or ends a watcher. */
export const WATCH_REQUESTS_PER_LOOK = 4;

/** Room a transport leaves above the greatest request; a watch response may be as large as a message received. */
export const MESSAGE_OVERHEAD_BYTES = 512 * 1024;
/** Shortest time between two progress notifications of a watcher. */
export const MIN_PROGRESS_INTERVAL_MS = 100;

/**
 * Election timeouts without a leader after which a call that requires one (`hasleader: true`) is refused or ended. A
 * member of etcd still names its old leader for about the first of them.
 */
export const LEADERLESS_TIMEOUTS = { unary: 1, stream: 3 } as const;
