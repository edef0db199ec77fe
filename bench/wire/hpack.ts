/**
 * Header compression for the load generator's own HTTP/2 connections: a full decoder, and an encoder that puts each
 * constant request header into the peer's dynamic table once and names it by index afterwards.
 *
 * Ref: RFC 7541. The Huffman code is canonical, so its printable part follows from the lengths alone.
 */

const TABLE_BYTES = 4096;
const ENTRY_OVERHEAD = 32;

/** Printable characters by code length; gRPC percent-encodes everything else. */
const HUFFMAN_LENGTHS: readonly (readonly [number, string])[] = [
  [5, '012aceiost'],
  [6, ' %-./3456789=A_bdfghlmnpru'],
  [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz'],
  [8, '&*,;XZ'],
  [10, '!"()?'],
  [11, "'+|"],
  [12, '#>'],
  [13, '\0$@[]~'],
  [14, '^}'],
  [15, '<`{'],
];

/** Key: code with a leading 1 bit, so that codes of different lengths differ. */
const HUFFMAN = makeHuffman();

function makeHuffman(): ReadonlyMap<number, string> {
  const codes = new Map<number, string>();
  let code = 0;
  let length = 0;
  for (const [bits, characters] of HUFFMAN_LENGTHS) {
    code <<= bits - length;
    length = bits;
    for (const character of characters) codes.set((1 << bits) | code++, character);
  }
  return codes;
}

const STATIC_TABLE: readonly (readonly [string, string])[] = [
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

/** The three response headers a load generator looks at; empty when absent. */
export interface ResponseFields {
  httpStatus: string;
  grpcStatus: string;
  grpcMessage: string;
}

export class HpackDecoder {
  /** Newest first. */
  private readonly table: (readonly [string, string])[] = [];
  private tableBytes = 0;
  private maxBytes = TABLE_BYTES;
  private buf: Uint8Array = new Uint8Array(0);
  private pos = 0;

  /** Reads one header block, keeping the table in step, into `fields`. */
  decode(buf: Uint8Array, start: number, end: number, fields: ResponseFields): void {
    this.buf = buf;
    this.pos = start;
    while (this.pos < end) {
      const first = this.buf[this.pos] ?? 0;
      if (first >= 0x80) {
        const [name, value] = this.entry(this.integer(7));
        keep(fields, name, value);
      } else if (first >= 0x40) {
        this.insert(this.literal(this.integer(6), fields));
      } else if (first >= 0x20) {
        this.maxBytes = this.integer(5);
        this.evict();
      } else {
        this.literal(this.integer(4), fields);
      }
    }
  }

  private literal(index: number, fields: ResponseFields): readonly [string, string] {
    const name = index === 0 ? this.text() : this.entry(index)[0];
    const value = this.text();
    keep(fields, name, value);
    return [name, value];
  }

  private entry(index: number): readonly [string, string] {
    const found =
      index <= STATIC_TABLE.length
        ? STATIC_TABLE[index - 1]
        : this.table[index - STATIC_TABLE.length - 1];
    if (found === undefined) throw new Error(`header index ${index} is outside the tables`);
    return found;
  }

  private insert(entry: readonly [string, string]): void {
    this.table.unshift(entry);
    this.tableBytes += entry[0].length + entry[1].length + ENTRY_OVERHEAD;
    this.evict();
  }

  private evict(): void {
    while (this.tableBytes > this.maxBytes) {
      const oldest = this.table.pop();
      if (oldest === undefined) return;
      this.tableBytes -= oldest[0].length + oldest[1].length + ENTRY_OVERHEAD;
    }
  }

  private integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const next = this.byte();
      value += (next & 0x7f) << shift;
      if (next < 0x80) return value;
    }
    throw new Error('header integer too long');
  }

  private text(): string {
    const huffman = (this.buf[this.pos] ?? 0) >= 0x80;
    const length = this.integer(7);
    const start = this.pos;
    this.pos += length;
    if (this.pos > this.buf.length) throw new Error('header text beyond its block');
    if (huffman) return huffmanText(this.buf, start, this.pos);
    let text = '';
    for (let i = start; i < this.pos; i++) text += String.fromCharCode(this.buf[i] ?? 0);
    return text;
  }

  private byte(): number {
    const value = this.buf[this.pos++];
    if (value === undefined) throw new Error('header block ends early');
    return value;
  }
}

function keep(fields: ResponseFields, name: string, value: string): void {
  if (name === ':status') fields.httpStatus = value;
  else if (name === 'grpc-status') fields.grpcStatus = value;
  else if (name === 'grpc-message') fields.grpcMessage = value;
}

function huffmanText(buf: Uint8Array, start: number, end: number): string {
  let text = '';
  let code = 1;
  for (let i = start; i < end; i++) {
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | (((buf[i] ?? 0) >>> bit) & 1);
      const character = HUFFMAN.get(code);
      if (character !== undefined) {
        text += character;
        code = 1;
      }
    }
  }
  return text;
}

/** Request header blocks of one connection. */
export class HpackEncoder {
  /** Oldest first; nothing is ever evicted because the headers in use are few. */
  private readonly table: string[] = [];

  /** The block for a gRPC request; the first use of a header adds it to the peer's table. */
  block(authority: string, path: string): Uint8Array {
    const bytes: number[] = [0x83, 0x86];
    this.header(bytes, 4, ':path', path);
    this.header(bytes, 1, ':authority', authority);
    this.header(bytes, 31, 'content-type', 'application/grpc');
    this.header(bytes, 0, 'te', 'trailers');
    return Uint8Array.from(bytes);
  }

  private header(bytes: number[], nameIndex: number, name: string, value: string): void {
    const key = `${name}\n${value}`;
    const at = this.table.indexOf(key);
    if (at >= 0) {
      bytes.push(0x80 | (STATIC_TABLE.length + this.table.length - at));
      return;
    }
    bytes.push(0x40 | nameIndex);
    if (nameIndex === 0) pushText(bytes, name);
    pushText(bytes, value);
    this.table.push(key);
  }
}

function pushText(bytes: number[], text: string): void {
  if (text.length > 126) throw new Error('header too long for the load generator');
  bytes.push(text.length);
  for (let i = 0; i < text.length; i++) bytes.push(text.charCodeAt(i));
}
