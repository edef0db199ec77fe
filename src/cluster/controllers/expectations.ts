import type { ClusterEnv } from '../env.js';

/** Longest time that a change which never shows is waited for. */
const TIMEOUT_MS = 5 * 60_000;

interface Expected {
  creations: number;
  readonly deletions: Set<string>;
  readonly untilMs: number;
}

/**
 * Creations and deletions of which a controller has not seen the effect in its cache. As long as
 * some are outstanding, the cache is no ground to create or delete more. They only save wrong
 * work: a controller that starts anew has none, and its cache is fresh.
 */
export class Expectations {
  readonly #env: ClusterEnv;
  readonly #expected = new Map<string, Expected>();

  constructor(env: ClusterEnv) {
    this.#env = env;
  }

  /** Set before the first write; what fails must be marked as seen. */
  expect(key: string, creations: number, deletions: readonly string[] = []): void {
    const untilMs = this.#env.monoMs() + TIMEOUT_MS;
    this.#expected.set(key, { creations, deletions: new Set(deletions), untilMs });
  }

  /** As `expect`, in addition to what is outstanding. */
  expectMore(key: string, creations: number): void {
    const before = this.#expected.get(key);
    this.expect(key, Math.max(0, before?.creations ?? 0) + creations, [
      ...(before?.deletions ?? []),
    ]);
  }

  sawCreation(key: string): void {
    const expected = this.#expected.get(key);
    if (expected !== undefined) expected.creations -= 1;
  }

  sawDeletion(key: string, uid: string): void {
    this.#expected.get(key)?.deletions.delete(uid);
  }

  areMet(key: string): boolean {
    const expected = this.#expected.get(key);
    if (expected === undefined) return true;
    const isMet = expected.creations <= 0 && expected.deletions.size === 0;
    if (!isMet && this.#env.monoMs() < expected.untilMs) return false;
    this.#expected.delete(key);
    return true;
  }

  forget(key: string): void {
    this.#expected.delete(key);
  }
}
