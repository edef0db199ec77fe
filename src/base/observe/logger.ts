/**
 * The member's log: one JSON object a line with the field names of etcd's zap logger, which log
 * pipelines read: level, ts, caller, msg, fields. On a terminal, short lines for people. Ids
 * (bigint) are written as hexadecimal text, as etcd writes them; errors as their message.
 */
import { idText } from '../bytes/id-text.js';
import { callerOf } from './caller.js';
import { openSink, writeLineSync } from './log-sink.js';
import type { LogSink } from './log-sink.js';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'panic', 'fatal'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Logger {
  readonly level: LogLevel;
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  /**
   * For the last message of a process that must stop; it does not stop it. Written when this returns; on standard error
   * when no output takes it.
   */
  fatal(msg: string, fields?: LogFields): void;
  /** True if messages of `level` are written; guards work that only serves a message. */
  enabled(level: LogLevel): boolean;
  /** A logger that adds `fields` to every message. */
  child(fields: LogFields): Logger;
  /** Blocks until everything logged so far has left the process, as far as its outputs take it. */
  flush(): void;
}

/** The logger of a process, with what concerns all of its children. */
export interface RootLogger extends Logger {
  /** Changes the least important level that is written, for children too. */
  setLevel(level: LogLevel): void;
  /** Opens log files anew, for a tool that has moved them away. Throws: StartupError when one cannot be opened. */
  reopen(): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: 'auto' | 'json' | 'console';
  /** stdout, stderr, default (stderr) or file names. */
  readonly outputs: readonly string[];
}

/** Opens the outputs and returns the logger that writes to them. */
export function createLogger(options: LoggerOptions): RootLogger {
  const outputs = options.outputs.length === 0 ? ['default'] : options.outputs;
  return loggerTo(
    outputs.map((output) => openSink(output, options.format)),
    options.level,
  );
}

/** A logger on sinks that are already open. */
export function loggerTo(sinks: readonly LogSink[], level: LogLevel): RootLogger {
  return new SinkLogger({ sinks, level }, '');
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

const STANDARD_ERROR = 2;
/** Calls between callerOf and who logs: `line`, `write` and the method for a level. */
const LOGGING_FRAMES = 3;

/** State that a logger shares with its children. */
interface Shared {
  readonly sinks: readonly LogSink[];
  level: LogLevel;
}

class SinkLogger implements RootLogger {
  private readonly shared: Shared;
  /** The fields of every message, as `,"name":value`. */
  private readonly suffix: string;

  constructor(shared: Shared, suffix: string) {
    this.shared = shared;
    this.suffix = suffix;
  }

  get level(): LogLevel {
    return this.shared.level;
  }

  debug(msg: string, fields?: LogFields): void {
    if (this.enabled('debug')) this.write('debug', msg, fields);
  }

  info(msg: string, fields?: LogFields): void {
    if (this.enabled('info')) this.write('info', msg, fields);
  }

  warn(msg: string, fields?: LogFields): void {
    if (this.enabled('warn')) this.write('warn', msg, fields);
  }

  error(msg: string, fields?: LogFields): void {
    if (this.enabled('error')) this.write('error', msg, fields);
  }

  fatal(msg: string, fields?: LogFields): void {
    const line = this.fatalLine(msg, fields);
    let isTold = false;
    for (const sink of this.shared.sinks) isTold = succeeds(() => sink.writeSync(line)) || isTold;
    // The log may be on the disk that is the reason.
    if (!isTold) succeeds(() => writeLineSync(STANDARD_ERROR, line));
  }

  enabled(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(this.shared.level);
  }

  child(fields: LogFields): Logger {
    return new SinkLogger(this.shared, this.suffix + fieldsText(fields));
  }

  flush(): void {
    for (const sink of this.shared.sinks) succeeds(() => sink.flushSync());
  }

  setLevel(level: LogLevel): void {
    this.shared.level = level;
  }

  reopen(): void {
    for (const sink of this.shared.sinks) sink.reopen();
  }

  private write(level: LogLevel, msg: string, fields: LogFields | undefined): void {
    const line = this.line(level, msg, fields);
    for (const sink of this.shared.sinks) sink.write(line);
  }

  /** As deep in calls as `write`, so that the place that logs is found alike. */
  private fatalLine(msg: string, fields: LogFields | undefined): string {
    return this.line('fatal', msg, fields);
  }

  private line(level: LogLevel, msg: string, fields: LogFields | undefined): string {
    const caller = callerOf(LOGGING_FRAMES);
    const place = caller === undefined ? '' : `,"caller":${JSON.stringify(caller)}`;
    return (
      `{"level":"${level}","ts":"${new Date().toISOString()}"${place},"msg":${JSON.stringify(msg)}` +
      `${this.suffix}${fields === undefined ? '' : fieldsText(fields)}}\n`
    );
  }
}

/** A log that cannot be written is no reason to stop. */
function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function fieldsText(fields: LogFields): string {
  const text = JSON.stringify(plainFields(fields));
  return text === '{}' ? '' : `,${text.slice(1, -1)}`;
}

/** JSON cannot hold ids, and errors would lose their message. */
function plainFields(fields: LogFields): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) plain[name] = plainValue(value);
  return plain;
}

function plainValue(value: unknown): unknown {
  if (typeof value === 'bigint') return idText(value);
  if (value instanceof Error) return value.message;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value === 'object' && value !== null) return plainFields(value as LogFields);
  return value;
}
