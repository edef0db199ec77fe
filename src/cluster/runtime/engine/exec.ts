/** Commands in running containers (`runc exec`), with and without a terminal. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { sleep, type ClusterEnv, type ClusterTimer } from '../../env.js';
import { codeOfEnd, collect } from '../child-end.js';
import { run } from '../command.js';
import { markOf, signal } from '../processes.js';
import { RuntimeError, type ExecResult, type Session, type SessionOptions } from '../runtime.js';
import { quote } from '../shell-quote.js';
import { readText } from '../state-files.js';
import { runcWords, type Runc } from './runc.js';

const SIGKILL = 9;
/** While the terminal's process has not started, its size cannot be set. */
const RESIZE_TRIES = 50;
const RESIZE_RETRY_MS = 20;
const PID_WITHIN_MS = 5000;
const PID_POLL_MS = 5;

export interface ExecTools {
  readonly runc: Runc;
  /** util-linux' script: it makes the terminal, which Node.js cannot. */
  readonly script: string | undefined;
  readonly env: ClusterEnv;
}

export class Execs {
  private readonly tools: ExecTools;
  private next = 0;

  constructor(tools: ExecTools) {
    this.tools = tools;
  }

  /** `bundle` is the container's directory. Rejects with RuntimeError DeadlineExceeded or Internal. */
  async sync(
    id: string,
    bundle: string,
    command: readonly string[],
    timeoutMs: number,
  ): Promise<ExecResult> {
    const call = this.call(id, bundle, command);
    const child = spawn(call.program, call.args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    let isLate = false;
    let timer: ClusterTimer | undefined;
    if (timeoutMs > 0) {
      timer = this.tools.env.after(timeoutMs, () => {
        isLate = true;
        void call.kill(child);
      });
    }
    try {
      const exitCode = await codeOfEnd(child, 'close');
      if (isLate) {
        throw new RuntimeError(
          'DeadlineExceeded',
          `command ${JSON.stringify(command)} timed out: timeout ${timeoutMs / 1000}s exceeded`,
        );
      }
      await call.throwIfNotRun();
      return { stdout: stdout(), stderr: stderr(), exitCode };
    } finally {
      timer?.cancel();
      await call.cleanUp();
    }
  }

  /** Rejects with RuntimeError Unimplemented for a terminal where the node has no program for it. */
  open(id: string, bundle: string, command: readonly string[], options: SessionOptions): Session {
    return options.tty
      ? this.openTerminal(id, bundle, command, options)
      : this.openPipes(id, bundle, command, options);
  }

  private openPipes(
    id: string,
    bundle: string,
    command: readonly string[],
    options: SessionOptions,
  ): Session {
    const call = this.call(id, bundle, command);
    const child = spawn(call.program, call.args, {
      stdio: [options.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    ignoreBrokenPipe(child.stdin);
    const ended = codeOfEnd(child, 'exit');
    void ended.finally(() => call.cleanUp()).catch(() => undefined);
    return {
      stdin: child.stdin ?? undefined,
      stdout: readable(child.stdout),
      stderr: readable(child.stderr),
      resize: () => undefined,
      ended,
      close: () => void call.kill(child),
    };
  }

  private openTerminal(
    id: string,
    bundle: string,
    command: readonly string[],
    options: SessionOptions,
  ): Session {
    const { script, env } = this.tools;
    if (script === undefined) {
      throw new RuntimeError(
        'Unimplemented',
        'exec with a terminal needs the program script on the node (Debian package bsdutils)',
      );
    }
    const call = this.call(id, bundle, command, ['--tty']);
    const line = [call.program, ...call.args].map(quote).join(' ');
    // Its input stays open without a client's: at its end script sends the terminal an end of file.
    const child = spawn(script, ['-qefc', line, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, SHELL: '/bin/sh', TERM: 'xterm' },
    });
    ignoreBrokenPipe(child.stdin);
    const ended = codeOfEnd(child, 'exit');
    void ended.finally(() => call.cleanUp()).catch(() => undefined);
    return {
      stdin: options.stdin ? child.stdin : undefined,
      stdout: child.stdout,
      stderr: undefined,
      resize: ({ width, height }) => resize(child, width, height, env, RESIZE_TRIES),
      ended,
      close: () => void call.kill(child),
    };
  }

  private call(
    id: string,
    bundle: string,
    command: readonly string[],
    flags: readonly string[] = [],
  ): ExecCall {
    if (command.length === 0) throw new RuntimeError('InvalidArgument', 'no command specified');
    return new ExecCall(this.tools, id, join(bundle, `exec-${this.next++}`), command, flags);
  }
}

/** One `runc exec`, with the files by which its process and its failure are known. */
class ExecCall {
  readonly program: string;
  readonly args: readonly string[];
  private readonly pidFile: string;
  private readonly logFile: string;
  private readonly env: ClusterEnv;

  constructor(
    { runc, env }: ExecTools,
    id: string,
    stem: string,
    command: readonly string[],
    flags: readonly string[],
  ) {
    this.program = runc.program;
    this.env = env;
    this.pidFile = `${stem}.pid`;
    this.logFile = `${stem}.log`;
    this.args = [
      ...runc.globalArgs,
      ...['--log', this.logFile, 'exec', ...flags, '--pid-file', this.pidFile, id],
      ...command,
    ];
  }

  /** Ends the process in the container too: it does not end with runc. */
  async kill(child: ChildProcess): Promise<void> {
    // runc writes the number after the process has begun to run.
    const limitMs = this.env.monoMs() + PID_WITHIN_MS;
    for (;;) {
      const pid = Number((await readText(this.pidFile)) ?? '');
      if (pid > 0) signal(markOf(pid), SIGKILL);
      const isOver = child.exitCode !== null || child.signalCode !== null;
      if (pid > 0 || isOver || this.env.monoMs() > limitMs) break;
      await sleep(this.env, PID_POLL_MS);
    }
    child.kill('SIGKILL');
  }

  /** Tells a command that could not be run from one that failed. */
  async throwIfNotRun(): Promise<void> {
    const log = (await readText(this.logFile)) ?? '';
    const failure = log.split('\n').findLast((line) => line.includes('level=error'));
    if (failure !== undefined) throw new RuntimeError('Internal', runcWords(failure));
  }

  async cleanUp(): Promise<void> {
    for (const path of [this.pidFile, this.logFile]) await rm(path, { force: true });
  }
}

/** The process may have closed its input; its exit code says the rest. */
function ignoreBrokenPipe(stream: Writable | null): void {
  stream?.on('error', () => undefined);
}

function readable(stream: Readable | null): Readable {
  if (stream === null) throw new RuntimeError('Internal', 'process has no output');
  return stream;
}

/** Sets the size of the terminal that `script` made; the kernel and runc pass it on. */
function resize(
  child: ChildProcess,
  width: number,
  height: number,
  env: ClusterEnv,
  tries: number,
): void {
  if (child.exitCode !== null || child.signalCode !== null || tries === 0) return;
  const terminal = terminalOf(child.pid);
  if (terminal === undefined) {
    env.after(RESIZE_RETRY_MS, () => resize(child, width, height, env, tries - 1));
    return;
  }
  void run('stty', ['-F', terminal, 'rows', String(height), 'cols', String(width)]).catch(
    () => undefined,
  );
}

function terminalOf(pid: number | undefined): string | undefined {
  try {
    const children = readFileSync(`/proc/${pid ?? 0}/task/${pid ?? 0}/children`, 'utf8');
    const first = children.trim().split(' ')[0] ?? '';
    const terminal = readlinkSync(`/proc/${first}/fd/0`);
    return terminal.startsWith('/dev/pts/') ? terminal : undefined;
  } catch {
    return undefined;
  }
}
