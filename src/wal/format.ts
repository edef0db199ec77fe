/**
 * The bytes of the log.
 *
 *   segment  := header, zero padding to a sector, { batch, zero padding to a sector }, [end], zeros
 *   batch    := { record }, seal                        one group commit: one write, one fdatasync
 *   record   := record header (40 bytes), payload, zero padding to 8 bytes
 *
 *   record header, little-endian
 *     0  u32  magic (24 bits) and record type (8 bits)
 *     4  u32  payload length
 *     8  u64  index of the entry or marker; the log's last index for a seal or end
 *    16  u64  term of the entry or marker; 0 otherwise
 *    24  u32  link: header CRC of the record before, across segments
 *    28  u32  CRC32C of the payload
 *    32  u32  batch number, low 32 bits
 *    36  u32  header CRC: CRC32C of bytes 0..36, seeded with the segment's salt
 *
 *   Types: An entry replaces every entry with its index or a higher one. A marker records that the
 *   state machine stands at this point. A restart is a marker that also discards every entry (a
 *   snapshot from the leader replaced the log).
 *
 *   seal payload    := u64 batch, u64 first entry's index or 0, u64 last index, u64 term, u64 vote, u64 commit,
 *                      u32 records before the seal, u32 link before the batch, 8 bytes trailer
 *   marker, restart := u64 index, u64 term, u32 voters, u32 learners, { u64 id }
 *
 * Reasons:
 *  - A length counts only under a header CRC of its own, so damage to it is never taken for the end
 *    of the log.
 *  - A header CRC covers the link and the payload's CRC, so the chain of links is the hash of
 *    everything before it. A seal names the link before its batch, and thereby seals the batch's
 *    whole content.
 *  - A batch begins on a sector boundary and a header never crosses one. A disk that writes sectors
 *    whole does not harm an acknowledged batch while it writes the next. It leaves a header either
 *    complete or all zero.
 *  - The salt and the trailer are random per segment, so that bytes a client chose can be mistaken for neither.
 *  - A seal ends with the trailer, none of whose bytes is zero. A batch whose last bytes are the
 *    trailer was written to its end. If it is unreadable and no sector of it is missing, that is
 *    damage and not a torn write.
 *  - An `end` is written once the following segment exists, so that a missing newest segment is noticed.
 */
import { getU64, putU64 } from '../base/bytes/little-endian.js';
import { crc32c } from '../base/bytes/crc32c.js';
import type { ConfState, HardState, MemberId, SnapshotMeta } from '../raft/types.js';
import type { WalIdentity } from './types.js';

export const SECTOR_BYTES = 512;
export const RECORD_HEADER_BYTES = 40;
export const SEAL_PAYLOAD_BYTES = 64;
export const TRAILER_BYTES = 8;
/** Room an `end` needs after the last batch. */
export const END_RESERVE_BYTES = SECTOR_BYTES;
export const RECORD_MAGIC = 0x57a11000;
const RECORD_MAGIC_MASK = 0xffffff00 | 0;

