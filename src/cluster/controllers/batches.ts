import { messageOf } from './errors.js';

/**
 * Calls `work` `count` times, in batches that double while all goes well: when every call fails,
 * as with a quota that is used up, only the first one is tried. Returns the first error.
 */
export async function slowStart(
  count: number,
  work: () => Promise<void>,
): Promise<Error | undefined> {
  let begun = 0;
  for (let size = 1; begun < count; size *= 2) {
    const batch = Math.min(size, count - begun);
    begun += batch;
    const error = await together(Array.from({ length: batch }, () => work()));
    if (error !== undefined) return error;
  }
  return undefined;
}

/** Waits for all; the first error of them. */
export async function together(work: readonly Promise<unknown>[]): Promise<Error | undefined> {
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'fulfilled') continue;
    const reason: unknown = result.reason;
    return reason instanceof Error ? reason : new Error(messageOf(reason));
  }
  return undefined;
}
