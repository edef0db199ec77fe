import { crc32c } from '../base/bytes/crc32c.js';
import { ByteReader } from './byte-reader.js';
import { maskCrc, readU32le } from './level-crc.js';
import { uncompressSnappy } from './snappy.js';

/**
 * Verifies a table file of LevelDB: checksummed blocks fill it from its first byte to its footer,
 * and each matches its checksum. LevelDB checks none of them when it reads, and ends the process on
 * content that it does not expect.
 *
 *   table  := { data block }, [ filter block ], metaindex block, index block, footer
 *   block  := content, compression u8, crc u32le        (crc masked, over content and compression)
 *   footer := metaindex handle, index handle, zeros to 40 bytes, magic u64le
 *   handle := offset varint, size varint                (of the content)
 *   content of an index := { shared varint, fresh varint, value varint, key, value }, { restart u32le }, restarts u32le
 *
 * Ref: leveldb doc/table_format.md.
 */

const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const MAGIC_LOW = 0x8b80fb57;
const MAGIC_HIGH = 0xdb477524;
const UNCOMPRESSED = 0;
const SNAPPY = 1;

export interface TableDamage {
  /** One sentence without a full stop. */
  readonly found: string;
  readonly offset: number;
}

interface Handle {
  readonly offset: number;
  readonly size: number;
}

export class TableCheck {
  private readonly bytes: Uint8Array;
  private handles: Handle[] = [];
  private next = 0;
  damage: TableDamage | null = null;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    try {
      this.damage = this.readHandles();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.damage = { found: `its index cannot be read: ${error.message}`, offset: 0 };
    }
  }

  /** Verifies blocks of about `maxBytes` in all; true when nothing is left to do or damage was found. */
  step(maxBytes: number): boolean {
    for (let left = maxBytes; left > 0 && this.damage === null;) {
      const handle = this.handles[this.next++];
      if (handle === undefined) return true;
      if (!this.isIntact(handle)) this.damage = blockDamage(handle);
      left -= handle.size + TRAILER_BYTES;
    }
    return this.damage !== null;
  }

  /** Reads footer and indices and sets `handles` to the data blocks and the filter, which remain to be verified. */
  private readHandles(): TableDamage | null {
    const { bytes } = this;
    const footer = bytes.length - FOOTER_BYTES;
    if (footer < 0) return { found: 'it is too short for a table', offset: 0 };
    if (
      readU32le(bytes, bytes.length - 8) !== MAGIC_LOW ||
      readU32le(bytes, bytes.length - 4) !== MAGIC_HIGH
    ) {
      return { found: 'it does not end as a table does', offset: bytes.length - 8 };
    }
    const reader = new ByteReader(bytes, footer, bytes.length - 8);
    const metaindex = readHandle(reader);
    const index = readHandle(reader);
    for (const handle of [metaindex, index]) {
      if (!this.isIntact(handle)) return blockDamage(handle);
    }
    this.handles = [...this.handlesIn(index), ...this.handlesIn(metaindex)];
    return this.firstGap([...this.handles, metaindex, index], footer);
  }

  /** No byte lies outside a block, so that a checksum speaks for each. */
  private firstGap(handles: readonly Handle[], footer: number): TableDamage | null {
    let at = 0;
    for (const handle of handles) {
      if (handle.offset !== at) return { found: 'bytes lie between its blocks', offset: at };
      at += handle.size + TRAILER_BYTES;
    }
    return at === footer ? null : { found: 'bytes lie between its blocks', offset: at };
  }

  private isIntact({ offset, size }: Handle): boolean {
    const end = offset + size + 1;
    if (end + 4 > this.bytes.length) return false;
    return readU32le(this.bytes, end) === maskCrc(crc32c(this.bytes, 0, offset, end));
  }

  private handlesIn({ offset, size }: Handle): Handle[] {
    const end = offset + size;
    const compression = this.bytes[end] as number;
    if (compression === UNCOMPRESSED) return handlesOf(this.bytes.subarray(offset, end));
    if (compression === SNAPPY) return handlesOf(uncompressSnappy(this.bytes, offset, end));
    throw new RangeError(`compression ${compression} is unknown`);
  }
}

function handlesOf(content: Uint8Array): Handle[] {
  if (content.length < 4) throw new RangeError('bytes are missing');
  const restarts = readU32le(content, content.length - 4);
  const end = content.length - 4 - restarts * 4;
  if (end < 0) throw new RangeError('it has too many restarts');
  const reader = new ByteReader(content, 0, end);
  const handles: Handle[] = [];
  while (!reader.isAtEnd) {
    reader.varint();
    const fresh = reader.varint();
    const valueBytes = reader.varint();
    reader.skip(fresh);
    const value = new ByteReader(reader.take(valueBytes));
    handles.push(readHandle(value));
  }
  return handles;
}

function readHandle(reader: ByteReader): Handle {
  const offset = reader.varint();
  return { offset, size: reader.varint() };
}

function blockDamage({ offset }: Handle): TableDamage {
  return { found: 'a block does not match its checksum', offset };
}
