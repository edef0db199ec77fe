/** Last words of containers: the file they wrote, or the end of their log. */
import { open } from 'node:fs/promises';
import { MAX_FALLBACK_BYTES, MAX_FALLBACK_LINES, MAX_MESSAGE_BYTES } from '../files.js';
import { parseLogLine } from '../logs/cri-log.js';
import type { ContainerStatus } from '../../runtime/runtime.js';
import { MESSAGE_FILE, MESSAGE_POLICY } from './pod-view.js';

/** Lines of a log carry a time and a stream beside their text. */
const LINE_OVERHEAD_BYTES = 64;

/** The termination message of a container that ended; what the runtime says when it left none. */
export async function terminationMessage(status: ContainerStatus): Promise<string> {
  const path = status.annotations[MESSAGE_FILE];
  if (path === undefined) return status.message;
  const text = await readEnd(path, MAX_MESSAGE_BYTES);
  if (text !== '') return text;
  const isLogWanted =
    status.annotations[MESSAGE_POLICY] === 'FallbackToLogsOnError' && status.exitCode !== 0;
  return isLogWanted ? endOfLog(status.logPath) : status.message;
}

async function endOfLog(path: string): Promise<string> {
  const budget = MAX_FALLBACK_BYTES + MAX_FALLBACK_LINES * LINE_OVERHEAD_BYTES;
  const lines = (await readEnd(path, budget)).split('\n').slice(-MAX_FALLBACK_LINES - 1);
  const texts = lines.map((line) => {
    const parsed = parseLogLine(line);
    if (parsed === undefined) return '';
    return parsed.isPartial ? parsed.text : `${parsed.text}\n`;
  });
  return Buffer.from(texts.join('')).subarray(-MAX_FALLBACK_BYTES).toString('utf8');
}

/** The last `maxBytes` of a file; empty when there is none. */
async function readEnd(path: string, maxBytes: number): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const start = Math.max(0, size - maxBytes);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, start);
      return buffer.subarray(0, bytesRead).toString('utf8');
    } finally {
      await file.close();
    }
  } catch {
    // Files go with their pod; a message is no reason to fail.
    return '';
  }
}
