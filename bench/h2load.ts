import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodePutResponse } from '../src/gen/rpc.js';
import { ProgramMeter, type Busy } from './busy.js';
import { PATH } from './operations.js';
import { callOnce } from './wire/unary.js';

/**
 * Runs h2load, the independent judge: one request body for all requests, HTTP status as its only idea of success.
 * The answers are checked around it: by one call before, and by the revision after puts.
 */

const PROGRAM = 'h2load';

export interface H2loadPlan {
  readonly port: number;
  readonly path: string;
  readonly body: Uint8Array;
  readonly connections: number;
  readonly inFlight: number;
  readonly durationMs: number;
  readonly warmupMs: number;
  /** Directory for the body file. */
  readonly dir: string;
}

export async function runH2load(plan: H2loadPlan): Promise<{ perSecond: number; busy: Busy }> {
  const before = await callOnce(plan.port, plan.path, plan.body);
  const file = join(plan.dir, 'h2load-body');
  const framed = Buffer.alloc(5 + plan.body.length);
  framed.writeUInt32BE(plan.body.length, 1);
  framed.set(plan.body, 5);
  writeFileSync(file, framed);
  const args = [
    ['-c', String(plan.connections)],
    ['-m', String(plan.inFlight)],
    ['-t', '1'],
    ['-D', milliseconds(plan.durationMs)],
    ['--warm-up-time', milliseconds(plan.warmupMs)],
    ['-d', file],
    ['-H', 'te: trailers'],
    ['-H', 'content-type: application/grpc'],
    [`http://127.0.0.1:${String(plan.port)}${plan.path}`],
  ].flat();
  const { output, busy } = await runMetered(args);
  rmSync(file);
  const { perSecond, succeeded } = parseH2load(output);
  if (plan.path === PATH.put) {
    const after = await callOnce(plan.port, plan.path, plan.body);
    const made = revisionOf(after) - revisionOf(before);
    if (made < succeeded)
      throw new Error(
        `h2load counted ${String(succeeded)} puts, the server made ${String(made)} revisions`,
      );
  }
  return { perSecond, busy };
}

function runMetered(args: readonly string[]): Promise<{ output: string; busy: Busy }> {
  return new Promise((resolve, reject) => {
    const child = execFile(PROGRAM, args, { maxBuffer: 16 * 1024 * 1024 }, (error, stdout) => {
      const busy = meter.stop();
      if (error === null) resolve({ output: stdout, busy });
      else reject(new Error(`h2load: ${error.message}`, { cause: error }));
    });
    const meter = new ProgramMeter(child.pid ?? 0);
  });
}

/** Throws: when a request failed, or the output is not as expected. */
export function parseH2load(text: string): { perSecond: number; succeeded: number } {
  const perSecond = /finished in [\d.]+\w*s, ([\d.]+) req\/s/.exec(text)?.[1];
  const counts = /(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(text);
  if (perSecond === undefined || counts === null) throw new Error(`h2load said:\n${text}`);
  const [, succeeded, failed, errored, timeout] = counts.map(Number);
  if (succeeded === 0 || failed !== 0 || errored !== 0 || timeout !== 0)
    throw new Error(`h2load: ${counts[0]}`);
  return { perSecond: Number(perSecond), succeeded: succeeded ?? 0 };
}

function revisionOf(answer: Uint8Array): number {
  return decodePutResponse(answer).header?.revision ?? 0;
}

function milliseconds(ms: number): string {
  return `${String(ms)}ms`;
}
