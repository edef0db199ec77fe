import { formatStartupError } from '../base/flags/startup-error.js';

/**
 * Runs a command to its end and returns the exit code: its own, or 1 after a refusal or an unexpected error.
 *
 * Every command calls it itself: the build gives each a bundle of its own, and a class of errors
 * differs between two bundles.
 */
export async function exitCodeOf(command: () => Promise<number>): Promise<number> {
  try {
    return await command();
  } catch (error) {
    process.stderr.write(formatStartupError(error));
    return 1;
  }
}
