/**
 * Counts observations per bucket, in plain numbers, so that an observation costs a few nanoseconds.
 *
 * Invariant: `total` is the sum of `counts`.
 */
export class Histogram {
  /** Ascending upper bounds, inclusive; a last bucket without bound follows them. */
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  total = 0;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] ?? 0)) i++;
    counts[i] = (counts[i] ?? 0) + 1;
    this.total++;
    this.sum += value;
  }
}

/** `count` bounds, each twice the one before. */
export function doublingBounds(first: number, count: number): number[] {
  const bounds: number[] = [];
  for (let i = 0; i < count; i++) bounds.push(first * 2 ** i);
  return bounds;
}
