import { invariant } from '../base/invariant.js';
import { RECORD_HEADER_BYTES, SECTOR_BYTES, TRAILER_BYTES, alignSector } from './format.js';
import { TRAILER_WRONG_BITS } from './limits.js';

/** Place of a record that cannot be read; `payloadBytes` is 0 when not even its header can be. */
export interface UnreadableRecord {
  readonly at: number;
  readonly payloadBytes: number;
}

const ZERO_SECTOR = new Uint8Array(SECTOR_BYTES);

function isZeroSector(bytes: Uint8Array, at: number): boolean {
  const end = Math.min(at + SECTOR_BYTES, bytes.length);
  return Buffer.compare(bytes.subarray(at, end), ZERO_SECTOR.subarray(0, end - at)) === 0;
}

/** Offset after the last byte that is not zero, or `start`. Requires: `start` on a sector boundary. */
export function endOfContent(bytes: Uint8Array, start: number): number {
  invariant(start % SECTOR_BYTES === 0, 'content is measured from a sector boundary');
  let sector = alignSector(bytes.length) - SECTOR_BYTES;
  while (sector >= start && isZeroSector(bytes, sector)) sector -= SECTOR_BYTES;
  if (sector < start) return start;
  let end = Math.min(sector + SECTOR_BYTES, bytes.length);
  while (bytes[end - 1] === 0) end--;
  return end;
}

/**
 * True if the content that ends at `end` ends with the trailer.
 *
 * A few wrong bits still count: damage to the trailer itself looks like that, whereas a batch cut
 * short ends with something else altogether.
 */
export function endsWithTrailer(bytes: Uint8Array, end: number, trailer: Uint8Array): boolean {
  if (end % 8 !== 0 || end < TRAILER_BYTES) return false;
  let wrong = 0;
  for (let i = 0; i < TRAILER_BYTES; i++) {
    let difference = (bytes[end - TRAILER_BYTES + i] ?? 0) ^ (trailer[i] ?? 0);
    for (; difference !== 0; difference &= difference - 1) wrong++;
  }
  return wrong <= TRAILER_WRONG_BITS;
}

/** True if a sector that the unreadable record needs is all zero, as if it never reached the disk. */
export function hasMissingSector(
  bytes: Uint8Array,
  record: UnreadableRecord,
  end: number,
): boolean {
  const recordEnd = Math.min(record.at + RECORD_HEADER_BYTES + record.payloadBytes, end);
  const first = record.at - (record.at % SECTOR_BYTES);
  for (let sector = first; sector < recordEnd; sector += SECTOR_BYTES) {
    if (isZeroSector(bytes, sector)) return true;
  }
  return false;
}
