import { crc32c } from '../base/bytes/crc32c.js';
import { maskCrc, readU32le } from './level-crc.js';

/**
 * Reads a log of LevelDB, or its MANIFEST, which has the same form, with every checksum.
 *
 *   log    := { block of 32 KiB }
 *   block  := { record }, zeros where no header fits
 *   record := crc u32le, length u16le, type u8, data       (crc masked, over type and data)
 *
 * LevelDB itself goes on behind a record that it cannot read. Here reading ends at the first one:
 * later records could be applied without those they build on.
 * Ref: leveldb doc/log_format.md.
 */

const BLOCK_BYTES = 32 << 10;
const HEADER_BYTES = 7;
const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;

/** End of the records of a log. */
export interface LogEnd {
  /** Offset in bytes of the first record that is not whole; the file's size for none. */
  readonly offset: number;
  /**
   * `clean`: the file ends with a whole record. `cut`: it ends within one, as a process that dies while it writes
   * leaves it. `damaged`: bytes are there and are no record.
   */
  readonly state: 'clean' | 'cut' | 'damaged';
}

/** Shows every whole record in order until the first that is not. */
export function readLevelLog(bytes: Uint8Array, onRecord: (record: Uint8Array) => void): LogEnd {
  let at = 0;
  /** Fragments of the record under way, and where its first one begins. */
  let fragments: Uint8Array[] = [];
  let begin = 0;
  for (;;) {
    const blockLeft = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (blockLeft < HEADER_BYTES) {
      if (at + blockLeft >= bytes.length) return end(bytes.length);
      if (!isZero(bytes, at, at + blockLeft)) return { offset: at, state: 'damaged' };
      at += blockLeft;
      continue;
    }
    if (at >= bytes.length) return end(at);
    const start = fragments.length === 0 ? at : begin;
    if (at + HEADER_BYTES > bytes.length) return { offset: start, state: 'cut' };
    const length = (bytes[at + 4] as number) | ((bytes[at + 5] as number) << 8);
    const dataEnd = at + HEADER_BYTES + length;
    if (length > blockLeft - HEADER_BYTES) return { offset: start, state: 'damaged' };
    if (dataEnd > bytes.length) {
      return { offset: start, state: isLengthDamaged(bytes, at, length) ? 'damaged' : 'cut' };
    }
    if (readU32le(bytes, at) !== maskCrc(crc32c(bytes, 0, at + 6, dataEnd))) {
      return { offset: start, state: 'damaged' };
    }
    const type = bytes[at + 6] as number;
    const isFirst = type === FULL || type === FIRST;
    const isKnown = isFirst || type === MIDDLE || type === LAST;
    if (!isKnown || isFirst !== (fragments.length === 0))
      return { offset: start, state: 'damaged' };
    if (isFirst) begin = at;
    fragments.push(bytes.subarray(at + HEADER_BYTES, dataEnd));
    if (type === FULL || type === LAST) {
      onRecord(fragments.length === 1 ? (fragments[0] as Uint8Array) : Buffer.concat(fragments));
      fragments = [];
    }
    at = dataEnd;
  }

  function end(offset: number): LogEnd {
    return fragments.length === 0 ? { offset, state: 'clean' } : { offset: begin, state: 'cut' };
  }
}

/** True when the record at `at` would be whole if one bit of its length were another. */
function isLengthDamaged(bytes: Uint8Array, at: number, length: number): boolean {
  const stored = readU32le(bytes, at);
  for (let bit = 1; bit <= 0x8000; bit <<= 1) {
    const end = at + HEADER_BYTES + (length ^ bit);
    if (end > bytes.length) continue;
    if (stored === maskCrc(crc32c(bytes, 0, at + 6, end))) return true;
  }
  return false;
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < Math.min(end, bytes.length); i++) if (bytes[i] !== 0) return false;
  return true;
}
