import { getU64 } from '../base/bytes/little-endian.js';
import { crc32c } from '../base/bytes/crc32c.js';
import type { SegmentFile, SegmentHeader } from './format.js';
import {
  RECORD_HEADER_BYTES,
  RecordType,
  SEAL_PAYLOAD_BYTES,
  align8,
  alignSector,
  isRecordHeader,
  recordStart,
} from './format.js';
import { MAX_ENTRY_BYTES } from './limits.js';
import type { UnreadableRecord } from './tail.js';

/** A segment held in memory. `bytes` has whole sectors; `actualBytes` is the size of the file. */
export interface Segment {
  readonly file: SegmentFile;
  readonly path: string;
  readonly header: SegmentHeader;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly actualBytes: number;
}

export interface PendingRecord {
  readonly type: number;
  readonly index: number;
  readonly term: number;
  readonly start: number;
  readonly length: number;
}

/** Record at which reading a batch stopped, and the reason. */
export interface Unreadable extends UnreadableRecord {
  readonly why: string;
  /** The checksums agree but the content contradicts the log: no torn write looks like this. */
  readonly contradiction: boolean;
}

/** A batch whose checksums fit. Its content has not been compared with the log yet. */
export interface ReadBatch {
  readonly records: readonly PendingRecord[];
  readonly seal: PendingRecord;
  /** Link of the seal, which the next batch continues. */
  readonly link: number;
  /** Offset at which the next batch begins. */
  readonly end: number;
}

export function contradiction(at: number, why: string): Unreadable {
  return { at, why, payloadBytes: 0, contradiction: true };
}

/** Reads the batch that begins at `start` and follows batch `batchBefore`, whose link is `linkBefore`. */
export function readBatch(
  segment: Segment,
  start: number,
  linkBefore: number,
  batchBefore: number,
): ReadBatch | Unreadable {
  const { bytes, view, header } = segment;
  const batch = (batchBefore + 1) >>> 0;
  const records: PendingRecord[] = [];
  let link = linkBefore;
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
    if (!isPossibleLength(type, length) || payloadAt + length > bytes.length) {
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
    link = view.getUint32(at + 36, true);
    offset = align8(payloadAt + length);
    const record = {
      type,
      index: getU64(view, at + 8),
      term: getU64(view, at + 16),
      start: payloadAt,
      length,
    };
    if (type === RecordType.seal) return { records, seal: record, link, end: alignSector(offset) };
    records.push(record);
  }
}

function isPossibleLength(type: number, length: number): boolean {
  switch (type) {
    case RecordType.normalEntry:
    case RecordType.confChangeEntry:
      return length <= MAX_ENTRY_BYTES;
    case RecordType.marker:
    case RecordType.restart:
      return length >= 24;
    case RecordType.seal:
      return length === SEAL_PAYLOAD_BYTES;
    default:
      return false;
  }
}

/** True if the record at `at` is the `end` that announces another segment. */
export function isEnd(segment: Segment, at: number, link: number, batch: number): boolean {
  const { bytes, view, header } = segment;
  return (
    isRecordHeader(bytes, view, at, header.salt) &&
    (view.getUint32(at, true) & 0xff) === RecordType.end &&
    view.getUint32(at + 24, true) === link &&
    view.getUint32(at + 32, true) === batch >>> 0
  );
}

/** Offset of the first intact record header at or after `start` of a batch later than `batch`, or -1. */
export function laterBatch(segment: Segment, start: number, batch: number): number {
  const { bytes, view, header } = segment;
  for (let at = start; at + RECORD_HEADER_BYTES <= bytes.length; at += 8) {
    if (!isRecordHeader(bytes, view, at, header.salt)) continue;
    const ahead = (view.getUint32(at + 32, true) - batch) | 0;
    if (ahead > 0) return at;
  }
  return -1;
}
