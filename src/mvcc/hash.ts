import { invariant } from '../base/invariant.js';
import { crc32c } from '../base/bytes/crc32c.js';
import { keyOfRow } from './key-value.js';
import { TOMBSTONE_BYTES, writeRevisionKey } from '../storage/revision.js';
import type { Store } from './store.js';
import type { MvccReason } from './types.js';

/** HashKV's answer: equal on every member with the same history at the same two revisions. */
export interface HashResult {
  readonly hash: number;
  /** -1 when the store was never compacted. */
  readonly compactRevision: number;
  readonly hashRevision: number;
}

const BUCKET_NAME = Buffer.from('key', 'latin1');

/**
 * CRC32C over the bucket's name and then key and value of every stored change up to a revision, in revision order.
 *
 * Changes that compaction may remove are left out, removed or not. A change at or below the
 * compaction revision counts only if it is its key's row at the hashed revision. When no key exists
 * at the hashed revision, it counts if it is its key's row at the compaction revision, which stays
 * stored. Ends with 'state-replaced' when the store is restored from another backend meanwhile.
 * Ref: etcd server/storage/mvcc/hash.go.
 */
export function hashKv(
  store: Store,
  revision: number,
  done: (error: Error | MvccReason | null, result: HashResult | null) => void,
): void {
  const hashRevision = revision > 0 ? revision : store.currentRevision;
  const refusal = store.checkRevision(hashRevision);
  if (refusal !== null) {
    done(refusal, null);
    return;
  }
  const { compactRevision, index } = store;
  const release = store.pin(hashRevision);
  const isAnyLive = store.count({ start: '', end: null }, hashRevision) > 0;
  const keptAt = isAnyLive ? hashRevision : compactRevision;
  const revisionKey = new Uint8Array(TOMBSTONE_BYTES);
  let hash = crc32c(BUCKET_NAME);
  let last = 0;
  let isReplaced = false;
  const forget = store.whenReplaced(() => {
    isReplaced = true;
    done('state-replaced', null);
  });
  const { backend } = store;
  backend.whenWritten(() => {
    if (isReplaced) return;
    backend.rows.forEach(
      0,
      hashRevision,
      (main, sub, tombstone, payload) => {
        if (isReplaced) return false;
        invariant(main >= last && main <= hashRevision, 'row {} is hashed after {}', main, last);
        last = main;
        if (main === compactRevision && tombstone) return true;
        if (main <= compactRevision) {
          if (tombstone || !index.isNewestAt(keyOfRow(payload), main, sub, keptAt)) return true;
        }
        const keyEnd = writeRevisionKey(revisionKey, 0, main, sub, tombstone);
        hash = crc32c(payload, crc32c(revisionKey, hash, 0, keyEnd));
        return true;
      },
      (error) => {
        if (isReplaced) return;
        forget();
        release();
        done(error, error === null ? { hash, compactRevision, hashRevision } : null);
      },
    );
  });
}
