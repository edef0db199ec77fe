/** Limits of the log that lies between markers and behind them, in memory and on disk. */

/** Bytes of applied entries after which a marker is set even if fewer than `snapshotCount` entries were applied. */
export const MARKER_LOG_BYTES = 64 * 1024 * 1024;
/** Bytes of entries that stay behind a marker for slow followers; a follower that lacks more gets a snapshot. */
export const KEPT_LOG_BYTES = 64 * 1024 * 1024;
/** Distance of the points at which the bytes applied so far are noted. */
export const MARK_BYTES = 4 * 1024 * 1024;
