import { readableStack } from '../base/observe/caller.js';
import type { Logger } from '../base/observe/logger.js';

/** An unhandled error means that a promise of the program is broken: continuing could lose data. */
export function logCrashes(log: Logger): void {
  const crash = (error: unknown): void => {
    const stack = error instanceof Error ? readableStack(error.stack ?? '') : undefined;
    log.fatal('unhandled error, stopping', { error, stack });
    process.exit(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}
