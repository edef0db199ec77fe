/**
 * Messages of the consensus core as bytes. One call encodes all messages of one member for another
 * at one moment straight into one buffer. Decoding makes entries views of the received bytes.
 *
 *   batch    := { message }
 *   message  := u8 type, u8 flags, u16 presence, { u64 } one for each bit set in presence, u32 entry count, { entry },
 *               snapshot if flags say so
 *   flags    := 1 reject, 2 force, 4 snapshot follows
 *   presence := bits from 0: to, from, term, logTerm, index, commit, rejectHint, context, transferee, incarnation;
 *               an absent one is 0
 *   entry    := u8 kind, u32 length, [u64 index, u64 term], data
 *   kind     := 1 configuration change, 2 index and term are given; otherwise the index is the predecessor's plus one
 *               and the term the predecessor's, the first predecessor being the message's own (index, logTerm)
 *   snapshot := u64 index, u64 term, u32 voters, u32 learners, { u64 id }
 *
 * All little-endian. A message of an unknown type is skipped, so that a later version may add
 * types. Anything else that is not as above is a PeerDecodeError, and nothing larger than the input
 * is allocated for it. Used by the TCP transport and by the simulator's network.
 */
import { invariant } from '../../base/invariant.js';
import { getU64, putU64 } from '../../base/bytes/little-endian.js';
import type { ConfState, Entry, MemberId, Message, SnapshotMeta } from '../../raft/types.js';
import { EntryType, MessageType } from '../../raft/types.js';

export class PeerDecodeError extends Error {
  override name = 'PeerDecodeError';
}

const Flag = { reject: 1, force: 2, snapshot: 4 } as const;
const Kind = { confChange: 1, explicit: 2 } as const;
const Present = {
  to: 1,
  from: 2,
  term: 4,
  logTerm: 8,
  index: 16,
  commit: 32,
  rejectHint: 64,
  context: 128,
  transferee: 256,
  incarnation: 512,
} as const;
const ALL_PRESENT = 1023;
const ALL_FLAGS = 7;
const ALL_KINDS = 3;
const LAST_TYPE = MessageType.transferLeader;

const MESSAGE_FIXED_BYTES = 8;
const ENTRY_FIXED_BYTES = 5;
const ENTRY_EXPLICIT_BYTES = 16;
const SNAPSHOT_FIXED_BYTES = 24;
/** High half of the first number beyond Number.MAX_SAFE_INTEGER. */
const UNSAFE_HIGH = 2 ** 21;
const NO_ENTRIES: readonly Entry[] = [];

function presenceOf(m: Message): number {
  return (
    (m.to !== 0n ? Present.to : 0) |
    (m.from !== 0n ? Present.from : 0) |
    (m.term !== 0 ? Present.term : 0) |
    (m.logTerm !== 0 ? Present.logTerm : 0) |
    (m.index !== 0 ? Present.index : 0) |
    (m.commit !== 0 ? Present.commit : 0) |
    (m.rejectHint !== 0 ? Present.rejectHint : 0) |
    (m.context !== 0 ? Present.context : 0) |
    (m.transferee !== 0n ? Present.transferee : 0) |
    (m.incarnation !== 0 ? Present.incarnation : 0)
  );
}

