import { jittered, type ClusterEnv } from '../env.js';

export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Each delay is stretched by up to this part of itself. */
  readonly jitter: number;
}

/** Delays between attempts: each twice the one before, until an attempt succeeds. */
export class Backoff {
  readonly #env: ClusterEnv;
  readonly #limits: BackoffLimits;
  #nextMs: number;

  constructor(env: ClusterEnv, limits: BackoffLimits) {
    this.#env = env;
    this.#limits = limits;
    this.#nextMs = limits.firstMs;
  }

  /** Milliseconds to wait after one more failure. */
  next(): number {
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(this.#limits.maxMs, delayMs * 2);
    return jittered(this.#env, delayMs, this.#limits.jitter);
  }

  /** An attempt succeeded. */
  reset(): void {
    this.#nextMs = this.#limits.firstMs;
  }
}
