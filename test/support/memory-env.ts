import type { Disk, Env } from '../../src/base/env/env.js';

/** Thrown in place of ending the process. */
export class FatalStop extends Error {
  override name = 'FatalStop';
  readonly next: string;

  constructor(what: string, next: string, cause: unknown) {
    super(what, { cause });
    this.next = next;
  }
}

/** Small fast generator with a 32-bit state (xorshift), for tests that print and take a seed. */
export function seededU32(seed: number): () => number {
  let state = Math.max(1, (seed ^ 0x9e3779b9) >>> 0);
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** An environment on `disk` whose randomness is seeded and whose `fatal` throws FatalStop. */
export function memoryEnv(disk: Disk, seed = 1, onFatal?: (stop: FatalStop) => void): Env {
  const clock = { monoMs: (): number => performance.now(), wallMs: (): number => 0 };
  return {
    clock,
    disk,
    after(delayMs, callback) {
      const handle = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(handle) };
    },
    defer: (callback) => void setImmediate(callback),
    randomU32: seededU32(seed),
    fatal(what, next, cause): never {
      const stop = new FatalStop(what, next, cause);
      onFatal?.(stop);
      throw stop;
    },
  };
}
