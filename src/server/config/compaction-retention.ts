import { parseInteger } from '../../base/flags/values.js';
import { parseDurationMs } from '../../base/go-duration.js';

/** Rule by which history is compacted without being asked for. */
export type AutoCompaction =
  | { readonly mode: 'off' }
  | { readonly mode: 'periodic'; readonly retentionMs: number }
  | { readonly mode: 'revision'; readonly retentionRevisions: number };

const HOUR_MS = 3_600_000;

/**
 * Combines `--auto-compaction-mode` and `--auto-compaction-retention`: a bare number is hours in mode periodic
 * and revisions in mode revision.
 *
 * Throws: Error with a text for people.
 */
export function parseAutoCompaction(mode: string, retention: string): AutoCompaction {
  if (mode !== 'periodic' && mode !== 'revision') {
    throw new Error(`unknown auto-compaction-mode "${mode}"`);
  }
  const count = parseInteger(retention, 0, Number.MAX_SAFE_INTEGER);
  if (mode === 'revision') {
    if (count === undefined) {
      throw new Error(
        `with --auto-compaction-mode=revision the retention is a number of revisions, not "${retention}"`,
      );
    }
    return count === 0 ? { mode: 'off' } : { mode, retentionRevisions: count };
  }
  const retentionMs = count === undefined ? parseDurationMs(retention) : count * HOUR_MS;
  if (retentionMs === undefined || retentionMs < 0) {
    throw new Error(`time: invalid duration "${retention}"`);
  }
  return retentionMs === 0 ? { mode: 'off' } : { mode, retentionMs };
}
