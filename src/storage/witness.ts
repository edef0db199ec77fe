import { crc32c } from '../base/bytes/crc32c.js';
import { invariant } from '../base/invariant.js';
import { bucketName, FIRST_BUCKET, LAST_BUCKET } from './buckets.js';
import { readU64, writeU64 } from '../base/bytes/big-endian.js';
import { checksumOf } from './stored-row.js';

/**
 * The witness of an image's content: the number of rows in each bucket, and a sum over them that
 * does not depend on their order. Checksums of rows prove the rows that are returned; the witness
 * proves that none is missing, stale or left over. Every batch carries it, so it holds for exactly
 * the rows of that batch and all before.
 *
 *   witness := appliedIndex u64be, term u64be, newest revision u64be, { bucket }
 *   bucket  := prefix u8, rows u64be, sum u32be u32be       (buckets without rows are left out; prefixes ascend)
 *
 * The sum of a bucket is the sum modulo 2^32, in two lanes, of a hash of each row. Adding and taking away a row costs
 * a few multiplications and needs its checksum only, not its value. In the key bucket a row is one change, so rows
 * may move between blocks; elsewhere it is one stored row. Rows that every batch replaces are not counted.
 */

const HEAD_BYTES = 24;
const BUCKET_BYTES = 17;

// Odd multipliers with well mixed bits, from the finalizers of MurmurHash3 (public domain, Austin Appleby).
const MIX_1 = 0x85ebca6b;
const MIX_2 = 0xc2b2ae35;
const MIX_3 = 0xcc9e2d51;
const MIX_4 = 0x1b873593;
const SEED_LOW = 0x2f0b4a27;
const SEED_HIGH = 0x7d1c83e5;

function lane(seed: number, a: number, b: number, c: number): number {
  let h = Math.imul(seed ^ a, MIX_1);
  h ^= h >>> 15;
  h = Math.imul(h ^ b, MIX_2);
  h ^= h >>> 13;
  h = Math.imul(h ^ c, MIX_3);
  h ^= h >>> 16;
  h = Math.imul(h, MIX_4);
  return h ^ (h >>> 15);
}

/** Number and sum of rows, or the change of both. Three numbers of 32 bits name a row; one of them is its checksum. */
export class RowSum {
  rows = 0;
  low = 0;
  high = 0;

  add(a: number, b: number, c: number): void {
    this.rows++;
    this.low = (this.low + lane(SEED_LOW, a, b, c)) | 0;
    this.high = (this.high + lane(SEED_HIGH, a, b, c)) | 0;
  }

  remove(a: number, b: number, c: number): void {
    this.rows--;
    this.low = (this.low - lane(SEED_LOW, a, b, c)) | 0;
    this.high = (this.high - lane(SEED_HIGH, a, b, c)) | 0;
  }

  /** Adds a change of a revision in the key bucket. */
  addChange(main: number, sub: number, checksum: number): void {
    this.add(checksum, main | 0, sub);
  }

  removeChange(main: number, sub: number, checksum: number): void {
    this.remove(checksum, main | 0, sub);
  }

  /** Adds a row of another bucket. */
  addRow(full: Uint8Array, payload: Uint8Array): void {
    this.add(checksumOf(full, payload), crc32c(full), payload.length);
  }

  removeRow(full: Uint8Array, payload: Uint8Array): void {
    this.remove(checksumOf(full, payload), crc32c(full), payload.length);
  }

  addSum(other: RowSum): void {
    this.rows += other.rows;
    this.low = (this.low + other.low) | 0;
    this.high = (this.high + other.high) | 0;
  }

  equals(other: RowSum): boolean {
    return this.rows === other.rows && this.low === other.low && this.high === other.high;
  }
}

/** Content that an image has, or must have. */
export class Witness {
  appliedIndex = 0;
  term = 0;
  /** Newest revision, 0 when no change was ever stored. */
  revision = 0;
  private readonly sums = new Map<number, RowSum>();

  /** The sum of a bucket, to be read or changed. */
  sumOf(bucket: number): RowSum {
    let sum = this.sums.get(bucket);
    if (sum === undefined) {
      sum = new RowSum();
      this.sums.set(bucket, sum);
    }
    return sum;
  }

  get isEmpty(): boolean {
    for (const sum of this.sums.values()) if (sum.rows !== 0) return false;
    return true;
  }

  encode(): Uint8Array {
    const bytes = new Uint8Array(HEAD_BYTES + BUCKET_BYTES * this.sums.size);
    writeU64(bytes, 0, this.appliedIndex);
    writeU64(bytes, 8, this.term);
    writeU64(bytes, 16, this.revision);
    const view = new DataView(bytes.buffer);
    let at = HEAD_BYTES;
    for (let bucket: number = FIRST_BUCKET; bucket <= LAST_BUCKET; bucket++) {
      const sum = this.sums.get(bucket);
      if (sum === undefined || sum.rows === 0) continue;
      invariant(sum.rows > 0, 'more rows were taken out of a bucket than were put in');
      bytes[at] = bucket;
      writeU64(bytes, at + 1, sum.rows);
      view.setInt32(at + 9, sum.low);
      view.setInt32(at + 13, sum.high);
      at += BUCKET_BYTES;
    }
    return bytes.subarray(0, at);
  }

  /** The witness that `bytes` encode, or null when they are none. */
  static decode(bytes: Uint8Array): Witness | null {
    if (bytes.length < HEAD_BYTES || (bytes.length - HEAD_BYTES) % BUCKET_BYTES !== 0) return null;
    const witness = new Witness();
    witness.appliedIndex = readU64(bytes, 0);
    witness.term = readU64(bytes, 8);
    witness.revision = readU64(bytes, 16);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = HEAD_BYTES; at < bytes.length; at += BUCKET_BYTES) {
      const sum = witness.sumOf(bytes[at] as number);
      sum.rows = readU64(bytes, at + 1);
      sum.low = view.getInt32(at + 9);
      sum.high = view.getInt32(at + 13);
    }
    return witness;
  }

  /**
   * Contradiction between this witness and an image that holds `found`: one sentence without a full
   * stop, or null.
   */
  contradiction(found: Witness): string | null {
    if (found.appliedIndex !== this.appliedIndex || found.term !== this.term) {
      return (
        `the image ends at log index ${found.appliedIndex} of term ${found.term}, ` +
        `its witness at ${this.appliedIndex} of term ${this.term}`
      );
    }
    for (let bucket: number = FIRST_BUCKET; bucket <= LAST_BUCKET; bucket++) {
      const is = found.sumOf(bucket);
      const must = this.sumOf(bucket);
      if (is.equals(must)) continue;
      const name = bucketName(bucket) ?? 'unknown';
      return is.rows === must.rows
        ? `the ${is.rows} rows of bucket "${name}" are not the ones that were written`
        : `bucket "${name}" holds ${is.rows} rows, ${must.rows} were written`;
    }
    if (found.revision !== this.revision) {
      return `the newest revision is ${found.revision}, ${this.revision} was written`;
    }
    return null;
  }
}