function countBits(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Exact number of bytes `writeMessage` writes. */
export function sizeMessage(m: Message): number {
  let size = MESSAGE_FIXED_BYTES + 8 * countBits(presenceOf(m));
  let index = m.index;
  let term = m.logTerm;
  const entries = m.entries;
  for (let i = 0; i < entries.length; i++) {
    const e = entries[i] as Entry;
    size += ENTRY_FIXED_BYTES + e.data.length;
    if (e.index !== index + 1 || e.term !== term) size += ENTRY_EXPLICIT_BYTES;
    index = e.index;
    term = e.term;
  }
  if (m.snapshot !== null) {
    const { voters, learners } = m.snapshot.confState;
    size += SNAPSHOT_FIXED_BYTES + 8 * (voters.length + learners.length);
  }
  return size;
}

/** Writes `m` at `at` and returns the position behind it. */
export function writeMessage(m: Message, bytes: Uint8Array, view: DataView, at: number): number {
  const pos = writeEntries(m, bytes, view, writeHead(m, view, at));
  return m.snapshot === null ? pos : writeSnapshot(m.snapshot, view, pos);
}

/**
 * The bytes of `m` as the pieces they consist of: the entries' own data, not copied, and views of
 * one buffer that holds everything between. For messages too long to be written at once.
 */
export function messagePieces(m: Message): Uint8Array[] {
  let dataBytes = 0;
  for (const e of m.entries) dataBytes += e.data.length;
  const frame = new Uint8Array(sizeMessage(m) - dataBytes);
  const view = new DataView(frame.buffer);
  const pieces: Uint8Array[] = [];
  let start = 0;
  let pos = writeHead(m, view, 0);
  let index = m.index;
  let term = m.logTerm;
  for (const e of m.entries) {
    pos = writeEntryHead(e, index, term, view, pos);
    pieces.push(frame.subarray(start, pos), e.data);
    start = pos;
    index = e.index;
    term = e.term;
  }
  if (m.snapshot !== null) pos = writeSnapshot(m.snapshot, view, pos);
  invariant(pos === frame.length, 'the pieces of a message differ from its size');
  if (pos > start) pieces.push(frame.subarray(start, pos));
  return pieces;
}

function writeHead(m: Message, view: DataView, at: number): number {
  const presence = presenceOf(m);
  view.setUint8(at, m.type);
  view.setUint8(
    at + 1,
    (m.reject ? Flag.reject : 0) |
      (m.force ? Flag.force : 0) |
      (m.snapshot !== null ? Flag.snapshot : 0),
  );
  view.setUint16(at + 2, presence, true);
  let pos = at + 4;
  pos = putId(view, pos, m.to);
  pos = putId(view, pos, m.from);
  pos = putNumber(view, pos, m.term);
  pos = putNumber(view, pos, m.logTerm);
  pos = putNumber(view, pos, m.index);
  pos = putNumber(view, pos, m.commit);
  pos = putNumber(view, pos, m.rejectHint);
  pos = putNumber(view, pos, m.context);
  pos = putId(view, pos, m.transferee);
  pos = putNumber(view, pos, m.incarnation);
  view.setUint32(pos, m.entries.length, true);
  return pos + 4;
}

function putNumber(view: DataView, at: number, value: number): number {
  if (value === 0) return at;
  putU64(view, at, value);
  return at + 8;
}

function putId(view: DataView, at: number, value: MemberId): number {
  if (value === 0n) return at;
  view.setBigUint64(at, value, true);
  return at + 8;
}

function writeEntries(m: Message, bytes: Uint8Array, view: DataView, at: number): number {
  let pos = at;
  let index = m.index;
  let term = m.logTerm;
  const entries = m.entries;
  for (let i = 0; i < entries.length; i++) {
    const e = entries[i] as Entry;
    pos = writeEntryHead(e, index, term, view, pos);
    bytes.set(e.data, pos);
    pos += e.data.length;
    index = e.index;
    term = e.term;
  }
  return pos;
}

/** Everything of an entry before its data; `index` and `term` are those of its predecessor. */
function writeEntryHead(e: Entry, index: number, term: number, view: DataView, at: number): number {
  const isExplicit = e.index !== index + 1 || e.term !== term;
  const kind =
    (e.type === EntryType.confChange ? Kind.confChange : 0) | (isExplicit ? Kind.explicit : 0);
  view.setUint8(at, kind);
  view.setUint32(at + 1, e.data.length, true);
  const pos = at + ENTRY_FIXED_BYTES;
  if (!isExplicit) return pos;
  putU64(view, pos, e.index);
  putU64(view, pos + 8, e.term);
  return pos + ENTRY_EXPLICIT_BYTES;
}

function writeSnapshot(snapshot: SnapshotMeta, view: DataView, at: number): number {
  const { voters, learners } = snapshot.confState;
  putU64(view, at, snapshot.index);
  putU64(view, at + 8, snapshot.term);
  view.setUint32(at + 16, voters.length, true);
  view.setUint32(at + 20, learners.length, true);
  let pos = at + SNAPSHOT_FIXED_BYTES;
  for (const id of voters) {
    view.setBigUint64(pos, id, true);
    pos += 8;
  }
  for (const id of learners) {
    view.setBigUint64(pos, id, true);
    pos += 8;
  }
  return pos;
}

export function encodeMessages(messages: readonly Message[]): Uint8Array {
  let size = 0;
  for (const m of messages) size += sizeMessage(m);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let pos = 0;
  for (const m of messages) pos = writeMessage(m, bytes, view, pos);
  return bytes;
}

/**
 * Reads a whole batch. Entries share memory with `bytes`.
 *
 * Throws: PeerDecodeError.
 */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const reader = new BatchReader(bytes);
  const messages: Message[] = [];
  while (!reader.isAtEnd()) {
    const m = reader.message();
    if (m !== null) messages.push(m);
  }
  return messages;
}

