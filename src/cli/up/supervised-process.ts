import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { StartupError, findRefusal } from '../../base/flags/startup-error.js';
import type { Refusal } from '../../base/flags/startup-error.js';

export interface ProcessOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Standard output and error are appended to it. */
  readonly logFile: string;
  /** Called with each unexpected end, before the pause that precedes the next start. */
  readonly onExit: (exit: UnexpectedExit) => void;
  readonly onStart?: (pid: number) => void;
  /** Called with what the process sends. */
  readonly onMessage?: (message: unknown) => void;
}

export interface UnexpectedExit {
  /** `exit code 1`, `signal SIGKILL` or the reason why the program could not be started. */
  readonly how: string;
  /** Last lines of the log. */
  readonly lastLines: readonly string[];
  /** The refusal to start that the log ends with, if it does. */
  readonly refusal: Refusal | undefined;
  readonly restartInMs: number;
}

const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 10_000;
/** A process that lived this long has recovered: its next failure is a new one. */
const STABLE_MS = 30_000;
/** Longer than a graceful stop takes, leadership transfer included. */
const STOP_GRACE_MS = 8000;
const LAST_LINES = 8;

/** A child process that is started again, with growing pauses, whenever it ends by itself. */
export class SupervisedProcess {
  private readonly options: ProcessOptions;
  private child: ChildProcess | undefined;
  private restart: NodeJS.Timeout | undefined;
  private backoffMs = BACKOFF_FIRST_MS;
  private startedMs = 0;
  private isStopping = false;

  constructor(options: ProcessOptions) {
    this.options = options;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  start(): void {
    const { command, args, env, logFile } = this.options;
    const log = openSync(logFile, 'a', 0o600);
    // A process group of its own: Ctrl-C in a terminal must reach this program alone, which then stops its children
    // one by one. The channel's end shows the child that this program is gone.
    const child = spawn(command, args, {
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
      env: { ...env },
    });
    closeSync(log);
    this.child = child;
    this.startedMs = performance.now();
    child.once('error', (error) => this.ended(child, error.message));
    child.once('exit', (code, signal) => {
      this.ended(child, signal === null ? `exit code ${code ?? 0}` : `signal ${signal}`);
    });
    child.on('message', (message) => this.options.onMessage?.(message));
    if (child.pid !== undefined) this.options.onStart?.(child.pid);
  }

  /** Gives the connection away to the process, or closes it when there is none. */
  pass(message: object, connection: Socket): void {
    const { child } = this;
    if (child?.connected !== true) {
      connection.destroy();
      return;
    }
    child.send(message, connection, {}, (error) => {
      if (error !== null) connection.destroy();
    });
  }

  /** Ends the process, gracefully if it can, and never starts it again. */
  stop(): Promise<void> {
    this.isStopping = true;
    clearTimeout(this.restart);
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
      child.once('exit', () => {
        clearTimeout(timer);
        resolve();
      });
      child.kill('SIGTERM');
    });
  }

  /** Ends the process at once. */
  kill(): void {
    this.isStopping = true;
    clearTimeout(this.restart);
    this.child?.kill('SIGKILL');
  }

  private ended(child: ChildProcess, how: string): void {
    if (this.isStopping || this.child !== child) return;
    this.child = undefined;
    if (performance.now() - this.startedMs >= STABLE_MS) this.backoffMs = BACKOFF_FIRST_MS;
    const restartInMs = this.backoffMs;
    this.backoffMs = Math.min(2 * this.backoffMs, BACKOFF_MAX_MS);
    this.restart = setTimeout(() => this.start(), restartInMs);
    const lastLines = tail(this.options.logFile);
    this.options.onExit({ how, lastLines, refusal: findRefusal(lastLines), restartInMs });
  }
}

function tail(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-LAST_LINES);
  } catch {
    // The log is only quoted for convenience.
    return [];
  }
}

/**
 * Error for a process that ended before it was ready: its own refusal if it gave one, else the end
 * of its log. `isLost`: the log is about to be removed.
 */
export function startFailure(
  name: string,
  exit: UnexpectedExit,
  logFile: string,
  isLost: boolean,
): StartupError {
  const where = `see ${logFile}${isLost ? ' (add --keep to have it kept)' : ''}`;
  const { refusal } = exit;
  if (refusal !== undefined) {
    return new StartupError(
      `${name} cannot start: ${refusal.message}`,
      `${refusal.nextStep}; ${where}`,
    );
  }
  const lines = exit.lastLines.map((line) => `    ${line}\n`).join('');
  return new StartupError(
    `${name} ended before it served (${exit.how}); its last words:\n${lines}`,
    where,
  );
}
