import { exitCodeOf } from './outcome.js';
import { repairMemberLog } from '../server/offline/repair-log.js';
import type { LogRepairOptions } from '../server/offline/repair-log.js';

/** `mainstay wal repair`: prints what was found, what was done and what is lost. Returns the exit code. */
export function runWalRepair(options: LogRepairOptions): Promise<number> {
  return exitCodeOf(async () => {
    const { text, isStartable } = await repairMemberLog(options);
    process.stdout.write(text);
    return isStartable ? 0 : 1;
  });
}
