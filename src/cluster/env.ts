/**
 * The seam through which every component of the cluster has time and chance. Wall time may be used
 * as logic here (ages, expiries, lease times), unlike in the store. `systemClusterEnv` is the real
 * one (src/cluster/system-env.ts); tests run on virtual time, which advances only when nothing can
 * run (test/support/virtual-time.ts).
 */

export interface ClusterTimer {
  /** Prevents the callback; harmless when it ran already. */
  cancel(): void;
}

export interface ClusterEnv {
  /** Monotonic milliseconds, for delays and time-outs. */
  monoMs(): number;
  /** Milliseconds since the epoch. */
  wallMs(): number;
  /** Runs `callback` once after `delayMs`. */
  after(delayMs: number, callback: () => void): ClusterTimer;
  /** Uniform unsigned 32-bit integer. */
  randomU32(): number;
}

/** Resolves after `delayMs`, or at once when `signal` aborts; never rejects. */
export function sleep(env: ClusterEnv, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = env.after(delayMs, end);
    signal?.addEventListener('abort', end, { once: true });
  });
}

/** Uniform in [0, 1). */
export function randomFraction(env: ClusterEnv): number {
  return env.randomU32() / 2 ** 32;
}

/** `base` stretched by up to `factor` of itself, so that many clients do not act at once. */
export function jittered(env: ClusterEnv, baseMs: number, factor: number): number {
  return baseMs * (1 + randomFraction(env) * factor);
}
