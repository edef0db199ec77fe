import { spawn } from 'node:child_process';
import { RuntimeError } from './runtime.js';

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** 128 and the signal's number when a signal ended it. */
  readonly exitCode: number;
}

export interface CommandOptions {
  readonly input?: string;
  readonly cwd?: string;
}

/** Runs a program of the node to its end. Rejects with RuntimeError only when it cannot be run at all. */
export function run(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: options.cwd, stdio: 'pipe' });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
    // A program that does not read its input closes the pipe; its exit code says the rest.
    child.stdin.on('error', () => undefined);
    child.on('error', (error) =>
      reject(new RuntimeError('Internal', `cannot run ${program}: ${error.message}`)),
    );
    child.on('close', (code) =>
      resolve({
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
        exitCode: code ?? 128,
      }),
    );
    child.stdin.end(options.input ?? '');
  });
}

/** As `run`. Rejects with RuntimeError Internal and the program's own words when it fails. Returns standard output. */
export async function mustRun(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await run(program, args, options);
  if (result.exitCode === 0) return result.stdout;
  const words = result.stderr.trim() === '' ? `exit code ${result.exitCode}` : result.stderr.trim();
  const name = program.slice(program.lastIndexOf('/') + 1);
  throw new RuntimeError('Internal', `${name} ${args[0] ?? ''}: ${words}`);
}
