import type { Disk, Env, Timer } from '../../src/base/env/env.js';

/** The stop of the process, as a test sees it. */
export class Fatal extends Error {}

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/**
 * An environment without real time: callbacks run one by one at the test's call, in a fixed order.
 */
export class SteppedEnv implements Env {
  private nowMs = 0;
  private order = 0;
  private queue: Entry[] = [];
  private state: number;
  readonly clock = { monoMs: (): number => this.nowMs, wallMs: (): number => this.nowMs };

  constructor(seed: number) {
    this.state = seed | 1;
  }

  get disk(): Disk {
    throw new Error('the store uses no disk');
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry = { atMs: this.nowMs + delayMs, order: this.order++, callback };
    this.queue.push(entry);
    return { cancel: () => (this.queue = this.queue.filter((other) => other !== entry)) };
  }

  defer(callback: () => void): void {
    this.after(0, callback);
  }

  randomU32(): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return this.state;
  }

  fatal(what: string, _next: string, cause?: unknown): never {
    throw new Fatal(what, { cause });
  }

  /** Runs the next callback; false when there is none. */
  step(): boolean {
    let next: Entry | undefined;
    for (const entry of this.queue) {
      if (
        next === undefined ||
        entry.atMs < next.atMs ||
        (entry.atMs === next.atMs && entry.order < next.order)
      ) {
        next = entry;
      }
    }
    if (next === undefined) return false;
    this.queue.splice(this.queue.indexOf(next), 1);
    this.nowMs = Math.max(this.nowMs, next.atMs);
    next.callback();
    return true;
  }

  /** Runs everything, including what it schedules. */
  settle(): void {
    while (this.step());
  }

  /** Forgets everything scheduled: the process died. */
  drop(): void {
    this.queue = [];
  }

  /** Starts `work` and runs until it called back; returns what it was given. */
  wait<T>(work: (done: (error: Error | null | string, result: T) => void) => void): T {
    let outcome: { readonly result: T } | undefined;
    work((error, result) => {
      if (error !== null) throw error instanceof Error ? error : new Error(error);
      outcome = { result };
    });
    while (outcome === undefined)
      if (!this.step()) throw new Error('nothing left to run, and no answer');
    return outcome.result;
  }
}
