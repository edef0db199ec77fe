import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

/** Shared by the check and test commands: running programs quietly, a few at a time. */

export const ROOT = resolve(import.meta.dirname, '..');

export interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  readonly output: string;
  readonly seconds: number;
}

/** Runs a program from node_modules/.bin or PATH and keeps what it prints. */
export function runProgram(
  name: string,
  command: string,
  args: readonly string[],
): Promise<Outcome> {
  const began = performance.now();
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: '1' },
    });
    const parts: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    child.stderr.on('data', (part: Buffer) => parts.push(part));
    const finish = (ok: boolean, extra: string): void => {
      const output = Buffer.concat(parts).toString() + extra;
      done({ name, ok, output, seconds: (performance.now() - began) / 1000 });
    };
    child.on('error', (error) => {
      finish(false, String(error));
    });
    child.on('close', (code, signal) => {
      finish(code === 0, signal === null ? '' : `\nended by ${signal}`);
    });
  });
}

/** Runs `jobs` in order, at most `width` at once; results keep the order of `jobs`. */
export async function runPool<T>(jobs: readonly (() => Promise<T>)[], width: number): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < jobs.length; i = next++) {
      const job = jobs[i];
      if (job !== undefined) results[i] = await job();
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}
