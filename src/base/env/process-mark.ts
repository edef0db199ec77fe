/**
 * The process that a mark stands for. A mark left behind by a dead process differs from one of a
 * live process, even when its number was given out again.
 *
 * A process is named by number, start time, boot of the machine and namespace of process numbers, all from /proc
 * (proc(5), "stat": state and starttime). A system without /proc gives marks that prove nothing.
 */
import { readFileSync, readlinkSync } from 'node:fs';

export interface ProcessMark {
  readonly pid: number;
  /** Clock ticks between the boot and the start of the process; 0 where unknown. */
  readonly started: number;
  /** Hexadecimal digits; 0 where unknown. */
  readonly boot: string;
  readonly namespace: string;
}

/** The fields of /proc/<pid>/stat that count here; undefined when there is no such process, or only its remains. */
export function startOf(stat: string): number | undefined {
  // The name before them is in parentheses and may hold any character.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  if (state === undefined || state === 'Z' || state === 'X') return undefined;
  const started = Number(fields[19]);
  return Number.isSafeInteger(started) ? started : undefined;
}

export function ownMark(): ProcessMark {
  const started = readStart(process.pid);
  if (started === undefined) return { pid: process.pid, started: 0, boot: '0', namespace: '0' };
  return {
    pid: process.pid,
    started,
    boot: read('/proc/sys/kernel/random/boot_id').replaceAll('-', '').trim(),
    namespace: /\d+/.exec(linkOf('/proc/self/ns/pid'))?.[0] ?? '0',
  };
}

/**
 * True if the process that left `mark` is running for certain. One of another boot or machine is
 * not; one in another namespace is undecided.
 */
export function isRunning(mark: ProcessMark): boolean {
  const own = ownMark();
  if (mark.started === 0 || mark.boot !== own.boot || mark.namespace !== own.namespace)
    return false;
  return readStart(mark.pid) === mark.started;
}

/** True if the process that left `mark` has ended for certain, so that the mark can go. */
export function isGone(mark: ProcessMark): boolean {
  const own = ownMark();
  if (mark.boot !== own.boot) return true;
  return mark.namespace === own.namespace && !isRunning(mark);
}

const MARK = /^lock-(\d+)-(\d+)-([0-9a-f]+)-(\d+)$/;

/** The mark as the name of a file. */
export function markName({ pid, started, boot, namespace }: ProcessMark): string {
  return `lock-${pid}-${started}-${boot}-${namespace}`;
}

/** The mark that `name` stands for; undefined for the name of any other file. */
export function parseMark(name: string): ProcessMark | undefined {
  const match = MARK.exec(name);
  if (match === null) return undefined;
  const [, pid = '', started = '', boot = '', namespace = ''] = match;
  return { pid: Number(pid), started: Number(started), boot, namespace };
}

/**
 * The process that holds a lock of fcntl(2) on a file, from the text of /proc/locks; undefined when
 * no process visible from here does.
 */
export function lockHolder(locks: string, inode: number): number | undefined {
  for (const line of locks.split('\n')) {
    const match = /(?:POSIX|OFDLCK) +\w+ +WRITE +(\d+) +[0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line);
    if (match !== null && Number(match[2]) === inode && match[1] !== '0') return Number(match[1]);
  }
  return undefined;
}

function readStart(pid: number): number | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat === '' ? undefined : startOf(stat);
}

/** The text of a file of /proc; empty when it is absent. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
