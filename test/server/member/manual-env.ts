import type { Disk, Env, Timer } from '../../../src/base/env/env.js';

interface Entry {
  readonly atMs: number;
  readonly callback: () => void;
}

/** The end of the process, as a test sees it. */
export class Fatal extends Error {
  override name = 'Fatal';
}

/** An environment whose time stands still until the test moves it; callbacks run in order of time, then of arrival. */
export class ManualEnv implements Env {
  nowMs = 0;
  private queue: Entry[] = [];
  private readonly diskOf: Disk | undefined;
  private state: number;
  readonly clock = { monoMs: (): number => this.nowMs, wallMs: (): number => this.nowMs };

  constructor(disk?: Disk, seed = 7) {
    this.diskOf = disk;
    this.state = seed | 1;
  }

  get disk(): Disk {
    if (this.diskOf === undefined) throw new Error('no disk here');
    return this.diskOf;
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry = { atMs: this.nowMs + delayMs, callback };
    this.queue.push(entry);
    return { cancel: () => (this.queue = this.queue.filter((other) => other !== entry)) };
  }

  defer(callback: () => void): void {
    this.queue.push({ atMs: this.nowMs, callback });
  }

  randomU32(): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return this.state;
  }

  fatal(what: string, _next: string, cause?: unknown): never {
    throw new Fatal(what, { cause });
  }

  get waiting(): number {
    return this.queue.length;
  }

  /** Runs the next callback that is due by now; false when there is none. */
  step(): boolean {
    const next = this.nextBy(this.nowMs);
    if (next === undefined) return false;
    this.run(next);
    return true;
  }

  /** Runs what is due now, including what that makes due now. */
  settle(): void {
    while (this.step());
  }

  /** Moves time forward, running everything that falls due on the way at its own time. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const next = this.nextBy(untilMs);
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.run(next);
    }
    this.nowMs = untilMs;
  }

  /** Time passes while nothing can run, as in a stopped process. */
  sleep(ms: number): void {
    this.nowMs += ms;
  }

  private nextBy(untilMs: number): Entry | undefined {
    let next: Entry | undefined;
    for (const entry of this.queue) {
      if (entry.atMs <= untilMs && (next === undefined || entry.atMs < next.atMs)) next = entry;
    }
    return next;
  }

  private run(entry: Entry): void {
    this.queue.splice(this.queue.indexOf(entry), 1);
    entry.callback();
  }
}
