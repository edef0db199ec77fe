/**
 * Sizes of the storage layer, in bytes unless the name says otherwise. Numbers that belong to a format on disk stand
 * with that format.
 */

/** Budget of the store's cache of recent rows. */
export const ROW_CACHE_BYTES = 32 << 20;
/** Budget of the cache of blocks read from the engine. */
export const BLOCK_CACHE_BYTES = 256 << 20;
/** Caches keep their bytes in slabs of this size, in smaller ones when the budget is small: it holds `SLABS_MIN`. */
export const SLAB_BYTES_MAX = 1 << 20;
export const SLABS_MIN = 16;
/** A block of more than this part of a slab holds few rows: reading it again costs little beside copying it out. */
export const LARGE_BLOCK_PART = 8;

/** A block of rows is closed when it has grown to this: about one block of the engine's own tables. */
export const ROW_BLOCK_BYTES = 4 << 10;
/** Counted per row on top of key and value, for the engine's own bookkeeping. */
export const ROW_OVERHEAD_BYTES = 32;
/** Rows, and blocks of rows, in one step of a scan: a few milliseconds of work. */
export const SCAN_ROWS = 1024;
export const SCAN_BLOCKS = 64;
/** Buffer of an import of rows from elsewhere. */
export const IMPORT_BUFFER_BYTES = 16 << 20;

/** Longest piece of an image that is sent to a follower. */
export const IMAGE_CHUNK_BYTES = 256 << 10;
/** Rows read at once for an image that is sent. */
export const IMAGE_READ_ROWS = 256;
/** Rows of a received image go to the engine in batches of about this size. */
export const IMAGE_BATCH_BYTES = 1 << 20;
/** No row of an image is near this; a larger length is damage. */
export const IMAGE_ROW_BYTES = 1 << 30;

/** LevelDB's memory table. */
export const LEVEL_WRITE_BUFFER_BYTES = 32 << 20;
/** The memory table is turned into a file here, well before LevelDB's own limit. */
export const LEVEL_ROTATE_BYTES = LEVEL_WRITE_BUFFER_BYTES / 2;
/** LevelDB's cost of an entry in the memory table besides key and value. */
export const LEVEL_ENTRY_BYTES = 48;
export const LEVEL_BLOCK_CACHE_BYTES = 16 << 20;
export const LEVEL_FILE_BYTES = 8 << 20;
/** Upper bound of the rows of one read-ahead step. */
export const LEVEL_READ_AHEAD_BYTES = 512 << 10;
/** Bytes of tables verified at once before LevelDB opens them: about a millisecond. */
export const CHECK_SLICE_BYTES = 2 << 20;
