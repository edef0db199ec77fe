import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { KeepAliveTask, StreamReport, WatchOrder, WatchTask } from './stream-worker.js';

/** A running stream worker. */
export interface StreamRun {
  /**
   * Watchers only: sends the number of events of this phase; resolves with the report when they are
   * there.
   */
  expect(events: number): Promise<StreamReport>;
  /** Report at its end. */
  report(): Promise<StreamReport>;
  /** Ends the process. */
  close(): void;
}

/** Resolves when all streams are set up; `maxMs` bounds set-up and the whole run. */
export function startStreams(task: WatchTask | KeepAliveTask, maxMs: number): Promise<StreamRun> {
  const child = fork(join(import.meta.dirname, 'stream-worker.ts'), [], {
    execArgv: ['--import', 'tsx', '--max-semi-space-size=32'],
  });
  return new Promise((resolve, reject) => {
    let failure: Error | null = null;
    let waiting: { done: (report: StreamReport) => void; failed: (error: Error) => void } | null =
      null;
    const early: StreamReport[] = [];
    const fail = (error: Error): void => {
      failure ??= error;
      reject(failure);
      waiting?.failed(failure);
    };
    const report = (): Promise<StreamReport> =>
      new Promise((done, failed) => {
        const made = early.shift();
        if (failure !== null) failed(failure);
        else if (made !== undefined) done(made);
        else waiting = { done, failed };
      });
    const timer = setTimeout(() => {
      fail(new Error(`not done within ${String(maxMs / 1000)} s`));
      child.kill();
    }, maxMs);
    child.on('message', (message: string | StreamReport) => {
      if (message === 'ready') {
        const expect = (events: number): Promise<StreamReport> => {
          const order: WatchOrder = { expect: events };
          child.send(order);
          return report();
        };
        resolve({ expect, report, close: () => child.kill() });
      } else if (typeof message === 'string') {
        fail(new Error(message));
      } else if (waiting === null) {
        early.push(message);
      } else {
        const { done } = waiting;
        waiting = null;
        done(message);
      }
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      fail(new Error(`stream worker ended early (${signal ?? `code ${String(code)}`})`));
    });
    child.send(task);
  });
}
