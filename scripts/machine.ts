import { availableParallelism, loadavg } from 'node:os';

/**
 * Factor by which this machine is slower than usual now. Limits of tests are for a quiet machine of
 * the kind the project is built on; elsewhere they are multiplied.
 */

/** Result of `workMs` on a quiet machine of that kind. */
const REFERENCE_WORK_MS = 50;
const WORK_ROUNDS = 12_000_000;
/** Beyond this a test that has not ended will not end. */
const MAX_SLOWNESS = 20;

let measured: number | undefined;

/** 1 on the reference machine; more where processors are slower, or shared by more processes than there are of them. */
export function slowness(): number {
  measured ??= workMs() / REFERENCE_WORK_MS;
  return Math.min(MAX_SLOWNESS, Math.max(1, measured, loadPerProcessor()));
}

/** For messages: `2.3 times slower than usual (load 9.1 on 2 processors)`. */
export function describeSlowness(): string {
  const [load = 0] = loadavg();
  const times = slowness().toFixed(1);
  return `the machine is ${times} times slower than usual (load ${load.toFixed(1)} on ${availableParallelism()} processors)`;
}

/** Processes that want to run, for each processor, over the last minute. */
function loadPerProcessor(): number {
  const [load = 0] = loadavg();
  return load / availableParallelism();
}

/** Processor time of a fixed piece of work; how long it waited for a processor is the load's share. */
function workMs(): number {
  const began = process.cpuUsage();
  let state = 1;
  for (let i = 0; i < WORK_ROUNDS; i++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  const { user, system } = process.cpuUsage(began);
  // The result is used, so that the loop cannot be left out.
  return state === 0 ? 0 : (user + system) / 1000;
}
