/**
 * Reads a log and decides what its end means: clean, torn by a crash, or damaged.
 *
 * Judgement at the first place that cannot be read, which lies in batch n:
 *  - it is followed by another segment, or anywhere later by an intact record header of a batch after n: batch n was
 *    durable before batch n+1 was written, so this is damage;
 *  - batch n was written to its end (its trailer stands last) and the unreadable record has no missing (all-zero)
 *    sector: a torn write cannot look like this, so this is damage;
 *  - a witness, or the log's own commit index, knows of an entry beyond the last intact batch: damage;
 *  - anything else is the write that was under way in a crash, never acknowledged: torn.
 * What this cannot tell: an acknowledged last batch which lost whole sectors after it was synced, with no witness.
 *
 * Pure but for reading files; changes nothing on disk.
 */
import { crc32c } from '../base/bytes/crc32c.js';
import type { Disk } from '../base/env/env.js';
import type { Entry, HardState, SnapshotMeta } from '../raft/types.js';
import { EntryType } from '../raft/types.js';
import type { DamageDetails } from './errors.js';
import { WalForeign } from './errors.js';
import type { SegmentFile, SegmentHeader } from './format.js';
import {
  NO_HARD_STATE,
  NO_SNAPSHOT,
  RECORD_HEADER_BYTES,
  RecordType,
  SEAL_PAYLOAD_BYTES,
  align8,
  alignSector,
  decodeSegmentHeader,
  getSnapshot,
  getU64,
  isRecordHeader,
  listSegments,
  recordStart,
  segmentHeaderBytes,
  viewOf,
} from './format.js';
import type { UnreadableRecord } from './tail.js';
import { endOfContent, endsWithTrailer, hasMissingSector } from './tail.js';
import type { WalOptions } from './types.js';

const SLAB_BYTES = 256 * 1024;
const NO_BYTES = new Uint8Array(0);

export interface Damage extends DamageDetails {
  /** Segment to cut, if the log is to be repaired, and where: the end of the last intact batch in it. */
  readonly segment: number;
  readonly cutOffset: number;
}

export interface TornTail {
  readonly segment: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface ScannedSegment {
  readonly file: SegmentFile;
  readonly header: SegmentHeader;
}

/** Everything a scan found, up to the first damage. */
export interface Scan {
  /** Contiguous by sequence, oldest first, as far as they were read. */
  readonly segments: readonly ScannedSegment[];
  /** Older files that a release left behind. */
  readonly leftovers: readonly SegmentFile[];
  readonly entries: readonly Entry[];
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  readonly lastIndex: number;
  readonly batch: number;
  readonly link: number;
  /** Sequence of the segment that holds the newest marker. */
  readonly snapshotSeq: number;
  /** Where the next batch goes in the last segment. */
  readonly position: number;
  readonly torn: TornTail | null;
  readonly damage: Damage | null;
  /** Highest entry index seen intact after the damage; 0 when there is none. */
  readonly highestAfterDamage: number;
  /** First entry missing between the marker and what the log holds; 0 when it is whole. */
  readonly firstMissing: number;
}

export function scanLog(disk: Disk, options: WalOptions): Scan {
  return new Scanner(disk, options).run();
}

interface PendingRecord {
  readonly type: number;
  readonly index: number;
  readonly term: number;
  readonly start: number;
  readonly length: number;
}

/** Why reading a batch stopped. */
interface Unreadable extends UnreadableRecord {
  readonly why: string;
  /** The checksums agree but the content contradicts the log: no torn write looks like this. */
  readonly contradiction: boolean;
}

interface Segment {
  readonly file: SegmentFile;
  readonly path: string;
  readonly header: SegmentHeader;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly actualBytes: number;
}

class Scanner {
  private readonly disk: Disk;
  private readonly options: WalOptions;
  private readonly segments: ScannedSegment[] = [];
  private leftovers: SegmentFile[] = [];
  private entries: Entry[] = [];
  /** Index before entries[0]. */
  private base = 0;
  private lastIndex = 0;
  /** Where the log last began anew; no entry at or below it can follow. */
  private restartIndex = 0;
  private hardState = NO_HARD_STATE;
  private snapshot = NO_SNAPSHOT;
  private snapshotSeq = 0;
  private batch = 0;
  private link = 0;
  private position = 0;
  /** What ended the reading of the segment before. */
  private lastStop: Unreadable | null = null;
  private torn: TornTail | null = null;
  private damage: Damage | null = null;
  private highestAfterDamage = 0;
  /** Entries up to here are covered by a marker already known, so their payloads are not kept. */
  private keepAfter = 0;
  private slab: Uint8Array = NO_BYTES;
  private slabUsed = 0;
  private newestBytes: Uint8Array = NO_BYTES;
  private newestName = '';

