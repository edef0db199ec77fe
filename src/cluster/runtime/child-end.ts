/** End of a child process as an exit code, and its output. */
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { constants } from 'node:os';
import { RuntimeError } from './runtime.js';

const EXIT_SIGNALLED = 128;
/** More output than this of a command that somebody waits for is not kept. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** Exit code when the process ended (`exit`), or when its output was read as well (`close`). */
export function codeOfEnd(child: ChildProcess, event: 'exit' | 'close'): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new RuntimeError('Internal', error.message)));
    child.on(event, (code: number | null, name: NodeJS.Signals | null) =>
      resolve(code ?? EXIT_SIGNALLED + (name === null ? 0 : constants.signals[name])),
    );
  });
}

/** Keeps the stream's first 16 MiB; the returned function gives what has come so far. */
export function collect(stream: Readable): () => Uint8Array {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    if (size >= MAX_OUTPUT_BYTES) return;
    chunks.push(chunk);
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).subarray(0, MAX_OUTPUT_BYTES);
}