export const RecordType = {
  normalEntry: 1,
  confChangeEntry: 2,
  marker: 3,
  restart: 4,
  seal: 5,
  end: 6,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

const SEGMENT_MAGIC = 'mainswal';
/**
 * Format of the segments written here. In format 2 entries may carry the versioned command envelope; the bytes around
 * them are those of format 1, which mainstay 0.1 wrote.
 */
export const FORMAT_VERSION = 2;
/** Oldest format read here. */
export const OLDEST_FORMAT_VERSION = 1;
/** First release that reads FORMAT_VERSION, for the refusal of an older one: major, minor, patch. */
const READABLE_SINCE = [0, 2, 0] as const;
/**
 * Offset at which a header names it. With magic, version, length and CRC this is the part that no
 * later format may change.
 */
const READABLE_SINCE_AT = 104;
const HEADER_FIXED_BYTES = 156;
const HEADER_CRC_BYTES = 4;

export const NO_HARD_STATE: HardState = { term: 0, vote: 0n, commit: 0 };
export const NO_SNAPSHOT: SnapshotMeta = {
  index: 0,
  term: 0,
  confState: { voters: [], learners: [] },
};

export interface SegmentHeader {
  readonly version: number;
  readonly identity: WalIdentity;
  readonly seq: number;
  /** Index after the last entry when the segment was begun. */
  readonly firstIndex: number;
  readonly sizeBytes: number;
  /** Link and number of the last batch of the segment before. */
  readonly link: number;
  readonly batch: number;
  readonly salt: number;
  readonly trailer: Uint8Array;
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
}

export function alignSector(offset: number): number {
  return Math.ceil(offset / SECTOR_BYTES) * SECTOR_BYTES;
}

/** First offset for a record from `offset` (a multiple of 8) on: headers cross no sectors. */
export function recordStart(offset: number): number {
  const inSector = offset % SECTOR_BYTES;
  return inSector + RECORD_HEADER_BYTES > SECTOR_BYTES ? offset + SECTOR_BYTES - inSector : offset;
}

export function align8(n: number): number {
  return (n + 7) & ~7;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function isRecordHeader(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  salt: number,
): boolean {
  return (
    at + RECORD_HEADER_BYTES <= bytes.length &&
    (view.getInt32(at, true) & RECORD_MAGIC_MASK) === RECORD_MAGIC &&
    view.getUint32(at + 36, true) === crc32c(bytes, salt, at, at + 36)
  );
}

export function snapshotPayloadBytes(confState: ConfState): number {
  return 24 + 8 * (confState.voters.length + confState.learners.length);
}

export function putSnapshot(view: DataView, at: number, snapshot: SnapshotMeta): void {
  const { voters, learners } = snapshot.confState;
  putU64(view, at, snapshot.index);
  putU64(view, at + 8, snapshot.term);
  view.setUint32(at + 16, voters.length, true);
  view.setUint32(at + 20, learners.length, true);
  putIds(view, putIds(view, at + 24, voters), learners);
}

function putIds(view: DataView, at: number, ids: readonly MemberId[]): number {
  let pos = at;
  for (const id of ids) {
    view.setBigUint64(pos, id, true);
    pos += 8;
  }
  return pos;
}

/** Reads a marker that fills exactly [at, end); undefined when its counts do not fit. */
export function getSnapshot(view: DataView, at: number, end: number): SnapshotMeta | undefined {
  if (end - at < 24) return undefined;
  const voters = view.getUint32(at + 16, true);
  const learners = view.getUint32(at + 20, true);
  if (24 + 8 * (voters + learners) !== end - at) return undefined;
  const confState = {
    voters: getIds(view, at + 24, voters),
    learners: getIds(view, at + 24 + 8 * voters, learners),
  };
  return { index: getU64(view, at), term: getU64(view, at + 8), confState };
}

function getIds(view: DataView, at: number, count: number): MemberId[] {
  const ids: MemberId[] = [];
  for (let i = 0; i < count; i++) ids.push(view.getBigUint64(at + 8 * i, true));
  return ids;
}

export function segmentHeaderBytes(snapshot: SnapshotMeta): number {
  return alignSector(
    HEADER_FIXED_BYTES - 24 + snapshotPayloadBytes(snapshot.confState) + HEADER_CRC_BYTES,
  );
}

/**
 * Segment header, padded to whole sectors.
 *
 *    0  8 bytes magic     8  u32 format version   12  u32 length of header including its CRC
 *   16  u64 cluster      24  u64 member           32  u64 sequence     40  u64 first index
 *   48  u64 file size    56  u32 link             60  u32 salt         64  u64 batch
 *   72  8 bytes trailer  80  u64 term             88  u64 vote         96  u64 commit
 *  104  u16 major, u16 minor, u16 patch of the first release that reads the format, zero in format 1
 *  110  22 bytes zero   132  marker payload       ..  u32 CRC32C of everything before
 */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes(header.snapshot));
  const view = viewOf(bytes);
  const markerAt = HEADER_FIXED_BYTES - 24;
  const crcAt = markerAt + snapshotPayloadBytes(header.snapshot.confState);
  for (let i = 0; i < SEGMENT_MAGIC.length; i++) bytes[i] = SEGMENT_MAGIC.charCodeAt(i);
  view.setUint32(8, header.version, true);
  view.setUint32(12, crcAt + HEADER_CRC_BYTES, true);
  view.setBigUint64(16, header.identity.clusterId, true);
  view.setBigUint64(24, header.identity.memberId, true);
  putU64(view, 32, header.seq);
  putU64(view, 40, header.firstIndex);
  putU64(view, 48, header.sizeBytes);
  view.setUint32(56, header.link, true);
  view.setUint32(60, header.salt, true);
  putU64(view, 64, header.batch);
  bytes.set(header.trailer, 72);
  putU64(view, 80, header.hardState.term);
  view.setBigUint64(88, header.hardState.vote, true);
  putU64(view, 96, header.hardState.commit);
  READABLE_SINCE.forEach((part, i) => view.setUint16(READABLE_SINCE_AT + 2 * i, part, true));
  putSnapshot(view, markerAt, header.snapshot);
  view.setUint32(crcAt, crc32c(bytes, 0, 0, crcAt), true);
  return bytes;
}

