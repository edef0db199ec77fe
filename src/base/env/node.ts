/**
 * The real environment: monotonic clock, timers, random source and file system of the operating
 * system.
 *
 * Promises: A write's callback runs after every byte was handed to the system, a sync's after
 * fdatasync returned. A created file has all its blocks written and fsynced: later overwrites
 * change no metadata, and their fdatasync costs one disk round trip. A creation never overwrites an
 * existing file.
 * Does not order operations on one file against each other: each file has one owner who waits.
 * Used by the command line and by tests that need a real disk.
 */
import { randomFillSync } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import type { Disk, DiskFile, Done, Env, Timer } from './env.js';

/** Exit status of a process that stopped because continuing could lose or corrupt data. */
export const FATAL_EXIT_CODE = 3;

export interface FatalReport {
  readonly what: string;
  readonly next: string;
  readonly cause: string;
}

export interface NodeEnvOptions {
  /**
   * Reports to the operator, for instance through the log, before the process ends. Must not wait
   * for anything. Without it, or when it throws, the report goes to standard error.
   */
  readonly onFatal?: (report: FatalReport) => void;
}

const ZERO_CHUNK_BYTES = 1024 * 1024;
/**
 * A large file is made durable in steps of this size while it is filled. One fsync of all of it
 * would keep every other file's fdatasync waiting.
 */
const CREATE_SYNC_BYTES = 4 * 1024 * 1024;
const RANDOM_POOL_WORDS = 1024;
/** setTimeout treats anything longer as 1 ms. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

export function createNodeEnv(options: NodeEnvOptions = {}): Env {
  const pool = new Uint32Array(RANDOM_POOL_WORDS);
  let unused = 0;
  return {
    clock: { monoMs: () => performance.now(), wallMs: () => Date.now() },
    disk: createNodeDisk(),
    after(delayMs: number, callback: () => void): Timer {
      const handle = setTimeout(callback, Math.min(delayMs, MAX_TIMEOUT_MS));
      return { cancel: () => clearTimeout(handle) };
    },
    defer(callback: () => void): void {
      setImmediate(callback);
    },
    randomU32(): number {
      if (unused === 0) {
        randomFillSync(pool);
        unused = RANDOM_POOL_WORDS;
      }
      unused--;
      return pool[unused] ?? 0;
    },
    fatal(what: string, next: string, cause?: unknown): never {
      return stopProcess({ what, next, cause: describeCause(cause) }, options.onFatal);
    },
  };
}

function describeCause(cause: unknown): string {
  if (cause === undefined || cause === null) return '';
  if (cause instanceof Error) return cause.stack ?? cause.message;
  return typeof cause === 'string' ? cause : JSON.stringify(cause);
}

function stopProcess(report: FatalReport, onFatal: NodeEnvOptions['onFatal']): never {
  try {
    (onFatal ?? writeReport)(report);
  } catch {
    writeReport(report);
  }
  process.exit(FATAL_EXIT_CODE);
}

function writeReport(report: FatalReport): void {
  const line = JSON.stringify({
    level: 'fatal',
    ts: new Date().toISOString(),
    msg: report.what,
    next: report.next,
    cause: report.cause,
  });
  try {
    fs.writeSync(2, `${line}\n`);
  } catch {
    // Standard error may be closed; the exit status remains.
  }
}

/** A second descriptor of each file is opened this way: its writes return when they are durable. */
const DURABLE = fs.constants.O_RDWR | fs.constants.O_DSYNC;

class NodeFile implements DiskFile {
  private readonly fd: number;
  private readonly durableFd: number;

  constructor(fd: number, durableFd: number) {
    this.fd = fd;
    this.durableFd = durableFd;
  }

  write(bytes: Uint8Array, position: number, done: Done): void {
    writeAll(this.fd, bytes, 0, position, done);
  }

  writeDurable(bytes: Uint8Array, position: number, done: Done): void {
    writeAll(this.durableFd, bytes, 0, position, done);
  }

  writeSync(bytes: Uint8Array, position: number): void {
    writeAllSync(this.fd, bytes, position);
  }

  truncateSync(sizeBytes: number): void {
    fs.ftruncateSync(this.fd, sizeBytes);
  }

  datasyncSync(): void {
    fs.fdatasyncSync(this.fd);
  }

  closeSync(): void {
    fs.closeSync(this.fd);
    fs.closeSync(this.durableFd);
  }
}

