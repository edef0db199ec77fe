import { readBig, readInt, skipInt, writeBig, writeInt } from '../base/bytes/varint.js';
import { invariant } from '../base/invariant.js';
import { keyFromBytes, type Key } from '../base/collections/interval.js';
import type { LeaseId } from './types.js';

/**
 * Exact codec of mvccpb.KeyValue: fields in number order, zero values omitted, minimal varints. The bytes
 * are the same as a real etcd stores, so that hashes of equal histories are equal.
 *
 *   1 key bytes · 2 create_revision · 3 mod_revision · 4 version · 5 value bytes · 6 lease
 *
 * Rows are never decoded into objects: readers below find one field of the encoded bytes each.
 * Ref: etcd api/mvccpb/kv.proto.
 */

const KEY = 1;
const CREATE_REVISION = 2;
const MOD_REVISION = 3;
const VERSION = 4;
const VALUE = 5;
const LEASE = 6;
const WIRE_BYTES = 2;
const EMPTY = new Uint8Array(0);
const LEASE_BYTES_MAX = 10;

/** An upper bound of the encoded size, a few bytes above it at most. */
export function keyValueSizeMax(keyBytes: number, valueBytes: number): number {
  // Four tags and lengths of at most 6 bytes, three numbers of at most 9 bytes, a lease.
  return keyBytes + valueBytes + 4 * 6 + 3 * 9 + LEASE_BYTES_MAX;
}

/**
 * Encodes a row at `offset` of `target` and returns the offset after it.
 *
 * Requires: `keyValueSizeMax` free bytes there.
 */
export function writeKeyValue(
  target: Uint8Array,
  offset: number,
  key: Uint8Array,
  createRevision: number,
  modRevision: number,
  version: number,
  value: Uint8Array,
  lease: LeaseId,
): number {
  let at = writeBytesField(target, offset, KEY, key);
  if (createRevision !== 0) {
    target[at++] = CREATE_REVISION << 3;
    at = writeInt(target, at, createRevision);
  }
  if (modRevision !== 0) {
    target[at++] = MOD_REVISION << 3;
    at = writeInt(target, at, modRevision);
  }
  if (version !== 0) {
    target[at++] = VERSION << 3;
    at = writeInt(target, at, version);
  }
  at = writeBytesField(target, at, VALUE, value);
  if (lease !== 0n) {
    target[at++] = LEASE << 3;
    at = writeBig(target, at, lease);
  }
  // Bytes written beyond the end of an array are lost without an error.
  invariant(at <= target.length, 'a row ends {} bytes beyond its buffer', at - target.length);
  return at;
}

function writeBytesField(
  target: Uint8Array,
  offset: number,
  field: number,
  bytes: Uint8Array,
): number {
  if (bytes.length === 0) return offset;
  target[offset] = (field << 3) | WIRE_BYTES;
  const at = writeInt(target, offset + 1, bytes.length);
  target.set(bytes, at);
  return at + bytes.length;
}

export function encodeKeyValue(
  key: Uint8Array,
  createRevision: number,
  modRevision: number,
  version: number,
  value: Uint8Array,
  lease: LeaseId,
): Uint8Array {
  const target = Buffer.allocUnsafe(keyValueSizeMax(key.length, value.length));
  const end = writeKeyValue(target, 0, key, createRevision, modRevision, version, value, lease);
  return target.subarray(0, end);
}

/** The stored value of a tombstone: a KeyValue with nothing but the key. */
export function encodeTombstone(key: Uint8Array): Uint8Array {
  return encodeKeyValue(key, 0, 0, 0, EMPTY, 0n);
}

/** The KeyValue shown in a DELETE event: the key and the revision of the delete. */
export function encodeDeleted(key: Uint8Array, modRevision: number): Uint8Array {
  return encodeKeyValue(key, 0, modRevision, 0, EMPTY, 0n);
}

// ---- readers of encoded rows ----

