import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { busiest, type Busy } from './busy.js';
import { Histogram } from './histogram.js';
import type { WorkerReport, WorkerTask } from './load-worker.js';
import type { Operation } from './operations.js';

/** Drives one load from several processes with the same wire for every server, and adds up what they saw. */

/** Half the cores, so that the server under load keeps the other half. */
const WORKERS = Math.min(Math.max(Math.floor(availableParallelism() / 2), 1), 4);

export interface LoadPlan {
  readonly ports: readonly number[];
  readonly connections: number;
  /** Requests in flight per connection. */
  readonly inFlight: number;
  readonly operation: Operation;
  /** Requests per second over all workers; 0 or absent keeps `inFlight` requests going instead. */
  readonly rate?: number;
  readonly warmupMs?: number;
  readonly durationMs?: number;
  /** Ends after this many requests instead of after a time. */
  readonly requests?: number;
  readonly workers?: number;
  readonly seed?: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly done: number;
  readonly seconds: number;
  readonly receivedBytes: number;
  readonly latency: Histogram;
  /** Of the busiest load process. */
  readonly busy: Busy;
}

/**
 * Runs the load to its end.
 *
 * Throws: when any request was answered with an error, so that no number is made of failures.
 */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  const workers = Math.min(plan.workers ?? WORKERS, plan.connections);
  let connectionsGiven = 0;
  const running = Array.from({ length: workers }, (_, i) => {
    const connections = Math.floor((plan.connections * (i + 1)) / workers) - connectionsGiven;
    const firstSlot = connectionsGiven * plan.inFlight;
    connectionsGiven += connections;
    return startWorker({
      ports: plan.ports,
      connections,
      inFlight: plan.inFlight,
      operation: plan.operation,
      rate: (plan.rate ?? 0) / workers,
      warmupMs: plan.warmupMs ?? 500,
      durationMs: plan.durationMs ?? 2000,
      requests: Math.ceil((plan.requests ?? 0) / workers),
      firstSlot,
      index: i,
      workers,
      seed: plan.seed ?? 1,
    });
  });
  const started = await Promise.all(running);
  const reports = await Promise.all(started.map((worker) => worker.run()));
  return addUp(reports);
}

function addUp(reports: readonly WorkerReport[]): LoadResult {
  const latency = new Histogram();
  let done = 0;
  let perSecond = 0;
  let seconds = 0;
  let receivedBytes = 0;
  for (const report of reports) {
    if (report.errors.length > 0) {
      const list = report.errors.map(([text, n]) => `${String(n)} x ${text}`);
      throw new Error(`requests failed: ${list.join('; ')}`);
    }
    latency.merge(report.latency);
    done += report.done;
    perSecond += report.done / report.seconds;
    seconds = Math.max(seconds, report.seconds);
    receivedBytes += report.receivedBytes;
  }
  if (done === 0) throw new Error('no request was answered');
  const busy = busiest(reports.map((report) => report.busy));
  return { perSecond, done, seconds, receivedBytes, latency, busy };
}

interface Worker {
  run(): Promise<WorkerReport>;
}

/** Resolves when the worker's connections are open, so that all workers begin together. */
function startWorker(task: WorkerTask): Promise<Worker> {
  const child = fork(join(import.meta.dirname, 'load-worker.ts'), [], {
    execArgv: ['--import', 'tsx', '--max-semi-space-size=16'],
  });
  return new Promise((resolve, reject) => {
    let report: ((report: WorkerReport) => void) | null = null;
    let failed = reject;
    child.on('message', (message: string | WorkerReport) => {
      if (message === 'ready') {
        resolve({
          run: () =>
            new Promise((done, fail) => {
              report = done;
              failed = fail;
              child.send('run');
            }),
        });
      } else if (typeof message === 'string') {
        failed(new Error(message));
      } else {
        report?.(message);
      }
    });
    child.on('exit', (code, signal) => {
      failed(new Error(`load worker ended early (${signal ?? `code ${String(code)}`})`));
    });
    child.send(task);
  });
}
