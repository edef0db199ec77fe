import { formatStartupError } from '../base/flags/startup-error.js';

/**
 * Runs a command to its end and returns the exit code: its own, or 1 after a refusal or an unexpected error.
 *
 * `failure` says what the command could not do, as in `cannot load the image`.
 *
 * Every command calls it itself: the build gives each a bundle of its own, and a class of errors
 * differs between two bundles.
 */
export async function exitCodeOf(
  command: () => Promise<number>,
  failure?: string,
): Promise<number> {
  try {
    return await command();
  } catch (error) {
    process.stderr.write(formatStartupError(error, failure));
    return 1;
  }
}