class BatchReader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private pos = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  isAtEnd(): boolean {
    return this.pos === this.bytes.length;
  }

  /** The next message, or null when its type is unknown. */
  message(): Message | null {
    const at = this.take(4);
    const type = this.view.getUint8(at);
    const flags = this.view.getUint8(at + 1);
    const presence = this.view.getUint16(at + 2, true);
    if ((presence & ~ALL_PRESENT) !== 0 || (flags & ~ALL_FLAGS) !== 0) {
      throw new PeerDecodeError('a message has unknown fields');
    }
    const m: Message = {
      type: type as MessageType,
      to: this.id(presence & Present.to),
      from: this.id(presence & Present.from),
      term: this.number(presence & Present.term),
      logTerm: this.number(presence & Present.logTerm),
      index: this.number(presence & Present.index),
      entries: NO_ENTRIES,
      commit: this.number(presence & Present.commit),
      reject: (flags & Flag.reject) !== 0,
      rejectHint: this.number(presence & Present.rejectHint),
      context: this.number(presence & Present.context),
      force: (flags & Flag.force) !== 0,
      transferee: this.id(presence & Present.transferee),
      incarnation: this.number(presence & Present.incarnation),
      snapshot: null,
    };
    const count = this.view.getUint32(this.take(4), true);
    if (count > 0) m.entries = this.entries(count, m.index, m.logTerm);
    if ((flags & Flag.snapshot) !== 0) m.snapshot = this.snapshot();
    return type <= LAST_TYPE ? m : null;
  }

  private take(count: number): number {
    const at = this.pos;
    if (count > this.bytes.length - at) throw new PeerDecodeError('a message is cut short');
    this.pos = at + count;
    return at;
  }

  private id(present: number): MemberId {
    return present === 0 ? 0n : this.view.getBigUint64(this.take(8), true);
  }

  private number(present: number): number {
    return present === 0 ? 0 : this.fixed(this.take(8));
  }

  private fixed(at: number): number {
    const high = this.view.getUint32(at + 4, true);
    if (high >= UNSAFE_HIGH) throw new PeerDecodeError('a number is out of range');
    return getU64(this.view, at);
  }

  private entries(count: number, before: number, beforeTerm: number): Entry[] {
    if (count * ENTRY_FIXED_BYTES > this.bytes.length - this.pos) {
      throw new PeerDecodeError('a message announces more entries than it holds');
    }
    const entries: Entry[] = [];
    let index = before;
    let term = beforeTerm;
    for (let i = 0; i < count; i++) {
      const at = this.take(ENTRY_FIXED_BYTES);
      const kind = this.view.getUint8(at);
      const length = this.view.getUint32(at + 1, true);
      if ((kind & ~ALL_KINDS) !== 0) throw new PeerDecodeError('an entry has an unknown kind');
      if ((kind & Kind.explicit) !== 0) {
        const numbers = this.take(ENTRY_EXPLICIT_BYTES);
        index = this.fixed(numbers);
        term = this.fixed(numbers + 8);
      } else {
        index++;
      }
      const start = this.take(length);
      const type = (kind & Kind.confChange) !== 0 ? EntryType.confChange : EntryType.normal;
      entries.push({ term, index, type, data: this.bytes.subarray(start, start + length) });
    }
    return entries;
  }

  private snapshot(): SnapshotMeta {
    const at = this.take(SNAPSHOT_FIXED_BYTES);
    const voters = this.view.getUint32(at + 16, true);
    const learners = this.view.getUint32(at + 20, true);
    if (8 * (voters + learners) > this.bytes.length - this.pos) {
      throw new PeerDecodeError('a snapshot announces more members than it holds');
    }
    const confState: ConfState = { voters: this.ids(voters), learners: this.ids(learners) };
    return { index: this.fixed(at), term: this.fixed(at + 8), confState };
  }

  private ids(count: number): MemberId[] {
    const ids: MemberId[] = [];
    for (let i = 0; i < count; i++) ids.push(this.view.getBigUint64(this.take(8), true));
    return ids;
  }
}