  constructor(disk: Disk, options: WalOptions) {
    this.disk = disk;
    this.options = options;
  }

  run(): Scan {
    const files = this.contiguousFiles();
    this.peekNewest(files);
    for (let i = 0; i < files.length && this.damage === null; i++) {
      const file = files[i];
      if (file !== undefined) this.scanSegment(file, i === 0, i === files.length - 1);
    }
    if (this.damage === null) this.checkWhole(files);
    if (this.damage !== null) this.surveyAfterDamage(files);
    return {
      segments: this.segments,
      leftovers: this.leftovers,
      entries: this.entries.slice(Math.max(0, this.snapshot.index - this.base)),
      hardState: this.hardState,
      snapshot: this.snapshot,
      lastIndex: this.lastIndex,
      batch: this.batch,
      link: this.link,
      snapshotSeq: this.snapshotSeq,
      position: this.position,
      torn: this.torn,
      damage: this.damage,
      highestAfterDamage: this.highestAfterDamage,
      firstMissing: this.base > this.snapshot.index ? this.snapshot.index + 1 : 0,
    };
  }

  /**
   * The newest run of segments without a gap. Older ones can come back when a crash undoes their removal; whether the
   * run suffices is decided by `checkWhole`.
   */
  private contiguousFiles(): SegmentFile[] {
    const all = listSegments(this.disk.readdirSync(this.options.dir));
    let start = all.length - 1;
    while (start > 0 && all[start - 1]?.seq === (all[start]?.seq ?? 0) - 1) start--;
    this.leftovers = all.slice(0, Math.max(0, start));
    return all.slice(Math.max(0, start));
  }

  private path(file: SegmentFile): string {
    return `${this.options.dir}/${file.name}`;
  }

  private read(file: SegmentFile): Uint8Array {
    return file.name === this.newestName
      ? this.newestBytes
      : this.disk.readFileSync(this.path(file));
  }

  /** The newest header names a marker below which payloads need not be kept, and shows an alien log at once. */
  private peekNewest(files: readonly SegmentFile[]): void {
    const newest = files[files.length - 1];
    if (newest === undefined) return;
    this.newestBytes = this.read(newest);
    this.newestName = newest.name;
    const reading = decodeSegmentHeader(this.newestBytes);
    if (reading.kind === 'ok') this.keepAfter = reading.header.snapshot.index;
  }

  private damaged(
    path: string,
    offset: number,
    found: string,
    segment: number,
    cutOffset: number,
  ): void {
    const firstLostIndex = this.lastIndex + 1;
    this.damage ??= { path, offset, found, firstLostIndex, segment, cutOffset };
  }

  private scanSegment(file: SegmentFile, isFirst: boolean, isLast: boolean): void {
    const segment = this.openSegment(file);
    if (segment === null) return;
    const header = segment.header;
    if (isFirst) {
      this.base = header.firstIndex - 1;
      this.lastIndex = this.base;
      this.batch = header.batch;
      this.link = header.link;
      this.snapshot = header.snapshot;
      this.snapshotSeq = header.seq;
    } else if (
      header.link !== this.link ||
      header.batch !== this.batch ||
      header.firstIndex !== this.lastIndex + 1 ||
      header.snapshot.index !== this.snapshot.index
    ) {
      const previous = this.segments[this.segments.length - 1];
      const where = previous === undefined ? file : previous.file;
      const why = this.lastStop?.why ?? 'batches are missing';
      const found = `${why}, and segment ${file.name} does not continue what precedes it`;
      this.damaged(
        this.path(where),
        this.lastStop?.at ?? this.position,
        found,
        where.seq,
        this.position,
      );
      return;
    }
    this.hardState = header.hardState;
    this.segments.push({ file, header });
    this.position = segmentHeaderBytes(header.snapshot);
    this.readBatches(segment, isLast);
    if (this.damage === null && segment.actualBytes !== header.sizeBytes) {
      const found = `the file has ${segment.actualBytes} bytes instead of ${header.sizeBytes}`;
      this.damaged(
        segment.path,
        Math.min(segment.actualBytes, header.sizeBytes),
        found,
        file.seq,
        this.position,
      );
    }
  }

