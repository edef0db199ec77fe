/**
 * A key: a latin1 string, one character per byte. String order is then byte order, and keys cost little memory.
 */
export type Key = string;

/** Half-open key interval [start, end); `end` null means "no upper bound". */
export interface Interval {
  readonly start: Key;
  readonly end: Key | null;
}
