/**
 * Shared by all generated message codecs (src/gen/): reading, measuring and writing the protobuf wire format.
 *
 * Promises: Reading stays within the given bytes, allocates in proportion to the input, and fails
 * with DecodeError only. Writing is canonical: minimal varints, negative numbers as ten bytes.
 * 64-bit integers are handled as two 32-bit halves; a bigint is made only where the field's type is
 * bigint.
 *
 * Called by: src/gen/, and by code that splices encoded fields together by hand.
 */
import { TWO_32 } from '../bytes/halves.js';
import { int64Of, sizeInt, uint64Of, writeInt } from '../bytes/varint.js';
import { invariant } from '../invariant.js';

export { sizeBig, sizeInt, writeBig, writeInt } from '../bytes/varint.js';

/** The bytes (or the JSON) are not a message of the expected type. */
export class DecodeError extends Error {
  override name = 'DecodeError';
}

/** The message contains messages to a greater depth than MAX_DEPTH. */
export class NestingError extends DecodeError {
  override name = 'NestingError';
}

/**
 * Depth to which messages may contain messages. It allows transactions 500 deep; --max-txn-ops, 128
 * by default as in etcd, bounds them further. Every walk over a decoded message recurses; the stack
 * holds eight times as much.
 */
export const MAX_DEPTH = 1000;

/** The value of an absent bytes field. */
export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Below this length, loops in JavaScript beat a call into the runtime's byte routines. */
const SHORT_BYTES = 24;
const SHORT_TEXT = 40;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// ---- reading ----

/** A position in a message's bytes. Every read is bounded by `end`, the end of the innermost message. */
export class Reader {
  readonly buf: Uint8Array;
  pos: number;
  private lo = 0;
  private hi = 0;

  constructor(buf: Uint8Array, pos: number) {
    this.buf = buf;
    this.pos = pos;
  }

  /** Field number and wire type. Requires: pos < end. */
  tag(end: number): number {
    const b = this.buf[this.pos] as number;
    if (b < 0x80 && b > 7) {
      this.pos++;
      return b;
    }
    this.varint(end);
    if (this.hi !== 0 || this.lo >>> 3 === 0) throw new DecodeError('invalid field number');
    return this.lo >>> 0;
  }

  /** An int64 that counts something; beyond the safe integers it becomes the nearest of them. */
  int(end: number): number {
    const n = this.short(end);
    if (n >= 0) return n;
    this.varint(end);
    return this.hi === 0 ? this.lo >>> 0 : nearestSafe(this.hi * TWO_32 + (this.lo >>> 0));
  }

  /** A uint64 that counts something. */
  uint(end: number): number {
    const n = this.short(end);
    if (n >= 0) return n;
    this.varint(end);
    return this.hi === 0 ? this.lo >>> 0 : safe((this.hi >>> 0) * TWO_32 + (this.lo >>> 0));
  }

  int32(end: number): number {
    const n = this.short(end);
    if (n >= 0) return n;
    this.varint(end);
    return this.lo;
  }

  uint32(end: number): number {
    const n = this.short(end);
    if (n >= 0) return n;
    this.varint(end);
    return this.lo >>> 0;
  }

  bool(end: number): boolean {
    const n = this.short(end);
    if (n >= 0) return n !== 0;
    this.varint(end);
    return this.lo !== 0 || this.hi !== 0;
  }

  bigInt(end: number): bigint {
    this.varint(end);
    return int64Of(this.lo, this.hi);
  }

  bigUint(end: number): bigint {
    this.varint(end);
    return uint64Of(this.lo, this.hi);
  }

  /** Reads a length and returns the position where that many bytes end. */
  stop(end: number): number {
    const length = this.uint(end);
    const stop = this.pos + length;
    if (stop > end) throw truncated();
    return stop;
  }

  /** A view of the input, not a copy. */
  bytes(end: number): Uint8Array {
    const stop = this.stop(end);
    const start = this.pos;
    if (stop === start) return EMPTY_BYTES;
    this.pos = stop;
    return this.buf.subarray(start, stop);
  }

  string(end: number): string {
    const stop = this.stop(end);
    const start = this.pos;
    this.pos = stop;
    return text(this.buf, start, stop);
  }

  /** Passes over an unknown field. */
  skip(tag: number, end: number): void {
    if ((tag & 7) === 3) this.skipGroup(tag, end);
    else this.skipPlain(tag, end);
  }

  private skipPlain(tag: number, end: number): void {
    switch (tag & 7) {
      case 0:
        this.varint(end);
        return;
      case 1:
        this.advance(8, end);
        return;
      case 2:
        this.pos = this.stop(end);
        return;
      case 5:
        this.advance(4, end);
        return;
      default:
        throw new DecodeError('invalid wire type');
    }
  }