  private openSegment(file: SegmentFile): Segment | null {
    const path = this.path(file);
    const raw = this.read(file);
    const reading = decodeSegmentHeader(raw);
    if (reading.kind === 'version') {
      throw new WalForeign(
        `the write-ahead log ${path} has format version ${reading.version}, which this program cannot read`,
      );
    }
    if (reading.kind === 'damaged') {
      this.damaged(path, 0, 'the header of the segment is unreadable', file.seq, 0);
      return null;
    }
    const header = reading.header;
    const own = this.options.identity;
    if (header.identity.clusterId !== own.clusterId || header.identity.memberId !== own.memberId) {
      throw new WalForeign(
        `the write-ahead log ${path} belongs to member ${header.identity.memberId.toString(16)} of cluster ` +
          `${header.identity.clusterId.toString(16)}, not to member ${own.memberId.toString(16)} of cluster ${own.clusterId.toString(16)}`,
      );
    }
    if (header.seq !== file.seq || header.firstIndex !== file.firstIndex) {
      this.damaged(
        path,
        0,
        `the file holds segment ${header.seq}, its name says ${file.seq}`,
        file.seq,
        0,
      );
      return null;
    }
    // A file of the wrong size is damage, reported once what it still holds is known.
    let bytes = raw;
    if (raw.length !== header.sizeBytes) {
      bytes = new Uint8Array(Math.min(header.sizeBytes, alignSector(raw.length)));
      bytes.set(raw.subarray(0, bytes.length));
    }
    return { file, path, header, bytes, view: viewOf(bytes), actualBytes: raw.length };
  }

  private readBatches(segment: Segment, isLast: boolean): void {
    for (;;) {
      const start = this.position;
      const stop = this.readBatch(segment, start);
      if (stop === null) continue;
      if (!isLast) {
        // The next header says whether this was the end of the segment.
        this.lastStop = stop;
        return;
      }
      if (this.isEnd(segment, start)) {
        const found = `segment ${segment.file.seq + 1}, which followed this one, is missing`;
        this.damaged(segment.path, start, found, segment.file.seq, start);
        return;
      }
      this.judgeTail(segment, start, stop);
      return;
    }
  }

  private isEnd(segment: Segment, at: number): boolean {
    const { bytes, view, header } = segment;
    return (
      isRecordHeader(bytes, view, at, header.salt) &&
      (view.getUint32(at, true) & 0xff) === RecordType.end &&
      view.getUint32(at + 24, true) === this.link &&
      view.getUint32(at + 32, true) === this.batch >>> 0
    );
  }

  /** Reads one batch at `start` and takes its content over; otherwise says what could not be read. */
  private readBatch(segment: Segment, start: number): Unreadable | null {
    const { bytes, view, header } = segment;
    const batch = (this.batch + 1) >>> 0;
    const pending: PendingRecord[] = [];
    let link = this.link;
    let offset = start;
    for (;;) {
      const at = recordStart(offset);
      if (!isRecordHeader(bytes, view, at, header.salt)) {
        return { at, why: 'a record header is unreadable', payloadBytes: 0, contradiction: false };
      }
      const type = view.getUint32(at, true) & 0xff;
      const length = view.getUint32(at + 4, true);
      const payloadAt = at + RECORD_HEADER_BYTES;
      if (view.getUint32(at + 24, true) !== link || view.getUint32(at + 32, true) !== batch) {
        return contradiction(at, 'a record does not continue the record before it');
      }
      if (!this.isPossibleLength(type, length) || payloadAt + length > bytes.length) {
        return contradiction(at, `a record has the impossible type ${type} or length ${length}`);
      }
      if (crc32c(bytes, 0, payloadAt, payloadAt + length) !== view.getUint32(at + 28, true)) {
        return {
          at,
          why: 'a record has a wrong checksum',
          payloadBytes: length,
          contradiction: false,
        };
      }
      const record = {
        type,
        index: getU64(view, at + 8),
        term: getU64(view, at + 16),
        start: payloadAt,
        length,
      };
      link = view.getUint32(at + 36, true);
      offset = align8(payloadAt + length);
      if (type !== RecordType.seal) {
        pending.push(record);
        continue;
      }
      const sealed = this.takeBatch(segment, pending, record);
      if (sealed !== null) return contradiction(at, sealed);
      this.link = link;
      this.position = alignSector(offset);
      return null;
    }
  }

  private isPossibleLength(type: number, length: number): boolean {
    switch (type) {
      case RecordType.normalEntry:
      case RecordType.confChangeEntry:
        return length <= this.options.maxEntryBytes;
      case RecordType.marker:
      case RecordType.restart:
        return length >= 24;
      case RecordType.seal:
        return length === SEAL_PAYLOAD_BYTES;
      default:
        return false;
    }
  }

