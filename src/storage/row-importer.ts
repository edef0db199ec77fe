import type { Backend } from './backend.js';
import { IMPORT_BUFFER_BYTES } from './limits.js';
import { ValueCache } from './value-cache.js';

/**
 * Fills the key bucket of an empty backend with rows from elsewhere: a snapshot of another store.
 *
 * Requires: rows in ascending revision order; no store is open on the backend. The caller waits with more rows while
 * `backend.pendingBytes` is high, calls `flush` now and then, and at the end.
 */
export class RowImporter {
  private readonly backend: Backend;
  private readonly blocks: ValueCache;

  constructor(backend: Backend) {
    this.backend = backend;
    this.blocks = new ValueCache(IMPORT_BUFFER_BYTES, (block) => {
      backend.rows.add(block);
    });
  }

  /** Adds one change; `payload` is the encoded KeyValue as etcd stores it, empty for a marker of a raised revision. */
  add(main: number, sub: number, tombstone: boolean, payload: Uint8Array): void {
    const bytes = this.blocks.reserve(payload.length);
    const start = this.blocks.payloadOffset;
    bytes.set(payload, start);
    this.blocks.commit(main, sub, tombstone, start + payload.length);
  }

  /** Hands what was added to the engine and lets go of written rows; may be called any number of times. */
  flush(): void {
    this.blocks.closeBlock();
    this.blocks.trim(Infinity);
    this.backend.flush();
  }
}
