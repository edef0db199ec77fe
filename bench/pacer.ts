import { Worker } from 'node:worker_threads';

/**
 * Signals when the requests of a fixed rate are due, to about a tenth of a millisecond.
 *
 * The event loop's own timers come one to two milliseconds late, longer than a request takes. They
 * would be most of every high percentile. So a thread of its own sleeps until each moment and wakes
 * the sender. Used by load-worker.ts.
 */

interface Schedule {
  /** On `sharedNowMs`. */
  readonly startMs: number;
  readonly intervalMs: number;
}

/** Milliseconds on a clock that all threads of the process share. */
export function sharedNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class Pacer {
  private readonly thread: Worker;

  /** Calls `onDue` soon after each moment `startMs` + n x `intervalMs` until `stop`. */
  constructor(schedule: Schedule, onDue: () => void) {
    this.thread = new Worker(new URL('pacer-thread.js', import.meta.url), { workerData: schedule });
    this.thread.on('message', onDue);
  }

  stop(): void {
    void this.thread.terminate();
  }
}
