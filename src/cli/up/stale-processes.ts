import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const COMMANDS = ['control-plane', 'node'];
/** Processes end with the `up` that started them, but not at once. */
const PATIENCE_MS = 10_000;
const POLL_MS = 20;

/** Waits for the processes that an earlier `up` of this directory has left to end, and ends them if they do not. */
export async function endStaleProcesses(dir: string, members: readonly string[]): Promise<void> {
  const giveUpMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const pids = processesOf(dir, members);
    if (pids.length === 0) return;
    if (performance.now() > giveUpMs) for (const pid of pids) kill(pid);
    await delay(POLL_MS);
  }
}

function processesOf(dir: string, members: readonly string[]): number[] {
  const dataDirs = members.map((name) => `--data-dir=${dir}/${name}`);
  const isOurs = (args: readonly string[]): boolean => {
    const at = args.findIndex((arg) => COMMANDS.includes(arg));
    if (at >= 0 && args[at + 1] === '--dir' && args[at + 2] === dir) return true;
    return args.includes('server') && args.some((arg) => dataDirs.includes(arg));
  };
  return allProcesses().filter((pid) => isOurs(argsOf(pid)));
}

function allProcesses(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    // Only Linux has this list.
    return [];
  }
}

function argsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // It has ended.
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
