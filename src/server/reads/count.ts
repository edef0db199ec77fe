import type { Interval } from '../../base/collections/interval.js';
import type { Job, SlicedWork } from '../../base/slices/sliced-work.js';
import type { Store } from '../../mvcc/store.js';
import type { ReadPoint } from '../../mvcc/types.js';
import { COUNT_LEAVES } from './limits.js';

/**
 * Counts the keys of an interval. Of the newest state the index holds the number; of an older one
 * it walks the leaves that changed since, some at a time. The point stays readable meanwhile by a
 * pin of the caller.
 */
export function countInSlices(
  slices: SlicedWork,
  job: Job,
  store: Store,
  interval: Interval,
  point: ReadPoint,
  done: (total: number) => void,
): void {
  const { revision, subs } = point;
  if (store.isNewest(revision, subs)) return done(store.count(interval, revision, subs));
  let { start } = interval;
  let total = 0;
  const step = (): boolean => {
    const next = store.keyBehind(start, COUNT_LEAVES);
    const isLast = next === undefined || (interval.end !== null && next >= interval.end);
    total += store.count({ start, end: isLast ? interval.end : next }, revision, subs);
    if (!isLast) start = next;
    return isLast;
  };
  slices.run(job, step, () => done(total));
}