export type HeaderReading =
  | { readonly kind: 'ok'; readonly header: SegmentHeader }
  | { readonly kind: 'damaged' }
  | NewerFormat;

/** A sound header of a format that did not exist when this program was made. */
export interface NewerFormat {
  readonly kind: 'newer';
  readonly version: number;
  /** First release that reads it, as `1.2.3`. */
  readonly readableSince: string;
}

export function decodeSegmentHeader(bytes: Uint8Array): HeaderReading {
  if (bytes.length < HEADER_FIXED_BYTES + HEADER_CRC_BYTES) return { kind: 'damaged' };
  const view = viewOf(bytes);
  for (let i = 0; i < SEGMENT_MAGIC.length; i++) {
    if (bytes[i] !== SEGMENT_MAGIC.charCodeAt(i)) return { kind: 'damaged' };
  }
  const length = view.getUint32(12, true);
  if (length < HEADER_FIXED_BYTES + HEADER_CRC_BYTES || length > bytes.length)
    return { kind: 'damaged' };
  const crcAt = length - HEADER_CRC_BYTES;
  if (view.getUint32(crcAt, true) !== crc32c(bytes, 0, 0, crcAt)) return { kind: 'damaged' };
  const version = view.getUint32(8, true);
  if (version > FORMAT_VERSION) {
    const parts = READABLE_SINCE.map((_, i) => view.getUint16(READABLE_SINCE_AT + 2 * i, true));
    return { kind: 'newer', version, readableSince: parts.join('.') };
  }
  if (version < OLDEST_FORMAT_VERSION) return { kind: 'damaged' };
  const snapshot = getSnapshot(view, HEADER_FIXED_BYTES - 24, crcAt);
  if (snapshot === undefined) return { kind: 'damaged' };
  const header: SegmentHeader = {
    version,
    identity: { clusterId: view.getBigUint64(16, true), memberId: view.getBigUint64(24, true) },
    seq: getU64(view, 32),
    firstIndex: getU64(view, 40),
    sizeBytes: getU64(view, 48),
    link: view.getUint32(56, true),
    salt: view.getUint32(60, true),
    batch: getU64(view, 64),
    trailer: bytes.slice(72, 72 + TRAILER_BYTES),
    hardState: {
      term: getU64(view, 80),
      vote: view.getBigUint64(88, true),
      commit: getU64(view, 96),
    },
    snapshot,
  };
  return { kind: 'ok', header };
}

const SEGMENT_NAME = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/;
/** Names of files that are not yet, or no longer, part of the log. */
export const SPARE_NAME = 'spare.tmp';
export const TORN_TAIL_NAME = 'torn-tail.bin';

export function segmentName(seq: number, firstIndex: number): string {
  return `${seq.toString(16).padStart(16, '0')}-${firstIndex.toString(16).padStart(16, '0')}.wal`;
}

export interface SegmentFile {
  readonly name: string;
  readonly seq: number;
  readonly firstIndex: number;
}

/** The segments among `names`, by sequence. Other files are none of the log's business. */
export function listSegments(names: readonly string[]): SegmentFile[] {
  const found: SegmentFile[] = [];
  for (const name of names) {
    const match = SEGMENT_NAME.exec(name);
    if (match === null) continue;
    found.push({
      name,
      seq: Number.parseInt(match[1] ?? '', 16),
      firstIndex: Number.parseInt(match[2] ?? '', 16),
    });
  }
  return found.sort((a, b) => a.seq - b.seq);
}