  /** Takes the batch over, or says what contradicts the log; what was taken until then does not matter after damage. */
  private takeBatch(
    segment: Segment,
    records: readonly PendingRecord[],
    seal: PendingRecord,
  ): string | null {
    const { view } = segment;
    const at = seal.start;
    const lastBefore = this.lastIndex;
    let firstIndex = 0;
    let problem: string | null = null;
    for (let i = 0; i < records.length && problem === null; i++) {
      const record = records[i] as PendingRecord;
      if (record.type === RecordType.marker || record.type === RecordType.restart) {
        problem = this.takeMarker(segment, record);
      } else {
        if (firstIndex === 0) firstIndex = record.index;
        problem = this.takeEntry(segment, record);
      }
    }
    const commit = getU64(view, at + 40);
    if (
      problem === null &&
      (getU64(view, at) !== this.batch + 1 ||
        getU64(view, at + 8) !== firstIndex ||
        getU64(view, at + 16) !== this.lastIndex ||
        view.getUint32(at + 48, true) !== records.length ||
        view.getUint32(at + 52, true) !== this.link ||
        commit > this.lastIndex)
    ) {
      problem = 'a seal does not fit its batch';
    }
    if (problem !== null) {
      this.lastIndex = lastBefore;
      return problem;
    }
    this.batch++;
    this.hardState = {
      term: getU64(view, at + 24),
      vote: view.getBigUint64(at + 32, true),
      commit,
    };
    return null;
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

  /** The newest segment could not be read beyond `start`; see the head of this file for the reasoning. */
  private judgeTail(segment: Segment, start: number, stop: Unreadable): void {
    const { bytes, header, path, file } = segment;
    const end = endOfContent(bytes, start);
    if (end === start) return;
    const found = (why: string): void => this.damaged(path, stop.at, why, file.seq, start);
    const later = this.laterBatch(segment, start);
    if (later >= 0)
      return found(
        `${stop.why}, although an intact record of a later batch follows at offset ${later}`,
      );
    if (stop.contradiction) return found(stop.why);
    if (endsWithTrailer(bytes, end, header.trailer) && !hasMissingSector(bytes, stop, end)) {
      return found(`${stop.why}, although its batch was written to the end`);
    }
    this.torn = { segment: file.seq, offset: start, bytes: bytes.slice(start, end) };
  }

  /** Offset of the first intact record header after `start` that belongs to a batch after the next one, or -1. */
  private laterBatch(segment: Segment, start: number): number {
    const { bytes, view, header } = segment;
    const next = (this.batch + 1) >>> 0;
    for (let at = start; at + RECORD_HEADER_BYTES <= bytes.length; at += 8) {
      if (!isRecordHeader(bytes, view, at, header.salt)) continue;
      const ahead = (view.getUint32(at + 32, true) - next) | 0;
      if (ahead > 0) return at;
    }
    return -1;
  }

  /** Checks that concern the log as a whole, once every segment was read. */
  private checkWhole(files: readonly SegmentFile[]): void {
    const newest = this.segments[this.segments.length - 1];
    if (newest === undefined) {
      if (files.length === 0)
        this.damaged(this.options.dir, 0, 'the directory holds no segment', 0, 0);
      return;
    }
    const path = this.path(newest.file);
    const seq = newest.file.seq;
    if (this.base > this.snapshot.index) {
      const oldest = this.segments[0] ?? newest;
      const found = `the entries from ${this.snapshot.index + 1} to ${this.base} are missing`;
      this.damage = {
        path: this.path(oldest.file),
        offset: 0,
        found,
        firstLostIndex: this.snapshot.index + 1,
        segment: oldest.file.seq,
        cutOffset: 0,
      };
      return;
    }
    const witness = Math.max(this.options.witnessIndex, this.hardState.commit);
    if (witness > this.lastIndex) {
      const tail = this.torn === null ? '' : ' and is followed by an unreadable batch';
      const found = `the log ends with entry ${this.lastIndex}${tail}, but entry ${witness} is known to have been in it`;
      this.damaged(path, this.position, found, seq, this.position);
      this.torn = null;
    }
  }

  /** Finds out how far the log reached beyond the damage, for the report of a repair. */
  private surveyAfterDamage(files: readonly SegmentFile[]): void {
    for (const file of files) {
      if (this.damage === null || file.seq < this.damage.segment) continue;
      const bytes = this.read(file);
      const reading = decodeSegmentHeader(bytes);
      if (reading.kind !== 'ok') continue;
      const view = viewOf(bytes);
      const from = file.seq === this.damage.segment ? this.damage.cutOffset : 0;
      for (let at = from; at + RECORD_HEADER_BYTES <= bytes.length; at += 8) {
        if (!isRecordHeader(bytes, view, at, reading.header.salt)) continue;
        this.highestAfterDamage = Math.max(this.highestAfterDamage, getU64(view, at + 8));
      }
    }
  }
}

function contradiction(at: number, why: string): Unreadable {
  return { at, why, payloadBytes: 0, contradiction: true };
}
