import { mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import sonicBoom from 'sonic-boom';
import type { SonicBoom } from 'sonic-boom';
import { StartupError } from '../flags/startup-error.js';

/** Receiver of finished lines. */
export interface LogSink {
  write(line: string): void;
  /** Writes at once, behind everything that waits. Throws: Error when the system refuses. */
  writeSync(line: string): void;
  /** Blocks until everything written so far has left the process. */
  flushSync(): void;
  /** Opens a file anew under its name; does nothing for others. Throws: StartupError. */
  reopen(): void;
}

/** Lines waiting for a stuck reader of the log are dropped beyond this, so that it cannot stop the member. */
const BACKLOG_MAX_BYTES = 4 * 1024 * 1024;

/** A pipe whose reader is slow is tried again so often, with such pauses. */
const FULL_PIPE_TRIES = 100;
const FULL_PIPE_PAUSE_MS = 5;

/** Writes a whole line to a descriptor, which may be a full pipe. Throws: Error when the system refuses. */
export function writeLineSync(fd: number, line: string): void {
  let rest = Buffer.from(line);
  for (let tries = 1; rest.length > 0; tries++) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const isFull = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
      if (!isFull || tries === FULL_PIPE_TRIES) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_PAUSE_MS);
    }
  }
}

/** Opens stdout, stderr, default (stderr) or a file. Throws: StartupError. */
export function openSink(output: string, format: 'auto' | 'json' | 'console'): LogSink {
  const fd = output === 'stdout' ? 1 : output === 'stderr' || output === 'default' ? 2 : undefined;
  const isTerminal = fd === 1 ? process.stdout.isTTY : fd === 2 ? process.stderr.isTTY : false;
  const isConsole = format === 'console' || (format === 'auto' && isTerminal);
  const sink = new DescriptorSink(fd ?? openLogFile(output), isTerminal, fd ?? output);
  return isConsole ? consoleSink(sink, isTerminal && process.env['NO_COLOR'] === undefined) : sink;
}

/** Writes in the background, one write at a time; on a terminal at once. */
class DescriptorSink implements LogSink {
  private destination: SonicBoom;
  private fd: number;
  private readonly isTerminal: boolean;
  /** A descriptor that stays, or the name of a file. */
  private readonly target: number | string;

  constructor(fd: number, isTerminal: boolean, target: number | string) {
    this.isTerminal = isTerminal;
    this.target = target;
    this.fd = fd;
    this.destination = this.open(fd);
  }

  write(line: string): void {
    this.destination.write(line);
  }

  writeSync(line: string): void {
    this.destination.flushSync();
    writeLineSync(this.fd, line);
  }

  flushSync(): void {
    this.destination.flushSync();
  }

  reopen(): void {
    if (typeof this.target === 'number') return;
    const old = this.destination;
    this.fd = openLogFile(this.target);
    this.destination = this.open(this.fd);
    old.end();
  }

  private open(fd: number): SonicBoom {
    const destination = new sonicBoom.SonicBoom({
      fd,
      sync: this.isTerminal,
      maxLength: BACKLOG_MAX_BYTES,
    });
    // A closed pipe or a full disk under the log must not stop the member; the lines are tried again with the next one.
    destination.on('error', () => undefined);
    return destination;
  }
}

function openLogFile(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true });
    return openSync(path, 'a', 0o600);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StartupError(
      `the log file ${path} cannot be opened: ${reason}`,
      'check --log-outputs',
      { cause },
    );
  }
}

/** A sink that turns JSON lines into lines for people before it passes them on. */
export function consoleSink(target: LogSink, isColoured: boolean): LogSink {
  return {
    write(line) {
      target.write(consoleLine(line, isColoured));
    },
    writeSync(line) {
      target.writeSync(consoleLine(line, isColoured));
    },
    flushSync() {
      target.flushSync();
    },
    reopen() {
      target.reopen();
    },
  };
}

const COLOURS: Readonly<Record<string, string>> = {
  debug: '\u001b[2m',
  info: '\u001b[36m',
  warn: '\u001b[33m',
  error: '\u001b[31m',
  panic: '\u001b[31m',
  fatal: '\u001b[31m',
};
const DIM = '\u001b[2m';
const RESET = '\u001b[0m';

/** `10:15:02.123 INFO  message  name=value`. */
function consoleLine(line: string, isColoured: boolean): string {
  const entry = JSON.parse(line) as Record<string, unknown>;
  const { level, ts, msg, ...fields } = entry;
  const time = typeof ts === 'string' ? ts.slice(11, 23) : '';
  const label = String(level);
  const parts = Object.entries(fields)
    .filter(([name]) => name !== 'caller')
    .map(([name, value]) => `${name}=${fieldText(value)}`);
  const tail = parts.length === 0 ? '' : `  ${parts.join(' ')}`;
  const head = label.toUpperCase().padEnd(5);
  if (!isColoured) return `${time} ${head} ${String(msg)}${tail}\n`;
  const colour = COLOURS[label] ?? '';
  return `${DIM}${time}${RESET} ${colour}${head}${RESET} ${String(msg)}${DIM}${tail}${RESET}\n`;
}

function fieldText(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
