import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';

/**
 * Finds and ends all descendants of a process, also those that left its process group. Each process
 * carries a mark in its environment, which its children inherit. Linux only; elsewhere nothing is
 * found.
 */
const MARK = 'MAINSTAY_TEST_TREE';

export class ProcessTree {
  /** To be added to the environment of the first process. */
  readonly env: Readonly<Record<string, string>>;
  private readonly entry: string;
  private reaper: ReturnType<typeof spawn> | undefined;

  constructor() {
    const mark = randomUUID();
    this.env = { [MARK]: mark };
    this.entry = `${MARK}=${mark}`;
  }

  /** Ids of the processes that live. */
  pids(): number[] {
    return processIds().filter((pid) => environmentOf(pid).includes(this.entry));
  }

  /** Ends all of them at once. */
  kill(): void {
    for (const pid of this.pids()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    }
  }

  /**
   * Has all of them ended when this process is gone, by any cause. A shell outside the tree waits
   * for the end of a pipe that only this process holds.
   */
  guard(): void {
    const script = `
      read -r line
      for file in $(grep -lsz "^$1\\$" /proc/[0-9]*/environ); do
        pid=\${file#/proc/}
        kill -9 "\${pid%/environ}"
      done`;
    this.reaper = spawn('sh', ['-c', script, 'sh', this.entry], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      env: { PATH: process.env['PATH'] },
    });
    this.reaper.on('error', () => undefined);
    this.reaper.unref();
  }

  /** Ends the guard; what lives goes on. */
  release(): void {
    this.reaper?.kill('SIGKILL');
  }
}

function processIds(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  } catch {
    // It has ended, or belongs to another user.
    return [];
  }
}
