/** Sizes and counts of the write-ahead log, in bytes unless a name differs. */

/**
 * Longest entry payload, for writers and readers. It bounds the length in a record and nothing
 * else: operators set the limits for new requests, and may lower them between two starts.
 */
export const MAX_ENTRY_BYTES = 512 * 1024 * 1024;
/** Size of a segment in a log that has grown. */
export const SEGMENT_BYTES = 64 * 1024 * 1024;

/** A log begins with a small segment and doubles up to the configured size, so that small deployments stay small. */
export const FIRST_SEGMENT_BYTES = 4 * 1024 * 1024;
/** A group commit takes no further batches beyond this, so that encoding it does not hold up the event loop. */
export const GROUP_BYTES = 4 * 1024 * 1024;
/** Segments that a release always leaves. */
export const KEPT_SEGMENTS = 2;

/** Read of a segment to identify its owner. */
export const HEADER_READ_BYTES = 4096;
/** The encoder's buffer at first, and again after a large batch. */
export const ENCODER_BYTES = 64 * 1024;
/** A buffer grown beyond this by one large batch is given back after it. */
export const ENCODER_RETAINED_BYTES = 8 * 1024 * 1024;
/** Payloads read at open are copied into slabs of this size; one longer than a quarter has memory of its own. */
export const SLAB_BYTES = 256 * 1024;
/** Wrong bits up to which the last bytes of a batch still count as its trailer. */
export const TRAILER_WRONG_BITS = 8;
