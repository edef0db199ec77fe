import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { KeepAliveTask, StreamReport, WatchTask } from './stream-worker.js';

/** A running stream worker. */
export interface StreamRun {
  /** What it saw at its end. */
  readonly report: Promise<StreamReport>;
  /** Ends the process. */
  close(): void;
}

/** Resolves when all streams are set up; `maxMs` bounds set-up and the whole run. */
export function startStreams(task: WatchTask | KeepAliveTask, maxMs: number): Promise<StreamRun> {
  const child = fork(join(import.meta.dirname, 'stream-worker.ts'), [], {
    execArgv: ['--import', 'tsx', '--max-semi-space-size=32'],
  });
  return new Promise((resolve, reject) => {
    let finish: (report: StreamReport) => void = () => undefined;
    let fail: (error: Error) => void = reject;
    const timer = setTimeout(() => {
      fail(new Error(`not done within ${String(maxMs / 1000)} s`));
      child.kill();
    }, maxMs);
    child.on('message', (message: string | StreamReport) => {
      if (message === 'ready') {
        const report = new Promise<StreamReport>((done, failed) => {
          finish = done;
          fail = failed;
        });
        // Whoever awaits the report sees the error; until then it must not end the process.
        report.catch(() => undefined);
        resolve({ report, close: () => child.kill() });
      } else if (typeof message === 'string') {
        fail(new Error(message));
      } else {
        finish(message);
      }
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      fail(new Error(`stream worker ended early (${signal ?? `code ${String(code)}`})`));
    });
    child.send(task);
  });
}
