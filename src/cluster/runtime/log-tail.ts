/**
 * Follows a container's log from its present end and gives back what the container wrote. The log is
 * the one place where output of every monitor is, with standard output and error told apart, so
 * attaching reads it.
 */
import { watch, type FSWatcher } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { sleep, type ClusterEnv } from '../env.js';
import { isAbsent } from './state-files.js';

const CHUNK_BYTES = 64 * 1024;
const ROUND_MS = 200;
const NEWLINE = 0x0a;
const SPACE = 0x20;
const TAG_FIELD = 2;

export class LogTail {
  readonly stdout: Readable;
  readonly stderr: Readable;
  private readonly out = new PassThrough();
  private readonly err = new PassThrough();
  private readonly path: string;
  private readonly env: ClusterEnv;
  private readonly watcher: FSWatcher;
  private wake: AbortController = new AbortController();
  /** The end of the last chunk, which is no whole line yet. */
  private rest: Buffer = Buffer.alloc(0);
  private isEnding = false;
  /** Resolves when both streams have ended. */
  readonly whenClosed: Promise<void>;

  /** Opens the log at its present end. Rejects with the system's error. */
  static async open(path: string, env: ClusterEnv): Promise<LogTail> {
    const file = await open(path, 'r');
    const { size, ino } = await file.stat();
    return new LogTail(path, env, { file, position: size, inode: ino });
  }

  private constructor(path: string, env: ClusterEnv, from: Position) {
    this.path = path;
    this.env = env;
    this.stdout = this.out;
    this.stderr = this.err;
    // The directory: a rotated log is another file.
    this.watcher = watch(dirname(path), () => this.wake.abort());
    this.watcher.on('error', () => this.watcher.close());
    this.whenClosed = this.follow(from);
  }

  /** Ends both streams after what was written until now. */
  async finish(): Promise<void> {
    this.isEnding = true;
    this.wake.abort();
    await this.whenClosed;
  }

  private async follow(from: Position): Promise<void> {
    let at = from;
    try {
      for (;;) {
        const isLast = this.isEnding;
        await this.drain(at);
        const next = await this.rotated(at);
        if (next !== undefined) {
          await this.drain(at);
          await at.file.close();
          at = next;
          continue;
        }
        if (isLast) return;
        await sleep(this.env, ROUND_MS, this.wake.signal);
        this.wake = new AbortController();
      }
    } catch (error) {
      this.out.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      await at.file.close();
      this.watcher.close();
      this.out.end();
      this.err.end();
    }
  }

  private async rotated(at: Position): Promise<Position | undefined> {
    try {
      if ((await stat(this.path)).ino === at.inode) return undefined;
      const file = await open(this.path, 'r');
      return { file, position: 0, inode: (await file.stat()).ino };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  private async drain(at: Position): Promise<void> {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await at.file.read(buffer, 0, buffer.length, at.position);
      if (bytesRead === 0) return;
      at.position += bytesRead;
      await this.take(Buffer.concat([this.rest, buffer.subarray(0, bytesRead)]));
    }
  }

  private async take(bytes: Buffer): Promise<void> {
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, from);
      if (end === -1) break;
      const line = parseLogLine(bytes.subarray(from, end));
      from = end + 1;
      if (line === undefined) continue;
      const target = line.stream === 'stderr' ? this.err : this.out;
      if (!target.write(line.content) && !this.isEnding) await drained(target);
    }
    this.rest = Buffer.from(bytes.subarray(from));
  }
}

interface Position {
  readonly file: FileHandle;
  position: number;
  readonly inode: number;
}

/** `<time> <stream> <F|P> <text>`: the text, with a newline unless the line goes on (P). */
function parseLogLine(line: Buffer): { stream: string; content: Buffer } | undefined {
  const fields: string[] = [];
  let from = 0;
  while (fields.length <= TAG_FIELD) {
    const end = line.indexOf(SPACE, from);
    if (end === -1) return undefined;
    fields.push(line.toString('latin1', from, end));
    from = end + 1;
  }
  const text = line.subarray(from);
  const isPartial = fields[TAG_FIELD] === 'P';
  return {
    stream: fields[1] ?? '',
    content: isPartial ? text : Buffer.concat([text, Buffer.of(NEWLINE)]),
  };
}

function drained(stream: PassThrough): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      stream.off('drain', end).off('close', end);
      resolve();
    };
    stream.on('drain', end).on('close', end);
  });
}
