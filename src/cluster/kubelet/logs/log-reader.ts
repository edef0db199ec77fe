/** Reads logs of containers for `kubectl logs`: from where it was asked for, to the end or on and on. */
import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { ClusterEnv } from '../../env.js';
import { sleep } from '../../env.js';
import { parseLogLine } from './cri-log.js';

export interface LogOptions {
  /** Goes on with what is written later, until the container ends. */
  readonly follow: boolean;
  /** Only so many of the last lines. */
  readonly tailLines: number | undefined;
  /** Only lines written at or after this moment, as wall milliseconds. */
  readonly sinceMs: number | undefined;
  readonly timestamps: boolean;
  readonly limitBytes: number | undefined;
  readonly stream: 'stdout' | 'stderr' | undefined;
}

export interface LogSource {
  readonly env: ClusterEnv;
  readonly path: string;
  /** True while the container may still write. */
  readonly isRunning: () => Promise<boolean>;
  /** Takes a piece; resolves when it may get the next one. */
  readonly write: (text: Uint8Array) => Promise<void>;
  readonly signal: AbortSignal;
}

const CHUNK_BYTES = 64 * 1024;
const POLL_MS = 200;
const NEWLINE = 0x0a;

/** Resolves when everything was written, or `signal` aborted. Rejects when the log cannot be read. */
export async function readLog(source: LogSource, options: LogOptions): Promise<void> {
  const writer = new LogWriter(source, options);
  let file = await open(source.path, 'r');
  try {
    let position = await startOf(file, options.tailLines);
    for (;;) {
      // Asked before the file is read: what was written before an end is read after it.
      const mayGrow = options.follow && (await source.isRunning());
      position = await readOn(file, position, writer, source.signal);
      if (!mayGrow || writer.isFull || source.signal.aborted) break;
      await sleep(source.env, POLL_MS, source.signal);
      const next = await reopened(file, source.path, position);
      if (next === undefined) continue;
      await readOn(file, position, writer, source.signal);
      await file.close();
      file = next;
      position = 0;
    }
  } finally {
    await file.close();
  }
}

/** The file that has taken the place of one that was rotated, if there is one. */
async function reopened(
  file: FileHandle,
  path: string,
  position: number,
): Promise<FileHandle | undefined> {
  const [current, named] = [await file.stat(), await stat(path).catch(() => undefined)];
  const isSame = named?.ino === current.ino && current.size >= position;
  return named === undefined || isSame ? undefined : open(path, 'r').catch(() => undefined);
}

/** Writes whole lines from `position` on; returns where the next line begins. */
async function readOn(
  file: FileHandle,
  position: number,
  writer: LogWriter,
  signal: AbortSignal,
): Promise<number> {
  let at = position;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  while (!writer.isFull && !signal.aborted) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    const chunk = buffer.subarray(0, bytesRead);
    const end = chunk.lastIndexOf(NEWLINE);
    if (end < 0) {
      pending.push(chunk);
      pendingBytes += chunk.length;
      continue;
    }
    await writer.lines(Buffer.concat([...pending, chunk.subarray(0, end)]));
    pending = [chunk.subarray(end + 1)];
    pendingBytes = chunk.length - end - 1;
  }
  return at - pendingBytes;
}

/** Offset in bytes at which the last `lines` lines begin; 0 when all lines are wanted. */
async function startOf(file: FileHandle, lines: number | undefined): Promise<number> {
  if (lines === undefined) return 0;
  const { size } = await file.stat();
  let end = size;
  // The end of the last line ends no line before it.
  let left = lines + 1;
  if (lines === 0) return size;
  while (end > 0) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    let at = buffer.length;
    while ((at = at === 0 ? -1 : buffer.lastIndexOf(NEWLINE, at - 1)) >= 0) {
      left -= 1;
      if (left === 0) return start + at + 1;
    }
    end = start;
  }
  return 0;
}

class LogWriter {
  readonly #source: LogSource;
  readonly #options: LogOptions;
  #leftBytes: number;

  constructor(source: LogSource, options: LogOptions) {
    this.#source = source;
    this.#options = options;
    this.#leftBytes = options.limitBytes ?? Infinity;
  }

  get isFull(): boolean {
    return this.#leftBytes <= 0;
  }

  /** Lines of the log, without the end of the last. */
  async lines(block: Buffer): Promise<void> {
    const texts = block
      .toString('utf8')
      .split('\n')
      .map((line) => this.#render(line));
    const bytes = Buffer.from(texts.join(''));
    if (bytes.length === 0) return;
    const piece = bytes.subarray(0, Math.min(bytes.length, this.#leftBytes));
    this.#leftBytes -= piece.length;
    await this.#source.write(piece);
  }

  #render(line: string): string {
    const parsed = parseLogLine(line);
    if (parsed === undefined) return '';
    const { sinceMs, timestamps, stream } = this.#options;
    if (stream !== undefined && parsed.stream !== stream) return '';
    if (sinceMs !== undefined && Date.parse(parsed.time) < sinceMs) return '';
    const text = timestamps ? `${parsed.time} ${parsed.text}` : parsed.text;
    return parsed.isPartial ? text : `${text}\n`;
  }
}
