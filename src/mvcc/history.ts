import { invariant } from '../base/invariant.js';
import { createRevisionOf, encodeDeleted, keyBytesOf, keyOfRow } from './key-value.js';
import type { Store } from './store.js';
import type { StoreEvent } from './types.js';

/** Events of whole revisions in order, and the revision to continue at. */
export type HistoryResult =
  { readonly events: StoreEvent[]; readonly nextMain: number } | 'compacted';

/** Collects rows into events until a revision begins with the budget used up. */
class Collector {
  private readonly store: Store;
  private readonly maxBytes: number;
  private bytes = 0;
  private lastMain = 0;
  readonly events: StoreEvent[] = [];
  nextMain: number;

  constructor(store: Store, endMain: number, maxBytes: number) {
    this.store = store;
    this.maxBytes = maxBytes;
    this.nextMain = endMain + 1;
  }

  /** Takes the next row; false when the result is complete without it. */
  take(main: number, sub: number, tombstone: boolean, payload: Uint8Array): boolean {
    if (main !== this.lastMain && this.bytes >= this.maxBytes) {
      this.nextMain = main;
      return false;
    }
    invariant(main >= this.lastMain, 'history goes back from {} to {}', this.lastMain, main);
    this.lastMain = main;
    if (payload.length === 0) return true;
    const { index, compactRevision } = this.store;
    const key = keyOfRow(payload);
    const isKept = main > compactRevision || index.isNewestAt(key, main, sub, compactRevision);
    if (!isKept) return true;
    const isCreate = !tombstone && createRevisionOf(payload) === main;
    this.bytes += payload.length;
    this.events.push({
      type: tombstone ? 'delete' : 'put',
      key,
      modRevision: main,
      sub,
      kv: tombstone ? encodeDeleted(keyBytesOf(payload), main) : payload,
      isCreate,
      // At or below the compaction revision the row before is removable, so it counts as gone.
      prev: isCreate || main <= compactRevision ? null : index.rowBefore(key, main),
    });
    return true;
  }
}

/**
 * Reads the events of the revisions [fromMain, toMain] for watchers that catch up.
 *
 * Served from the cache when it reaches back far enough, from the engine up to where the cache begins otherwise;
 * `nextMain` is where the next read begins. `done` runs on a later turn.
 */
export function readHistory(
  store: Store,
  fromMain: number,
  toMain: number,
  maxBytes: number,
  done: (error: Error | null, result: HistoryResult) => void,
): void {
  const cachedFrom = store.cache.completeFrom;
  const end = Math.min(toMain, store.currentRevision);
  if (fromMain < store.compactRevision || fromMain > end || cachedFrom <= fromMain) {
    store.env.defer(() => {
      if (fromMain < store.compactRevision) done(null, 'compacted');
      else done(null, readCached(store, fromMain, end, maxBytes));
    });
    return;
  }
  const collector = new Collector(store, Math.min(end, cachedFrom - 1), maxBytes);
  store.backend.rows.forEach(
    fromMain,
    Math.min(end, cachedFrom - 1),
    (main, sub, tombstone, payload) => collector.take(main, sub, tombstone, payload),
    (error) => {
      // A compaction during the reading may have removed rows under it.
      if (fromMain < store.compactRevision) done(error, 'compacted');
      else done(error, collector);
    },
  );
}

function readCached(
  store: Store,
  fromMain: number,
  toMain: number,
  maxBytes: number,
): HistoryResult {
  const collector = new Collector(store, toMain, maxBytes);
  if (fromMain > toMain) return { events: [], nextMain: fromMain };
  store.cache.scan(
    fromMain,
    (row) => row.main <= toMain && collector.take(row.main, row.sub, row.tombstone, row.payload),
  );
  return collector;
}