/** Offset just behind the tag of `field`, or -1 when the row does not hold it. */
function findField(row: Uint8Array, field: number): number {
  let at = 0;
  while (at < row.length) {
    const tag = row[at++] as number;
    const number = tag >>> 3;
    if (number === field) return at;
    if (number > field) return -1;
    at = (tag & 7) === WIRE_BYTES ? skipBytes(row, at) : skipInt(row, at);
  }
  return -1;
}

function skipBytes(row: Uint8Array, offset: number): number {
  return skipInt(row, offset) + readInt(row, offset);
}

function numberField(row: Uint8Array, field: number): number {
  const at = findField(row, field);
  return at < 0 ? 0 : readInt(row, at);
}

function bytesField(row: Uint8Array, field: number): Uint8Array {
  const at = findField(row, field);
  if (at < 0) return EMPTY;
  const start = skipInt(row, at);
  return row.subarray(start, start + readInt(row, at));
}

/** The row's key as a view of the row. */
export function keyBytesOf(row: Uint8Array): Uint8Array {
  return bytesField(row, KEY);
}

export function keyOfRow(row: Uint8Array): Key {
  const at = findField(row, KEY);
  if (at < 0) return '';
  const start = skipInt(row, at);
  return keyFromBytes(row, start, start + readInt(row, at));
}

export function createRevisionOf(row: Uint8Array): number {
  return numberField(row, CREATE_REVISION);
}

export function modRevisionOf(row: Uint8Array): number {
  return numberField(row, MOD_REVISION);
}

export function versionOf(row: Uint8Array): number {
  return numberField(row, VERSION);
}

/** The row's value as a view of the row. */
export function valueOf(row: Uint8Array): Uint8Array {
  return bytesField(row, VALUE);
}

/** The lease attached to the row as a signed 64-bit integer, 0n when there is none. */
export function leaseOf(row: Uint8Array): LeaseId {
  const at = findField(row, LEASE);
  return at < 0 ? 0n : readBig(row, at);
}

/** The row with its value left out, as keys-only ranges answer it. */
export function withoutValue(row: Uint8Array): Uint8Array {
  const behindTag = findField(row, VALUE);
  if (behindTag < 0) return row;
  const start = behindTag - 1;
  const end = skipBytes(row, behindTag);
  if (end === row.length) return row.subarray(0, start);
  const rest = new Uint8Array(start + row.length - end);
  rest.set(row.subarray(0, start));
  rest.set(row.subarray(end), start);
  return rest;
}

/** The fields of a row that the key index is made of, read in one pass into one object: for many rows in a row. */
export class RowFields {
  private bytes: Uint8Array = EMPTY;
  private at = 0;
  private keyStart = 0;
  private keyEnd = 0;
  createRevision = 0;
  version = 0;
  lease: LeaseId = 0n;

  /** Reads the row at [start, end) of `bytes`. */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.at = start;
    this.keyStart = 0;
    this.keyEnd = 0;
    this.createRevision = 0;
    this.version = 0;
    this.lease = 0n;
    while (this.at < end) this.readField(bytes[this.at++] as number);
  }

  private readField(tag: number): void {
    const field = tag >>> 3;
    if ((tag & 7) === WIRE_BYTES) {
      const size = this.number();
      if (field === KEY) {
        this.keyStart = this.at;
        this.keyEnd = this.at + size;
      }
      this.at += size;
    } else if (field === LEASE) {
      this.lease = readBig(this.bytes, this.at);
      this.at = skipInt(this.bytes, this.at);
    } else {
      const value = this.number();
      if (field === CREATE_REVISION) this.createRevision = value;
      else if (field === VERSION) this.version = value;
    }
  }

  private number(): number {
    const byte = this.bytes[this.at] as number;
    if (byte < 128) {
      this.at++;
      return byte;
    }
    const value = readInt(this.bytes, this.at);
    this.at = skipInt(this.bytes, this.at);
    return value;
  }

  /** The key of the row that was read last. */
  key(): Key {
    return keyFromBytes(this.bytes, this.keyStart, this.keyEnd);
  }
}
