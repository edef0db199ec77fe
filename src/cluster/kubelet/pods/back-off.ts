import type { ClusterEnv } from '../../env.js';

const INITIAL_MS = 10_000;
const MAX_MS = 300_000;
/** Without a failure for so long, the next one counts as the first. */
const FORGET_MS = 2 * MAX_MS;

interface Entry {
  delayMs: number;
  lastMs: number;
}

/** Delays of what fails again and again: 10 s, 20 s, ... 5 minutes, for each key of its own. */
export class BackOff {
  readonly #env: ClusterEnv;
  readonly #entries = new Map<string, Entry>();

  constructor(env: ClusterEnv) {
    this.#env = env;
  }

  /** Milliseconds left to wait, when the last failure was at wall time `sinceMs`. */
  remainingMs(key: string, sinceMs: number): number {
    const entry = this.#entries.get(key);
    if (entry === undefined || sinceMs - entry.lastMs > FORGET_MS) return 0;
    return Math.max(0, sinceMs + entry.delayMs - this.#env.wallMs());
  }

  /** The delay that is in force. */
  delayMs(key: string): number {
    return this.#entries.get(key)?.delayMs ?? 0;
  }

  /** Notes one more attempt after a failure at wall time `sinceMs`. */
  next(key: string, sinceMs: number): void {
    const nowMs = this.#env.wallMs();
    const entry = this.#entries.get(key);
    if (entry === undefined || sinceMs - entry.lastMs > FORGET_MS) {
      this.#entries.set(key, { delayMs: INITIAL_MS, lastMs: nowMs });
      return;
    }
    entry.delayMs = Math.min(MAX_MS, entry.delayMs * 2);
    entry.lastMs = nowMs;
  }

  /** Wall time in milliseconds of the last attempt noted; 0 if none was. */
  lastMs(key: string): number {
    return this.#entries.get(key)?.lastMs ?? 0;
  }

  /** Forgets all keys that begin with `prefix`. */
  forget(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#entries.delete(key);
  }
}
