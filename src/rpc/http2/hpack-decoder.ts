/**
 * HPACK decoder (RFC 7541) for requests: static and dynamic table, size updates, Huffman strings.
 *
 * Promises bounded work and memory for any bytes: integers are capped, strings cannot exceed the
 * scratch buffer, and the table never exceeds the size advertised. A block either decodes or is a
 * compression error, after which the connection cannot be used. Called by the connection, one block
 * at a time.
 */
import { FIELD_OVERHEAD_BYTES, fieldSize, makeField } from './header-field.js';
import type { HeaderField } from './header-field.js';
import { huffmanDecode } from './huffman.js';

/** Receives the fields of one block in order. */
export interface FieldSink {
  add(field: HeaderField): void;
}

/** SETTINGS_HEADER_TABLE_SIZE: the protocol's default, never changed by this server. */
const HEADER_TABLE_BYTES = 4096;
/** Longest name or value; blocks are cut off before their strings can be longer. */
export const MAX_STRING_BYTES = 64 * 1024;
/** Integers of five continuation bytes and more are refused. */
const MAX_INTEGER_SHIFT = 21;
const SIZE_UPDATES_MAX = 2;

// RFC 7541, appendix A.
const STATIC_ROWS: readonly (readonly [string, string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
];
const STATIC_TABLE: readonly HeaderField[] = STATIC_ROWS.map(([name, value]) =>
  makeField(name, value),
);
const STATIC_COUNT = STATIC_TABLE.length;
const FAILED = -1;

export class HpackDecoder {
  /** Grows with each change of the dynamic table: a block decoded at one generation decodes alike at the same. */
  generation = 0;
  /** Newest last; `dynamic[dynamic.length - 1]` has index 62. Evicted entries are cut off in runs. */
  private dynamic: HeaderField[] = [];
  private evicted = 0;
  private tableBytes = 0;
  private tableLimit = HEADER_TABLE_BYTES;
  private readonly scratch: Buffer;
  private position = 0;

  /** Requires: a scratch buffer of MAX_STRING_BYTES, which decoders on one thread may share. */
  constructor(scratch: Buffer) {
    this.scratch = scratch;
  }

  /** Decodes `block[start..end)` into `sink`; false means COMPRESSION_ERROR. */
  decode(block: Buffer, start: number, end: number, sink: FieldSink): boolean {
    this.position = start;
    let sizeUpdates = 0;
    let fields = 0;
    while (this.position < end) {
      const first = block[this.position] ?? 0;
      if (first >= 0x80) {
        const field = this.fieldAt(this.integer(block, end, 7));
        if (field === undefined) return false;
        sink.add(field);
        fields++;
      } else if (first >= 0x40) {
        const field = this.literal(block, end, 6);
        if (field === undefined) return false;
        this.insert(field);
        sink.add(field);
        fields++;
      } else if (first >= 0x20) {
        // Size updates belong to the beginning of a block, and two are always enough.
        sizeUpdates++;
        const limit = this.integer(block, end, 5);
        if (fields > 0 || sizeUpdates > SIZE_UPDATES_MAX || !this.resize(limit)) return false;
      } else {
        const field = this.literal(block, end, 4);
        if (field === undefined) return false;
        sink.add(field);
        fields++;
      }
    }
    return true;
  }

  private fieldAt(index: number): HeaderField | undefined {
    if (index <= 0) return undefined;
    if (index <= STATIC_COUNT) return STATIC_TABLE[index - 1];
    const at = this.dynamic.length - (index - STATIC_COUNT);
    return at >= this.evicted ? this.dynamic[at] : undefined;
  }

  private literal(block: Buffer, end: number, prefixBits: number): HeaderField | undefined {
    const nameIndex = this.integer(block, end, prefixBits);
    if (nameIndex < 0) return undefined;
    const name = nameIndex === 0 ? this.text(block, end) : this.fieldAt(nameIndex)?.name;
    if (name === undefined) return undefined;
    const value = this.text(block, end);
    return value === undefined ? undefined : makeField(name, value);
  }

  private text(block: Buffer, end: number): string | undefined {
    if (this.position >= end) return undefined;
    const isHuffman = (block[this.position] ?? 0) >= 0x80;
    const length = this.integer(block, end, 7);
    if (length < 0 || length > end - this.position) return undefined;
    const start = this.position;
    this.position = start + length;
    if (!isHuffman) return block.toString('latin1', start, this.position);
    const decoded = huffmanDecode(block, start, this.position, this.scratch);
    return decoded < 0 ? undefined : this.scratch.toString('latin1', 0, decoded);
  }

  /** Reads an integer with an n-bit prefix at the position, or returns FAILED. */
  private integer(block: Buffer, end: number, prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = (block[this.position++] ?? 0) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= MAX_INTEGER_SHIFT; shift += 7) {
      if (this.position >= end) return FAILED;
      const byte = block[this.position++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return FAILED;
  }

  private insert(field: HeaderField): void {
    this.generation++;
    const size = fieldSize(field);
    this.evictTo(this.tableLimit - size);
    // An entry larger than the table empties it and is not stored (RFC 7541, 4.4).
    if (size > this.tableLimit) return;
    this.dynamic.push(field);
    this.tableBytes += size;
  }

  private resize(limit: number): boolean {
    if (limit < 0 || limit > HEADER_TABLE_BYTES) return false;
    this.generation++;
    this.tableLimit = limit;
    this.evictTo(limit);
    return true;
  }

  private evictTo(maxBytes: number): void {
    while (this.tableBytes > maxBytes && this.evicted < this.dynamic.length) {
      const oldest = this.dynamic[this.evicted];
      if (oldest === undefined) break;
      this.tableBytes -= fieldSize(oldest);
      this.evicted++;
    }
    // Cutting off rarely keeps eviction at constant cost; the table never holds more entries than this.
    if (this.evicted > HEADER_TABLE_BYTES / FIELD_OVERHEAD_BYTES) {
      this.dynamic = this.dynamic.slice(this.evicted);
      this.evicted = 0;
    }
  }
}
