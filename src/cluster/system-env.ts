import { randomBytes } from 'node:crypto';
import type { ClusterEnv } from './env.js';

/** The machine's clocks, timers and randomness. */
export function systemClusterEnv(): ClusterEnv {
  return {
    monoMs: () => performance.now(),
    wallMs: () => Date.now(),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    randomU32: () => randomBytes(4).readUInt32LE(),
  };
}
