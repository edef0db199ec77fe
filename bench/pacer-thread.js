import { parentPort, workerData } from 'node:worker_threads';

/**
 * The thread of pacer.ts: sleeps until each moment of the schedule and posts a message. Plain JavaScript, because
 * worker threads of Node 20 do not get the loader for TypeScript.
 */

const { startMs, intervalMs } = workerData;
const never = new Int32Array(new SharedArrayBuffer(4));

for (let n = 0; ; n++) {
  const waitMs = startMs + n * intervalMs - Number(process.hrtime.bigint()) / 1e6;
  // Moments already past are due together: one wake-up serves them all.
  if (waitMs <= 0) continue;
  Atomics.wait(never, 0, 0, waitMs);
  parentPort.postMessage(null);
}