function writeAllSync(fd: number, bytes: Uint8Array, position: number): void {
  let written = 0;
  while (written < bytes.length) {
    written += fs.writeSync(fd, bytes, written, bytes.length - written, position + written);
  }
}

/** Writes `bytes[from..]` at `position`, again for the rest after a short write. */
function writeAll(fd: number, bytes: Uint8Array, from: number, position: number, done: Done): void {
  fs.write(fd, bytes, from, bytes.length - from, position, (error, written) => {
    if (error !== null) done(error);
    else if (from + written >= bytes.length) done(null);
    else if (written === 0) done(new Error(`write at ${position} made no progress`));
    else writeAll(fd, bytes, from + written, position + written, done);
  });
}

function createNodeDisk(): Disk {
  return {
    mkdirSync(path: string): void {
      fs.mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
    },
    existsSync: (path: string): boolean => fs.existsSync(path),
    readdirSync(path: string): string[] {
      const names = fs.readdirSync(path);
      return names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    },
    readFileSync: (path: string): Uint8Array => fs.readFileSync(path),
    readIntoSync,
    writeFileSync: replaceFileSync,
    renameSync(from: string, to: string): void {
      fs.renameSync(from, to);
    },
    unlinkSync(path: string): void {
      fs.unlinkSync(path);
    },
    rmSync(path: string): void {
      fs.rmSync(path, { recursive: true, force: true });
    },
    syncDirSync,
    openSync: (path: string): DiskFile =>
      new NodeFile(fs.openSync(path, 'r+'), fs.openSync(path, DURABLE)),
    createSync,
    create,
    rename(from: string, to: string, done: Done): void {
      fs.rename(from, to, done);
    },
    unlink(path: string, done: Done): void {
      fs.unlink(path, done);
    },
    syncDir,
  };
}

function readIntoSync(path: string, target: Uint8Array): number {
  const fd = fs.openSync(path, 'r');
  try {
    let read = 0;
    while (read < target.length) {
      const more = fs.readSync(fd, target, read, target.length - read, read);
      if (more === 0) break;
      read += more;
    }
    return read;
  } finally {
    fs.closeSync(fd);
  }
}

function replaceFileSync(path: string, bytes: Uint8Array): void {
  const temporary = `${path}.tmp`;
  const fd = fs.openSync(temporary, 'w', FILE_MODE);
  try {
    writeAllSync(fd, bytes, 0);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(temporary, path);
  syncDirSync(dirname(path));
}

function syncDirSync(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function syncDir(path: string, done: Done): void {
  fs.open(path, 'r', (openError, fd) => {
    if (openError !== null) return done(openError);
    fs.fsync(fd, (syncError) => {
      fs.close(fd, (closeError) => done(syncError ?? closeError ?? null));
    });
  });
}

function createSync(path: string, sizeBytes: number): DiskFile {
  const fd = fs.openSync(path, 'wx+', FILE_MODE);
  try {
    const file = new NodeFile(fd, fs.openSync(path, DURABLE));
    const zeros = new Uint8Array(Math.min(ZERO_CHUNK_BYTES, sizeBytes));
    for (let at = 0; at < sizeBytes; at += zeros.length) {
      file.writeSync(zeros.subarray(0, Math.min(zeros.length, sizeBytes - at)), at);
    }
    fs.fsyncSync(fd);
    return file;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function create(
  path: string,
  sizeBytes: number,
  done: (error: Error | null, file: DiskFile | null) => void,
): void {
  fs.open(path, 'wx+', FILE_MODE, (openError, fd) => {
    if (openError !== null) return done(openError, null);
    const zeros = new Uint8Array(Math.min(ZERO_CHUNK_BYTES, sizeBytes));
    const finish = (error: Error | null): void => {
      if (error !== null) return fs.close(fd, () => done(error, null));
      fs.open(path, DURABLE, (durableError, durableFd) => {
        if (durableError === null) done(null, new NodeFile(fd, durableFd));
        else fs.close(fd, () => done(durableError, null));
      });
    };
    const fill = (at: number): void => {
      if (at >= sizeBytes) {
        fs.fsync(fd, (error) => finish(error));
        return;
      }
      const chunk = zeros.subarray(0, Math.min(zeros.length, sizeBytes - at));
      writeAll(fd, chunk, 0, at, (error) => {
        const next = at + chunk.length;
        if (error !== null) finish(error);
        else if (next % CREATE_SYNC_BYTES !== 0) fill(next);
        else fs.fdatasync(fd, (syncError) => (syncError === null ? fill(next) : finish(syncError)));
      });
    };
    fill(0);
  });
}
