import { putU64 } from '../base/bytes/little-endian.js';
import { crc32c } from '../base/bytes/crc32c.js';
import { invariant } from '../base/invariant.js';
import type { Entry, HardState, SnapshotMeta } from '../raft/types.js';
import { EntryType } from '../raft/types.js';
import {
  RECORD_HEADER_BYTES,
  RECORD_MAGIC,
  RecordType,
  SEAL_PAYLOAD_BYTES,
  SECTOR_BYTES,
  TRAILER_BYTES,
  align8,
  alignSector,
  putSnapshot,
  snapshotPayloadBytes,
  viewOf,
} from './format.js';
import { ENCODER_BYTES, ENCODER_RETAINED_BYTES } from './limits.js';

/** Most a record can take besides its payload: header, padding to 8, and the rest of a sector it may not begin in. */
const RECORD_OVERHEAD_BYTES = RECORD_HEADER_BYTES + 8 + RECORD_HEADER_BYTES;

/** Bytes that `entries` take at most in a batch. */
export function entriesBound(entries: readonly Entry[]): number {
  let bound = entries.length * RECORD_OVERHEAD_BYTES;
  for (let i = 0; i < entries.length; i++) bound += (entries[i] as Entry).data.length;
  return bound;
}

export function snapshotBound(snapshot: SnapshotMeta): number {
  return RECORD_OVERHEAD_BYTES + snapshotPayloadBytes(snapshot.confState);
}

export const SEAL_BOUND = RECORD_OVERHEAD_BYTES + SEAL_PAYLOAD_BYTES;

export interface SealFields {
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly hardState: HardState;
  readonly trailer: Uint8Array;
}

/**
 * Builds one batch at a time in a buffer that is used again for the next.
 *
 * Use: `begin`, then records in order, then `seal`, then `bytes()` until the next `begin`.
 * Invariant: position 0 of the buffer is a sector boundary in the file, so sector arithmetic agrees.
 */
export class BatchEncoder {
  /** Link of the last record written: header CRC. */
  link = 0;
  private buffer = new Uint8Array(ENCODER_BYTES);
  private view = viewOf(this.buffer);
  private pos = 0;
  private salt = 0;
  private batch = 0;
  private records = 0;
  private linkBefore = 0;
  private bound = 0;

  begin(boundBytes: number, link: number, batch: number, salt: number): void {
    if (boundBytes > this.buffer.length)
      this.replaceBuffer(alignSector(Math.max(boundBytes, 2 * this.buffer.length)));
    this.bound = boundBytes;
    this.pos = 0;
    this.link = link;
    this.linkBefore = link;
    this.batch = batch;
    this.salt = salt;
    this.records = 0;
  }

  entry(entry: Entry): void {
    const data = entry.data;
    const type =
      entry.type === EntryType.normal ? RecordType.normalEntry : RecordType.confChangeEntry;
    const at = this.startRecord();
    this.buffer.set(data, at + RECORD_HEADER_BYTES);
    this.finishRecord(at, type, data.length, entry.index, entry.term, crc32c(data));
  }

  marker(snapshot: SnapshotMeta, restart: boolean): void {
    const at = this.startRecord();
    const length = snapshotPayloadBytes(snapshot.confState);
    const payloadAt = at + RECORD_HEADER_BYTES;
    putSnapshot(this.view, payloadAt, snapshot);
    const crc = crc32c(this.buffer, 0, payloadAt, payloadAt + length);
    this.finishRecord(
      at,
      restart ? RecordType.restart : RecordType.marker,
      length,
      snapshot.index,
      snapshot.term,
      crc,
    );
  }

  seal(fields: SealFields): void {
    const at = this.startRecord();
    const payloadAt = at + RECORD_HEADER_BYTES;
    const view = this.view;
    putU64(view, payloadAt, this.batch);
    putU64(view, payloadAt + 8, fields.firstIndex);
    putU64(view, payloadAt + 16, fields.lastIndex);
    putU64(view, payloadAt + 24, fields.hardState.term);
    view.setBigUint64(payloadAt + 32, fields.hardState.vote, true);
    putU64(view, payloadAt + 40, fields.hardState.commit);
    view.setUint32(payloadAt + 48, this.records, true);
    view.setUint32(payloadAt + 52, this.linkBefore, true);
    this.buffer.set(fields.trailer, payloadAt + SEAL_PAYLOAD_BYTES - TRAILER_BYTES);
    const crc = crc32c(this.buffer, 0, payloadAt, payloadAt + SEAL_PAYLOAD_BYTES);
    this.finishRecord(at, RecordType.seal, SEAL_PAYLOAD_BYTES, fields.lastIndex, 0, crc);
  }

  /**
   * The record that announces the following segment. It links to the last batch but no batch links
   * to it.
   */
  end(lastIndex: number): void {
    const at = this.startRecord();
    this.finishRecord(at, RecordType.end, 0, lastIndex, 0, 0);
  }

  /** The bytes built. Valid until the next `begin` or `release`. */
  bytes(): Uint8Array {
    invariant(this.pos <= this.bound, 'a batch is no longer than what was announced for it');
    return this.buffer.subarray(0, this.pos);
  }

  /** Gives back an unusually large buffer once its bytes are written. */
  release(): void {
    if (this.buffer.length > ENCODER_RETAINED_BYTES) this.replaceBuffer(ENCODER_BYTES);
  }

  private replaceBuffer(sizeBytes: number): void {
    this.buffer = new Uint8Array(sizeBytes);
    this.view = viewOf(this.buffer);
  }

  private startRecord(): number {
    const inSector = this.pos % SECTOR_BYTES;
    if (inSector + RECORD_HEADER_BYTES > SECTOR_BYTES) {
      const start = this.pos + SECTOR_BYTES - inSector;
      this.buffer.fill(0, this.pos, start);
      this.pos = start;
    }
    return this.pos;
  }

  private finishRecord(
    at: number,
    type: number,
    length: number,
    index: number,
    term: number,
    payloadCrc: number,
  ): void {
    const view = this.view;
    view.setUint32(at, RECORD_MAGIC | type, true);
    view.setUint32(at + 4, length, true);
    putU64(view, at + 8, index);
    putU64(view, at + 16, term);
    view.setUint32(at + 24, this.link, true);
    view.setUint32(at + 28, payloadCrc, true);
    view.setUint32(at + 32, this.batch >>> 0, true);
    this.link = crc32c(this.buffer, this.salt, at, at + 36);
    view.setUint32(at + 36, this.link, true);
    const payloadEnd = at + RECORD_HEADER_BYTES + length;
    this.pos = align8(payloadEnd);
    for (let i = payloadEnd; i < this.pos; i++) this.buffer[i] = 0;
    this.records++;
  }
}
