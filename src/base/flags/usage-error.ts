/** A command line that cannot be understood: the process prints the text and the usage, and exits with 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}
