import type { Entry } from '../raft/types.js';
import { EntryType } from '../raft/types.js';
import type { PendingRecord, ReadBatch, Segment } from './batch-reader.js';
import { getU64 } from '../base/bytes/little-endian.js';
import { NO_HARD_STATE, NO_SNAPSHOT, RecordType, getSnapshot } from './format.js';
import { SLAB_BYTES } from './limits.js';

const NO_BYTES = new Uint8Array(0);

/** The meaning of the batches read so far: what a log would give back if it ended here. */
export class LogContent {
  entries: Entry[] = [];
  /** Index before entries[0]. */
  base = 0;
  lastIndex = 0;
  hardState = NO_HARD_STATE;
  snapshot = NO_SNAPSHOT;
  /** Sequence of the segment that holds the newest marker. */
  snapshotSeq = 0;
  /** Number and link of the last batch. */
  batch = 0;
  link = 0;
  /** Entries up to here are covered by a marker read before, so their payloads are not kept. */
  keepAfter = 0;
  /** Index at which the log last began anew; no entry at or below it can follow. */
  private restartIndex = 0;
  private slab: Uint8Array = NO_BYTES;
  private slabUsed = 0;

  /** The first segment's header stands for everything before it. */
  begin(segment: Segment): void {
    const { header } = segment;
    this.base = header.firstIndex - 1;
    this.lastIndex = this.base;
    this.batch = header.batch;
    this.link = header.link;
    this.snapshot = header.snapshot;
    this.snapshotSeq = header.seq;
  }

  /** True if the header of the next segment names exactly this point. */
  isContinuedBy(segment: Segment): boolean {
    const { header } = segment;
    return (
      header.link === this.link &&
      header.batch === this.batch &&
      header.firstIndex === this.lastIndex + 1 &&
      header.snapshot.index === this.snapshot.index
    );
  }

  /**
   * Takes the batch over, or returns how it contradicts the log; nothing may be taken after that.
   */
  take(segment: Segment, batch: ReadBatch): string | null {
    const lastBefore = this.lastIndex;
    const problem = this.takeRecords(segment, batch);
    if (problem !== null) {
      this.lastIndex = lastBefore;
      return problem;
    }
    const { view } = segment;
    const at = batch.seal.start;
    this.batch++;
    this.link = batch.link;
    this.hardState = {
      term: getU64(view, at + 24),
      vote: view.getBigUint64(at + 32, true),
      commit: getU64(view, at + 40),
    };
    return null;
  }

  private takeRecords(segment: Segment, batch: ReadBatch): string | null {
    let firstIndex = 0;
    for (let i = 0; i < batch.records.length; i++) {
      const record = batch.records[i] as PendingRecord;
      const isMarker = record.type === RecordType.marker || record.type === RecordType.restart;
      if (!isMarker && firstIndex === 0) firstIndex = record.index;
      const problem = isMarker ? this.takeMarker(segment, record) : this.takeEntry(segment, record);
      if (problem !== null) return problem;
    }
    const { view } = segment;
    const at = batch.seal.start;
    const fits =
      getU64(view, at) === this.batch + 1 &&
      getU64(view, at + 8) === firstIndex &&
      getU64(view, at + 16) === this.lastIndex &&
      view.getUint32(at + 48, true) === batch.records.length &&
      view.getUint32(at + 52, true) === this.link &&
      getU64(view, at + 40) <= this.lastIndex;
    return fits ? null : 'a seal does not fit its batch';
  }

  private takeMarker(segment: Segment, record: PendingRecord): string | null {
    const snapshot = getSnapshot(segment.view, record.start, record.start + record.length);
    if (snapshot === undefined) return 'a snapshot marker is malformed';
    if (record.type === RecordType.restart) {
      this.entries = [];
      this.base = snapshot.index;
      this.lastIndex = snapshot.index;
      this.restartIndex = snapshot.index;
    } else if (snapshot.index > this.lastIndex) {
      return `a snapshot marker names entry ${snapshot.index}, which the log does not hold`;
    }
    this.snapshot = snapshot;
    this.snapshotSeq = segment.file.seq;
    return null;
  }

  private takeEntry(segment: Segment, record: PendingRecord): string | null {
    const index = record.index;
    if (index > this.lastIndex + 1 || index <= this.restartIndex) {
      return `entry ${index} does not follow entry ${this.lastIndex}`;
    }
    if (index <= this.base) {
      // The entries it replaces began in a segment that was released since; what precedes it is there too.
      this.entries = [];
      this.base = index - 1;
    } else if (index <= this.lastIndex) {
      this.entries.length = index - this.base - 1;
    }
    const data =
      index > this.keepAfter
        ? this.copyPayload(segment.bytes, record.start, record.length)
        : NO_BYTES;
    const type = record.type === RecordType.normalEntry ? EntryType.normal : EntryType.confChange;
    this.entries.push({ term: record.term, index, type, data });
    this.lastIndex = index;
    return null;
  }

  /** Copies into slabs, so that a few entries do not keep a whole segment's bytes in memory. */
  private copyPayload(bytes: Uint8Array, start: number, length: number): Uint8Array {
    if (length === 0) return NO_BYTES;
    if (length > SLAB_BYTES / 4) return bytes.slice(start, start + length);
    if (this.slabUsed + length > this.slab.length) {
      this.slab = new Uint8Array(SLAB_BYTES);
      this.slabUsed = 0;
    }
    const copy = this.slab.subarray(this.slabUsed, this.slabUsed + length);
    copy.set(bytes.subarray(start, start + length));
    this.slabUsed += length;
    return copy;
  }
}
