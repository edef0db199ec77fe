/**
 * The member's log: one JSON object a line with etcd's field names (level, ts, msg, fields), so that existing
 * log pipelines understand it; on a terminal, short lines for people. Ids (bigint) are written as hexadecimal
 * text, as etcd writes them; errors as their message.
 */
import { mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import pino from 'pino';
import { StartupError } from '../flags/startup-error.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'panic' | 'fatal';

export interface Logger {
  readonly level: LogLevel;
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  /** For the last message of a process that must stop; it does not stop it. */
  fatal(msg: string, fields?: LogFields): void;
  /** Whether messages of `level` are written; guards work that only serves a message. */
  enabled(level: LogLevel): boolean;
  /** A logger that adds `fields` to every message. */
  child(fields: LogFields): Logger;
  /** Blocks until everything logged so far has left the process. */
  flush(): void;
}

/** The logger of a process, with what concerns all of its children. */
export interface RootLogger extends Logger {
  /** Changes the least important level that is written, for children too. */
  setLevel(level: LogLevel): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: 'auto' | 'json' | 'console';
  /** stdout, stderr, default (stderr) or file names. */
  readonly outputs: readonly string[];
}

/** Where finished lines go. */
export interface LogSink {
  write(line: string): void;
  flushSync(): void;
}

const LEVEL_NUMBERS = { debug: 20, info: 30, warn: 40, error: 50, panic: 55, fatal: 60 } as const;
/** Lines waiting for a stuck reader of the log are dropped beyond this, so that it cannot stop the member. */
const BACKLOG_MAX_BYTES = 4 * 1024 * 1024;

/** Opens the outputs and returns the logger that writes to them. */
export function createLogger(options: LoggerOptions): RootLogger {
  const outputs = options.outputs.length === 0 ? ['default'] : options.outputs;
  const sinks = outputs.map((output) => openSink(output, options.format));
  return loggerTo(sinks, options.level);
}

/** A logger on sinks that are already open. */
export function loggerTo(sinks: readonly LogSink[], level: LogLevel): RootLogger {
  const fanOut: LogSink = {
    write(line) {
      for (const sink of sinks) sink.write(line);
    },
    flushSync() {
      for (const sink of sinks) sink.flushSync();
    },
  };
  const root = pino<'panic'>(
    {
      // Messages below the level in force do not get here.
      level: 'debug',
      base: null,
      customLevels: { panic: LEVEL_NUMBERS.panic },
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    fanOut,
  );
  return new PinoLogger(root, { level }, fanOut);
}

/** A logger that writes nothing. */
export const silentLogger: Logger = {
  level: 'fatal',
  debug() {},
  info() {},
  warn() {},
  error() {},
  fatal() {},
  enabled: () => false,
  child: () => silentLogger,
  flush() {},
};

class PinoLogger implements RootLogger {
  private readonly pino: pino.Logger<'panic'>;
  /** One object for a logger and its children. */
  private readonly threshold: { level: LogLevel };
  private readonly sink: LogSink;

  constructor(root: pino.Logger<'panic'>, threshold: { level: LogLevel }, sink: LogSink) {
    this.pino = root;
    this.threshold = threshold;
    this.sink = sink;
  }

  get level(): LogLevel {
    return this.threshold.level;
  }

  setLevel(level: LogLevel): void {
    this.threshold.level = level;
  }

  debug(msg: string, fields?: LogFields): void {
    this.write('debug', msg, fields);
  }

  info(msg: string, fields?: LogFields): void {
    this.write('info', msg, fields);
  }

  warn(msg: string, fields?: LogFields): void {
    this.write('warn', msg, fields);
  }

  error(msg: string, fields?: LogFields): void {
    this.write('error', msg, fields);
  }

  fatal(msg: string, fields?: LogFields): void {
    this.write('fatal', msg, fields);
    this.flush();
  }

  enabled(level: LogLevel): boolean {
    return LEVEL_NUMBERS[level] >= LEVEL_NUMBERS[this.level];
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.pino.child(plainFields(fields)), this.threshold, this.sink);
  }

  flush(): void {
    this.sink.flushSync();
  }

  private write(level: LogLevel, msg: string, fields: LogFields | undefined): void {
    if (!this.enabled(level)) return;
    if (fields === undefined) this.pino[level](msg);
    else this.pino[level](plainFields(fields), msg);
  }
}

/** JSON cannot hold ids, and errors would lose their message. */
function plainFields(fields: LogFields): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) plain[name] = plainValue(value);
  return plain;
}

function plainValue(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString(16);
  if (value instanceof Error) return value.message;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value === 'object' && value !== null) return plainFields(value as LogFields);
  return value;
}

function openSink(output: string, format: LoggerOptions['format']): LogSink {
  const fd = output === 'stdout' ? 1 : output === 'stderr' || output === 'default' ? 2 : undefined;
  const isTerminal = fd === 1 ? process.stdout.isTTY : fd === 2 ? process.stderr.isTTY : false;
  const isConsole = format === 'console' || (format === 'auto' && isTerminal);
  const destination = pino.destination({
    dest: fd ?? openLogFile(output),
    // A terminal shows lines at once; elsewhere a slow reader must not block the member.
    sync: isTerminal,
    maxLength: BACKLOG_MAX_BYTES,
  });
  const sink: LogSink = {
    write(line) {
      destination.write(line);
    },
    flushSync() {
      destination.flushSync();
    },
  };
  return isConsole ? consoleSink(sink, isTerminal && process.env['NO_COLOR'] === undefined) : sink;
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
    flushSync() {
      target.flushSync();
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
  const parts = Object.entries(fields).map(([name, value]) => `${name}=${fieldText(value)}`);
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
