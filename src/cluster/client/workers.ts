import type { Logger } from '../../base/observe/logger.js';
import { isApiError } from '../api/status.js';
import type { ClusterEnv } from '../env.js';
import { turnsOf } from '../turns.js';
import type { WorkQueue } from './work-queue.js';

export interface Workers<T> {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly queue: WorkQueue<T>;
  /** Items reconciled at the same time, at most. */
  readonly count: number;
  /** Brings one item to where it should be. Idempotent; it may throw anything. */
  readonly reconcile: (item: T) => Promise<void>;
}

/**
 * Reconciles items of a queue until it is shut down and what waited is done. An error is logged,
 * and its item retried with back-off; it ends neither the worker nor the process. Never rejects.
 */
export async function runWorkers<T>(workers: Workers<T>): Promise<void> {
  await Promise.all(Array.from({ length: workers.count }, () => work(workers)));
}

async function work<T>({ env, log, queue, reconcile }: Workers<T>): Promise<void> {
  for (;;) {
    const item = await queue.getNext();
    if (item === undefined) return;
    const pause = turnsOf(env).pause();
    if (pause !== undefined) await pause;
    try {
      await reconcile(item);
      queue.forget(item);
    } catch (error) {
      queue.addRateLimited(item);
      report(log, item, queue.retries(item), error);
    } finally {
      queue.done(item);
    }
  }
}

/** A conflict only says that the cache was behind, which the next try sees. */
function report(log: Logger, item: unknown, retries: number, error: unknown): void {
  const fields = { item, retries, error };
  if (isApiError(error, 'Conflict')) log.debug('reconcile met a newer object', fields);
  else log.error('reconcile failed, will be retried', fields);
}