  /** A varint of at most three bytes; -1, with nothing consumed, if it is longer or near the end. */
  private short(end: number): number {
    const buf = this.buf;
    const pos = this.pos;
    if (pos >= end) return -1;
    let b = buf[pos] as number;
    if (b < 0x80) {
      this.pos = pos + 1;
      return b;
    }
    if (pos + 2 >= end) return -1;
    let n = b & 0x7f;
    b = buf[pos + 1] as number;
    n |= (b & 0x7f) << 7;
    if (b < 0x80) {
      this.pos = pos + 2;
      return n;
    }
    b = buf[pos + 2] as number;
    if (b >= 0x80) return -1;
    this.pos = pos + 3;
    return n | (b << 14);
  }

  /** Groups may contain groups to any depth, as for etcd; those that are open are kept in a list, not on the stack. */
  private skipGroup(first: number, end: number): void {
    const open = [first];
    while (this.pos < end) {
      const tag = this.tag(end);
      switch (tag & 7) {
        case 3:
          open.push(tag);
          break;
        case 4:
          if (tag - 1 !== open.pop()) throw new DecodeError('group ends with another number');
          if (open.length === 0) return;
          break;
        default:
          this.skipPlain(tag, end);
      }
    }
    throw truncated();
  }

  private advance(count: number, end: number): void {
    if (this.pos + count > end) throw truncated();
    this.pos += count;
  }

  /** Reads up to 64 bits into `lo` and `hi`, as signed 32-bit halves. */
  private varint(end: number): void {
    const buf = this.buf;
    let pos = this.pos;
    let lo = 0;
    let hi = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (pos >= end) throw truncated();
      const b = buf[pos++] as number;
      lo |= (b & 0x7f) << shift;
      if (b < 0x80) {
        this.pos = pos;
        this.lo = lo;
        this.hi = 0;
        return;
      }
    }
    if (pos >= end) throw truncated();
    const fifth = buf[pos++] as number;
    lo |= (fifth & 0x7f) << 28;
    hi = (fifth & 0x7f) >>> 4;
    if (fifth >= 0x80) {
      for (let shift = 3; ; shift += 7) {
        if (pos >= end) throw truncated();
        const b = buf[pos++] as number;
        if (shift === 31 && b > 1) throw new DecodeError('integer has more than 64 bits');
        hi |= (b & 0x7f) << shift;
        if (b < 0x80) break;
      }
    }
    this.pos = pos;
    this.lo = lo;
    this.hi = hi;
  }
}

/** Clients say "no bound" with the largest int64, so a count too large to hold is not an error. */
export function nearestSafe(n: number): number {
  if (n > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER;
  return n < Number.MIN_SAFE_INTEGER ? Number.MIN_SAFE_INTEGER : n;
}

function safe(n: number): number {
  if (!Number.isSafeInteger(n))
    throw new DecodeError('integer is outside the range this server handles');
  return n;
}

function truncated(): DecodeError {
  return new DecodeError('message is truncated');
}

export function tooDeep(): NestingError {
  return new NestingError('message is nested too deeply');
}

function text(buf: Uint8Array, start: number, stop: number): string {
  if (stop - start <= SHORT_TEXT) {
    let s = '';
    let i = start;
    for (; i < stop; i++) {
      const b = buf[i] as number;
      if (b >= 0x80) break;
      s += String.fromCharCode(b);
    }
    if (i === stop) return s;
  }
  try {
    return utf8.decode(buf.subarray(start, stop));
  } catch {
    throw new DecodeError('string is not valid UTF-8');
  }
}

// ---- measuring ----

/** With the length in front. */
export function sizeBytes(v: Uint8Array): number {
  const n = v.length;
  return sizeInt(n) + n;
}

/** With the length in front. */
export function sizeString(s: string): number {
  const n = utf8Length(s);
  return sizeInt(n) + n;
}

function utf8Length(s: string): number {
  const n = s.length;
  if (n > SHORT_TEXT) return Buffer.byteLength(s);
  for (let i = 0; i < n; i++) if (s.charCodeAt(i) >= 0x80) return Buffer.byteLength(s);
  return n;
}

// ---- writing: each returns the position after what it wrote ----

/** With the length in front. */
export function writeBytes(buf: Uint8Array, pos: number, v: Uint8Array): number {
  const n = v.length;
  const at = writeInt(buf, pos, n);
  if (n > SHORT_BYTES) buf.set(v, at);
  else for (let i = 0; i < n; i++) buf[at + i] = v[i] as number;
  return at + n;
}

/** With the length in front. */
export function writeString(buf: Uint8Array, pos: number, s: string): number {
  const n = utf8Length(s);
  const at = writeInt(buf, pos, n);
  if (n <= SHORT_TEXT && n === s.length) {
    for (let i = 0; i < n; i++) buf[at + i] = s.charCodeAt(i);
    return at + n;
  }
  Buffer.from(buf.buffer, buf.byteOffset + at, n).write(s, 'utf8');
  return at + n;
}

/** A buffer for an encoded message of `size` bytes, with arbitrary content. */
export function allocate(size: number): Uint8Array {
  return size === 0 ? EMPTY_BYTES : Buffer.allocUnsafe(size);
}

/** Checks that a message took exactly the space it was measured to take. */
export function finished(buf: Uint8Array, pos: number): Uint8Array {
  invariant(pos === buf.length, 'an encoded message differs in length from its measure');
  return buf;
}
