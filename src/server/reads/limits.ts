/** Limits of reads: memory an answer takes, and work between two looks at the clock. */

/** Longest reply held in memory as a whole; a longer one is read while the transport drains it. */
export const WHOLE_BYTES = 4 * 1024 * 1024;
/** Size of the parts of a longer one. */
export const PART_BYTES = 64 * 1024;

/** Rows of a transaction that are read within the turn that applies it, and their bytes; the others are read later. */
export const INLINE_ROWS = 8;
export const INLINE_BYTES = 64 * 1024;

/** Rows fetched from the index at once. */
export const CHUNK_ROWS = 256;
/** Rows walked in the index between two looks at the clock. */
export const INDEX_ROWS = 64;
/** Leaves of the index walked for a chunk of rows: at an old revision most of their keys may be absent. */
export const LIST_LEAVES = 32;
/** Leaves of the index whose keys are counted between two looks. */
export const COUNT_LEAVES = 32;
/** Rows read, and their bytes, between two looks: a row may have to come from the disk, and the code may be cold. */
export const READ_ROWS = 4;
export const READ_BYTES = 256 * 1024;

/** Keys in the first message of a RangeStream; later ones adapt to the size of the rows. */
export const FIRST_CHUNK_KEYS = 10;
/** Most keys in a message, however small they are: it is held in memory as a whole. */
export const MAX_CHUNK_KEYS = 1024;
