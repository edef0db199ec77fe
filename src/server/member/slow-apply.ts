import type { Entry } from '../../raft/types.js';
import { kindOf } from '../contract/command.js';
import type { MemberOptions } from './options.js';

/**
 * Logs and counts applies that took longer than `warningApplyMs`. Entries are not timed one by one: the largest is the
 * likely cause.
 */
export function reportSlowApply(
  options: Pick<MemberOptions, 'log' | 'warningApplyMs' | 'onApplySlow'>,
  ms: number,
  entries: readonly Entry[],
): void {
  options.onApplySlow?.();
  let largest = entries[0];
  for (const entry of entries) {
    if (largest === undefined || entry.data.length > largest.data.length) largest = entry;
  }
  const data = largest?.data;
  options.log.warn('apply request took too long', {
    took: `${Math.round(ms)}ms`,
    'expected-duration': `${options.warningApplyMs ?? 0}ms`,
    entries: entries.length,
    'first-index': entries[0]?.index,
    'largest-index': largest?.index,
    'largest-kind': data === undefined || data.length === 0 ? undefined : kindOf(data),
    'largest-bytes': data?.length,
  });
}
