import type { Logger } from '../../base/observe/logger.js';
import { durationText, sizeText } from '../../base/observe/units.js';
import type { StoreObserver } from '../../mvcc/observer.js';

/**
 * Logs the end of each compaction with the line and the fields of etcd (server/storage/mvcc/kvstore_compaction.go), and
 * passes everything on to `next`. Etcd's field `hash` is left out: it reads every row at each compaction, this store
 * only those that it removes.
 */
export function compactionLog(log: Logger, next: StoreObserver | undefined): StoreObserver {
  return {
    indexSliced: (ms) => next?.indexSliced(ms),
    rowsSliced: (ms) => next?.rowsSliced(ms),
    hashed: (ms) => next?.hashed(ms),
    compacted(result) {
      next?.compacted(result);
      log.info('finished scheduled compaction', {
        'compact-revision': result.revision,
        took: durationText(result.tookMs),
        'removed-revisions': result.rowsRemoved,
        'current-db-size-bytes': result.sizeBytes,
        'current-db-size': sizeText(result.sizeBytes),
        'current-db-size-in-use-bytes': result.sizeInUseBytes,
        'current-db-size-in-use': sizeText(result.sizeInUseBytes),
      });
    },
  };
}
