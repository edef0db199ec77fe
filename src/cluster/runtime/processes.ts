/** Processes that are not our children: told apart by number and start time, because numbers are reused. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { codeOf } from './state-files.js';
import { RuntimeError } from './runtime.js';

const FIELDS_BEFORE_NAME_END = 2;
const START_TIME_FIELD = 22;
const FIRST_REAL_TIME_SIGNAL = 34;
const LAST_SIGNAL = 64;

export interface ProcessMark {
  readonly pid: number;
  /** Clock ticks from the machine's start to the process's; empty where the system does not tell. */
  readonly startTime: string;
}

export function markOf(pid: number): ProcessMark {
  return { pid, startTime: startTimeOf(pid) ?? '' };
}

/** Ended processes that nobody has waited for do not run. */
export function isAlive(mark: ProcessMark): boolean {
  if (mark.startTime !== '') return startTimeOf(mark.pid) === mark.startTime;
  try {
    process.kill(mark.pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** Sends a signal to the process, or with `toGroup` to its group; nothing happens when it has ended. */
export function signal(mark: ProcessMark, number: number, toGroup = false): void {
  if (!toGroup && !isAlive(mark)) return;
  try {
    process.kill(toGroup ? -mark.pid : mark.pid, number);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

/** Number of `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`. Throws RuntimeError InvalidArgument. */
export function signalNumber(name: string): number {
  if (/^\d+$/.test(name)) {
    const number = Number(name);
    if (number >= 1 && number <= LAST_SIGNAL) return number;
  }
  const upper = name.toUpperCase();
  const full = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  const realTime = /^SIGRTMIN(?:\+(\d{1,2}))?$/.exec(full);
  if (realTime !== null) return FIRST_REAL_TIME_SIGNAL + Number(realTime[1] ?? 0);
  const known: Readonly<Record<string, number | undefined>> = constants.signals;
  const number = known[full];
  if (number === undefined) throw new RuntimeError('InvalidArgument', `unknown signal "${name}"`);
  return number;
}

function startTimeOf(pid: number): string | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The name stands in parentheses and may hold any character, so fields count from its end.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return fields[START_TIME_FIELD - FIELDS_BEFORE_NAME_END - 1];
}
