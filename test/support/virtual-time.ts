import type { ClusterEnv, ClusterTimer } from '../../src/cluster/env.js';
import { seededU32 } from './memory-env.js';

/** Turns of the event loop that must pass with nothing to run before the clock may move. */
const QUIET_TURNS = 2;
/** Turns after which work that never ends is taken for a livelock. */
const MAX_TURNS = 100_000;
/** Timers that may come due at one moment; beyond it something re-arms itself without delay. */
const MAX_TIMERS_AT_ONCE = 100_000;
const DEFAULT_LIMIT_MS = 24 * 3600 * 1000;
const START_WALL_MS = Date.UTC(2026, 0, 1);

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/**
 * A clock for tests: it moves to the next timer only when nothing else can run. Promises,
 * `setImmediate` and file operations count as running; sockets and processes are not seen, so code
 * that uses them does not belong on this clock.
 *
 * The clock stands still unless one of `run`, `runUntil`, `advance` or `settle` is awaited.
 */
export class VirtualTime implements ClusterEnv {
  readonly randomU32: () => number;
  readonly #startWallMs: number;
  #nowMs = 0;
  readonly #timers: Timer[] = [];

  constructor(seed = 1, startWallMs = START_WALL_MS) {
    this.randomU32 = seededU32(seed);
    this.#startWallMs = startWallMs;
  }

  monoMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#startWallMs + this.#nowMs;
  }

  after(delayMs: number, callback: () => void): ClusterTimer {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), callback };
    // Timers of one moment run in the order in which they were set.
    let at = this.#timers.length;
    while (at > 0 && (this.#timers[at - 1]?.dueMs ?? 0) > timer.dueMs) at -= 1;
    this.#timers.splice(at, 0, timer);
    return {
      cancel: () => {
        const index = this.#timers.indexOf(timer);
        if (index !== -1) this.#timers.splice(index, 1);
      },
    };
  }

  /** Timers that are set. */
  get pendingTimers(): number {
    return this.#timers.length;
  }

  /** Lets everything run that can, timers of this very moment included; the clock stays. */
  async settle(): Promise<void> {
    for (let ran = 0; ran < MAX_TIMERS_AT_ONCE; ran += 1) {
      await nothingRuns();
      if (!this.#runNext(this.#nowMs)) return;
    }
    throw new Error('timers without delay set one another for ever');
  }

  /** Moves the clock by `durationMs` in steps from timer to timer. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await this.settle();
    while (this.#runNext(endMs)) await this.settle();
    this.#nowMs = endMs;
  }

  /**
   * Moves the clock from timer to timer until `condition` holds. Throws when no timer is left, and
   * beyond `limitMs` of virtual time.
   */
  async runUntil(
    condition: () => boolean | Promise<boolean>,
    limitMs = DEFAULT_LIMIT_MS,
  ): Promise<void> {
    const endMs = this.#nowMs + limitMs;
    for (;;) {
      await this.settle();
      if (await condition()) return;
      if (this.#runNext(endMs)) continue;
      const why = this.#timers.length === 0 ? 'no timer is set' : `not within ${limitMs} ms`;
      throw new Error(`${why}: ${condition.toString()}`);
    }
  }

  /** The outcome of `work`, with as much time as it takes. */
  async run<T>(work: Promise<T>, limitMs = DEFAULT_LIMIT_MS): Promise<T> {
    let isSettled = false;
    const end = (): void => {
      isSettled = true;
    };
    work.then(end, end);
    await this.runUntil(() => isSettled, limitMs);
    return work;
  }

  #runNext(endMs: number): boolean {
    const next = this.#timers[0];
    if (next === undefined || next.dueMs > endMs) return false;
    this.#timers.shift();
    this.#nowMs = Math.max(this.#nowMs, next.dueMs);
    next.callback();
    return true;
  }
}

async function nothingRuns(): Promise<void> {
  let quiet = 0;
  let turns = 0;
  while (turns < MAX_TURNS) {
    await new Promise((resolve) => setImmediate(resolve));
    const active = process.getActiveResourcesInfo();
    const waitsForDisk = active.some(isDisk);
    quiet = waitsForDisk || active.some(isWork) ? 0 : quiet + 1;
    if (quiet === QUIET_TURNS) return;
    // A disk may be slow for as long as others use it: that is no livelock.
    if (!waitsForDisk) turns += 1;
  }
  throw new Error(`still busy after ${MAX_TURNS} turns of the event loop`);
}

function isWork(resource: string): boolean {
  return resource === 'Immediate' || resource === 'CloseReq';
}

function isDisk(resource: string): boolean {
  return resource.startsWith('FSReq');
}
