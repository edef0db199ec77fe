import type { Done } from '../base/env/env.js';
import type { Backend } from './backend.js';
import type { Batch } from './batch.js';
import { Bucket, metaKey, MetaKey } from './buckets.js';
import { decodeFormat, encodeFormat, IMAGE_FORMAT, ImageTooNew } from './format.js';
import { ImageCheck, RENEWED } from './image-check.js';
import { SCAN_ROWS } from './limits.js';
import { Witness, type RowSum } from './witness.js';

const WITNESS = metaKey(MetaKey.witness);
const FORMAT = metaKey(MetaKey.format);
const BEFORE_ALL = Uint8Array.of(0);
const BEFORE_KEYS = Uint8Array.of(Bucket.key);
const BEHIND_KEYS = Uint8Array.of(Bucket.key + 1);
const BEHIND_ALL = Uint8Array.of(0xff);

/** Keeps the witness of a backend's image true and, after opening, compares the image with it. Called by backend.ts. */
export class ImageWitness {
  private readonly backend: Backend;
  /** Of everything sealed; null while the image has none, because it is new or of format 1. */
  private witness: Witness | null;

  /** Throws: ImageTooNew. */
  constructor(backend: Backend) {
    this.backend = backend;
    this.witness = this.read();
  }

  private read(): Witness | null {
    const { backend } = this;
    const formatRow = backend.readRow(FORMAT);
    if (formatRow !== undefined) {
      const format = decodeFormat(formatRow) ?? backend.corrupt(`meta row ${MetaKey.format}`);
      if (format.number > IMAGE_FORMAT) throw new ImageTooNew(format);
    }
    const row = backend.readRow(WITNESS);
    if (row === undefined) return null;
    return Witness.decode(row) ?? backend.corrupt(`meta row ${MetaKey.witness}`);
  }

  /**
   * Adds the changes of `batch` to the witness, and the witness to the batch. `before` returns a
   * row as it is once the engine took everything sealed earlier.
   */
  join(
    batch: Batch,
    appliedIndex: number,
    term: number,
    before: (name: string, full: Uint8Array) => Uint8Array | undefined,
  ): void {
    const { witness } = this;
    if (witness === null) return;
    for (const [name, { key, payload }] of batch.overlay) {
      if (RENEWED.has(name)) continue;
      const sum = witness.sumOf(key[0] as number);
      const old = before(name, key);
      if (old !== undefined) sum.removeRow(key, old);
      if (payload !== null) sum.addRow(key, payload);
    }
    witness.sumOf(Bucket.key).addSum(batch.changes);
    if (batch.lastMain > witness.revision) witness.revision = batch.lastMain;
    witness.appliedIndex = appliedIndex;
    witness.term = term;
    batch.put(WITNESS, witness.encode());
  }

  /** See Backend.verify. */
  verify(changes: RowSum, revision: number, done: Done): void {
    const { backend } = this;
    const check = new ImageCheck();
    check.takeChanges(changes, revision);
    const take = (full: Uint8Array, stored: Uint8Array): boolean => {
      const found = check.take(full, stored);
      if (found !== null) backend.damaged(found);
      return true;
    };
    backend.scan(BEFORE_ALL, BEFORE_KEYS, SCAN_ROWS, take, (lowError) => {
      if (lowError !== null) return done(lowError);
      backend.scan(BEHIND_KEYS, BEHIND_ALL, SCAN_ROWS, take, (error) => {
        if (error !== null) return done(error);
        this.compare(check, done);
      });
    });
  }

  private compare(check: ImageCheck, done: Done): void {
    if (this.witness === null && check.isOfFirstFormat) return this.adopt(check.found, done);
    const contradiction = check.finish();
    if (contradiction !== null) this.backend.damaged(contradiction);
    done(null);
  }

  /** Brings an image without a witness to this format. */
  private adopt(found: Witness, done: Done): void {
    this.witness = found;
    this.backend.put(Bucket.meta, FORMAT.subarray(1), encodeFormat());
    this.backend.flush();
    this.backend.sync(done);
  }
}
