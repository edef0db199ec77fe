import { Bucket, bucketName, metaKey, MetaKey } from './buckets.js';
import { nameOf } from './batch.js';
import { decodeFormat, IMAGE_FORMAT, ImageTooNew } from './format.js';
import { readU64 } from '../base/bytes/big-endian.js';
import { BlockReader } from './row-block.js';
import { verifiedPayload } from './stored-row.js';
import { Witness, type RowSum } from './witness.js';

/**
 * Takes the rows of a whole image one by one, in any order, and compares them with the image's
 * witness at the end. Called by backend.ts after opening and by image.ts for images sent and
 * received.
 *
 * A finding is one sentence without a full stop, or null for nothing.
 */

const CONSISTENT_INDEX = nameOf(metaKey(MetaKey.consistentIndex));
const TERM = nameOf(metaKey(MetaKey.term));
const WITNESS = nameOf(metaKey(MetaKey.witness));
const FORMAT = nameOf(metaKey(MetaKey.format));
/** Rows that every batch replaces; the witness repeats their content and does not count them. */
export const RENEWED: ReadonlySet<string> = new Set([CONSISTENT_INDEX, TERM, WITNESS]);
const NUMBER_BYTES = 8;

export class ImageCheck {
  /** Counts and sums of the rows taken so far. */
  readonly found = new Witness();
  private witness: Witness | null = null;
  private hasFormat = false;
  private readonly reader = new BlockReader();

  /** Takes a stored row of any bucket. */
  take(full: Uint8Array, stored: Uint8Array): string | null {
    const prefix = full[0] as number;
    if (prefix === Bucket.key) return this.takeBlock(full, stored);
    if (bucketName(prefix) === undefined) return `row ${hexOf(full)} is in no bucket`;
    const payload = verifiedPayload(full, stored);
    if (payload === null) return `row ${hexOf(full)} does not match its checksum`;
    const name = nameOf(full);
    if (!RENEWED.has(name)) this.found.sumOf(prefix).addRow(full, payload);
    return prefix === Bucket.meta ? this.takeMeta(name, payload) : null;
  }

  private takeBlock(full: Uint8Array, stored: Uint8Array): string | null {
    const { reader, found } = this;
    const sum = found.sumOf(Bucket.key);
    if (!reader.open(full, stored)) return `block ${hexOf(full)} does not match its checksum`;
    while (!reader.isAtEnd) {
      if (!reader.next() || reader.payload() === null) {
        return `a row of block ${hexOf(full)} does not match its checksum`;
      }
      sum.addChange(reader.main, reader.sub, reader.checksum);
      if (reader.main > found.revision) found.revision = reader.main;
    }
    return null;
  }

  private takeMeta(name: string, payload: Uint8Array): string | null {
    if (name === WITNESS) {
      this.witness = Witness.decode(payload);
      return this.witness === null ? 'its witness cannot be read' : null;
    }
    if (name === FORMAT) return this.takeFormat(payload);
    if (name !== CONSISTENT_INDEX && name !== TERM) return null;
    if (payload.length !== NUMBER_BYTES) return 'its applied index cannot be read';
    const number = readU64(payload, 0);
    if (name === TERM) this.found.term = number;
    else this.found.appliedIndex = number;
    return null;
  }

  private takeFormat(payload: Uint8Array): string | null {
    const format = decodeFormat(payload);
    if (format === null) return 'its format cannot be read';
    this.hasFormat = true;
    return format.number > IMAGE_FORMAT ? new ImageTooNew(format).message : null;
  }

  /** Takes all rows of the key bucket at once: their sum and the newest revision among them, 0 for none. */
  takeChanges(changes: RowSum, revision: number): void {
    this.found.sumOf(Bucket.key).addSum(changes);
    this.found.revision = Math.max(this.found.revision, revision);
  }

  /** True when no row was a witness or named a format: the image is new, or was written by mainstay 0.1.0. */
  get isOfFirstFormat(): boolean {
    return this.witness === null && !this.hasFormat;
  }

  /** All rows were taken: compares them with the witness that was among them. */
  finish(): string | null {
    if (this.witness === null) return 'its witness is missing';
    if (!this.hasFormat) return 'the number of its format is missing';
    return this.witness.contradiction(this.found);
  }
}

function hexOf(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}
