/** A small seeded generator (mulberry32), so that every failing run can be repeated from its number. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  u32(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** Uniform in [0, n). */
  below(n: number): number {
    return n <= 1 ? 0 : Math.floor((this.u32() / 2 ** 32) * n);
  }

  /** True in `permille` of 1000 calls. */
  chance(permille: number): boolean {
    return this.below(1000) < permille;
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)];
  }
}

/** Seeds to run: SEED alone when it is set, else `count` from `first`. */
export function seeds(first: number, count: number): number[] {
  const given = process.env['SEED'];
  if (given !== undefined && given !== '') return [Number(given)];
  return Array.from({ length: count }, (_, i) => first + i);
}
