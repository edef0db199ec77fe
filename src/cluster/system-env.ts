import { randomFillSync } from 'node:crypto';
import type { ClusterEnv } from './env.js';

const POOLED = 256;

/** The machine's clocks, timers and randomness. */
export function systemClusterEnv(): ClusterEnv {
  // Many at a time: each call of the operating system costs more than the number.
  const pool = new Uint32Array(POOLED);
  let used = POOLED;
  return {
    monoMs: () => performance.now(),
    wallMs: () => Date.now(),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    randomU32: () => {
      if (used === POOLED) {
        randomFillSync(pool);
        used = 0;
      }
      return pool[used++] ?? 0;
    },
  };
}
