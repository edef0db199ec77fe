import type { ClusterEnv } from '../env.js';

export interface RateLimits {
  /** Delay of an item's first retry; each later one waits twice as long. */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  /** Shared by the retries of all items; none when left out. */
  readonly bucket?: BucketLimits;
}

export interface BucketLimits {
  readonly perSecond: number;
  readonly burst: number;
}

/** As client-go's DefaultTypedControllerRateLimiter (k8s.io/client-go/util/workqueue). */
export const DEFAULT_RATE_LIMITS: RateLimits = {
  baseDelayMs: 5,
  maxDelayMs: 1_000_000,
  bucket: { perSecond: 10, burst: 100 },
};

/** Tokens that come back at a steady rate, up to a burst; more may be taken ahead of time. */
export class TokenBucket {
  readonly #env: ClusterEnv;
  readonly #limits: BucketLimits;
  #tokens: number;
  #countedMs: number;

  constructor(env: ClusterEnv, limits: BucketLimits) {
    this.#env = env;
    this.#limits = limits;
    this.#tokens = limits.burst;
    this.#countedMs = env.monoMs();
  }

  /** Takes a token if there is one. */
  tryTake(): boolean {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes a token, if need be one of the future. Returns the milliseconds until it is there. */
  reserve(): number {
    this.#refill();
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#limits.perSecond) * 1000;
  }

  #refill(): void {
    const nowMs = this.#env.monoMs();
    const gained = ((nowMs - this.#countedMs) / 1000) * this.#limits.perSecond;
    this.#tokens = Math.min(this.#limits.burst, this.#tokens + gained);
    this.#countedMs = nowMs;
  }
}
