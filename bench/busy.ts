import { readdirSync, readFileSync } from 'node:fs';

/**
 * Share of one core that a load generator uses: it shows if the generator and not the server was
 * the limit.
 *
 * Time in which it could have run but waited for a core is counted apart: where servers and clients share few cores,
 * a client may be held up without being busy.
 */

/** Shares of one core. */
export interface Busy {
  readonly used: number;
  /** Ready to run, but others had the cores; 0 where the kernel has no figure. */
  readonly waited: number;
}

export const IDLE: Busy = { used: 0, waited: 0 };

/** Meters the process it is in. */
export class BusyMeter {
  private began: Times = { atMs: 0, usedMs: 0, waitedMs: 0 };

  start(): void {
    this.began = ownTimes();
  }

  /** Shares of the time since `start`. */
  shares(): Busy {
    return sharesBetween(this.began, ownTimes());
  }
}

interface Times {
  readonly atMs: number;
  readonly usedMs: number;
  readonly waitedMs: number;
}

function sharesBetween(from: Times, to: Times): Busy {
  const ms = Math.max(to.atMs - from.atMs, 1);
  return {
    used: (to.usedMs - from.usedMs) / ms,
    waited: (to.waitedMs - from.waitedMs) / ms,
  };
}

function ownTimes(): Times {
  const { user, system } = process.cpuUsage();
  const { waitedMs } = schedulerTimes('thread-self');
  return { atMs: performance.now(), usedMs: (user + system) / 1000, waitedMs };
}

/** Watches another program until it ends: the last scheduler statistics of its threads. */
export class ProgramMeter {
  private readonly pid: number;
  private readonly timer: NodeJS.Timeout;
  private readonly began = performance.now();
  private last: Times = { atMs: 0, usedMs: 0, waitedMs: 0 };

  constructor(pid: number) {
    this.pid = pid;
    this.timer = setInterval(() => {
      const atMs = performance.now() - this.began;
      const threads = threadsOf(this.pid).map((thread) => schedulerTimes(thread));
      const usedMs = threads.reduce((sum, thread) => sum + thread.usedMs, 0);
      const waitedMs = threads.reduce((sum, thread) => sum + thread.waitedMs, 0);
      // A thread that ended takes its times with it.
      if (usedMs >= this.last.usedMs) this.last = { atMs, usedMs, waitedMs };
    }, 100);
  }

  stop(): Busy {
    clearInterval(this.timer);
    return sharesBetween({ atMs: 0, usedMs: 0, waitedMs: 0 }, this.last);
  }
}

/** Names below /proc; none when the program is gone. */
function threadsOf(pid: number): string[] {
  try {
    const tasks = `${String(pid)}/task`;
    return readdirSync(`/proc/${tasks}`).map((thread) => `${tasks}/${thread}`);
  } catch {
    return [];
  }
}

/** Nanoseconds on a core, nanoseconds waiting for one, number of turns. */
function schedulerTimes(of: string): { usedMs: number; waitedMs: number } {
  try {
    const [used = '0', waited = '0'] = readFileSync(`/proc/${of}/schedstat`, 'latin1').split(' ');
    return { usedMs: Number(used) / 1e6, waitedMs: Number(waited) / 1e6 };
  } catch {
    return { usedMs: 0, waitedMs: 0 };
  }
}

/** Of several processes, the one that used most. */
export function busiest(all: readonly Busy[]): Busy {
  return all.reduce((most, each) => (each.used > most.used ? each : most), IDLE);
}
