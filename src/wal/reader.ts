/**
 * Reads a log and judges its end: clean, torn by a crash, or damaged.
 *
 * Judgement at the first place that cannot be read, which lies in batch n:
 *  - another segment follows, or anywhere later an intact record header of a batch after n. Batch n
 *    was durable before batch n+1 was written, so this is damage;
 *  - batch n was written to its end (its trailer stands last) and the unreadable record has no
 *    missing (all-zero) sector. No torn write looks like this, so it is damage;
 *  - a witness, or the log's own commit index, names an entry beyond the last intact batch: damage;
 *  - anything else is the write that was under way in a crash, never acknowledged: torn.
 * Not detectable: an acknowledged last batch which lost whole sectors after it was synced, with no witness.
 *
 * Pure but for reading files; changes nothing on disk.
 */
import { getU64 } from '../base/bytes/little-endian.js';
import type { Disk } from '../base/env/env.js';
import { idText } from '../base/bytes/id-text.js';
import type { Entry, HardState, SnapshotMeta } from '../raft/types.js';
import type { Segment, Unreadable } from './batch-reader.js';
import { contradiction, isEnd, laterBatch, readBatch } from './batch-reader.js';
import { LogContent } from './content.js';
import type { DamageDetails } from './errors.js';
import { WalForeign, WalNewer } from './errors.js';
import type { SegmentFile, SegmentHeader } from './format.js';
import {
  RECORD_HEADER_BYTES,
  alignSector,
  decodeSegmentHeader,
  isRecordHeader,
  listSegments,
  segmentHeaderBytes,
  viewOf,
} from './format.js';
import { endOfContent, endsWithTrailer, hasMissingSector } from './tail.js';
import type { WalOptions } from './types.js';

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
  /** Offset in the last segment at which the next batch goes. */
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

class Scanner {
  private readonly disk: Disk;
  private readonly options: WalOptions;
  private readonly content = new LogContent();
  private readonly segments: ScannedSegment[] = [];
  private leftovers: SegmentFile[] = [];
  private position = 0;
  /** Reason why the reading of the segment before ended. */
  private lastStop: Unreadable | null = null;
  private torn: TornTail | null = null;
  private damage: Damage | null = null;
  private highestAfterDamage = 0;
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
    const { content } = this;
    return {
      segments: this.segments,
      leftovers: this.leftovers,
      entries: content.entries.slice(Math.max(0, content.snapshot.index - content.base)),
      hardState: content.hardState,
      snapshot: content.snapshot,
      lastIndex: content.lastIndex,
      batch: content.batch,
      link: content.link,
      snapshotSeq: content.snapshotSeq,
      position: this.position,
      torn: this.torn,
      damage: this.damage,
      highestAfterDamage: this.highestAfterDamage,
      firstMissing: content.base > content.snapshot.index ? content.snapshot.index + 1 : 0,
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
    if (reading.kind === 'ok') this.content.keepAfter = reading.header.snapshot.index;
  }

  private damaged(
    path: string,
    offset: number,
    found: string,
    segment: number,
    cutOffset: number,
  ): void {
    const firstLostIndex = this.content.lastIndex + 1;
    this.damage ??= { path, offset, found, firstLostIndex, segment, cutOffset };
  }

  private scanSegment(file: SegmentFile, isFirst: boolean, isLast: boolean): void {
    const segment = this.openSegment(file);
    if (segment === null) return;
    const header = segment.header;
    if (isFirst) {
      this.content.begin(segment);
    } else if (!this.content.isContinuedBy(segment)) {
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
    this.content.hardState = header.hardState;
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
    if (reading.kind === 'newer') throw new WalNewer(path, reading);
    if (reading.kind === 'damaged') {
      this.damaged(path, 0, 'the header of the segment is unreadable', file.seq, 0);
      return null;
    }
    const header = reading.header;
    const own = this.options.identity;
    if (header.identity.clusterId !== own.clusterId || header.identity.memberId !== own.memberId) {
      throw new WalForeign(
        `the write-ahead log ${path} belongs to member ${idText(header.identity.memberId)} of cluster ` +
          `${idText(header.identity.clusterId)}, not to member ${idText(own.memberId)} of cluster ${idText(own.clusterId)}`,
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
    // A file of the wrong size is damage, reported once its readable part has been read.
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
      const stop = this.takeBatch(segment, start);
      if (stop === null) continue;
      if (!isLast) {
        // The next header shows whether this was the end of the segment.
        this.lastStop = stop;
        return;
      }
      if (isEnd(segment, start, this.content.link, this.content.batch)) {
        const found = `segment ${segment.file.seq + 1}, which followed this one, is missing`;
        this.damaged(segment.path, start, found, segment.file.seq, start);
        return;
      }
      this.judgeTail(segment, start, stop);
      return;
    }
  }

  /**
   * Reads one batch at `start` and takes its content over; otherwise returns the part that could
   * not be read.
   */
  private takeBatch(segment: Segment, start: number): Unreadable | null {
    const { content } = this;
    const read = readBatch(segment, start, content.link, content.batch);
    if ('why' in read) return read;
    const problem = content.take(segment, read);
    if (problem !== null) return contradiction(read.seal.start - RECORD_HEADER_BYTES, problem);
    this.position = read.end;
    return null;
  }

  /** The newest segment could not be read beyond `start`; see the head of this file for the reasoning. */
  private judgeTail(segment: Segment, start: number, stop: Unreadable): void {
    const { bytes, header, path, file } = segment;
    const end = endOfContent(bytes, start);
    if (end === start) return;
    const found = (why: string): void => this.damaged(path, stop.at, why, file.seq, start);
    const later = laterBatch(segment, start, (this.content.batch + 1) >>> 0);
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

  /** Checks that concern the log as a whole, once every segment was read. */
  private checkWhole(files: readonly SegmentFile[]): void {
    const newest = this.segments[this.segments.length - 1];
    if (newest === undefined) {
      if (files.length === 0)
        this.damaged(this.options.dir, 0, 'the directory holds no segment', 0, 0);
      return;
    }
    const { base, snapshot, hardState, lastIndex } = this.content;
    const path = this.path(newest.file);
    const seq = newest.file.seq;
    if (base > snapshot.index) {
      const oldest = this.segments[0] ?? newest;
      const found = `the entries from ${snapshot.index + 1} to ${base} are missing`;
      this.damage = {
        path: this.path(oldest.file),
        offset: 0,
        found,
        firstLostIndex: snapshot.index + 1,
        segment: oldest.file.seq,
        cutOffset: 0,
      };
      return;
    }
    const witness = Math.max(this.options.witnessIndex, hardState.commit);
    if (witness > lastIndex) {
      const tail = this.torn === null ? '' : ' and is followed by an unreadable batch';
      const found = `the log ends with entry ${lastIndex}${tail}, but entry ${witness} is known to have been in it`;
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
