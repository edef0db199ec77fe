import type { Disk } from '../base/env/env.js';
import { WalNewer } from './errors.js';
import { decodeSegmentHeader, listSegments } from './format.js';
import type { HeaderReading } from './format.js';
import { HEADER_READ_BYTES } from './limits.js';
import type { WalIdentity } from './types.js';

/**
 * Owner of the log in a directory, by the newest segment with a readable header; undefined when
 * there is none. A member with data takes its identity from here, not from its flags.
 *
 * Throws: WalNewer when a newer program wrote the newest of these, or the operating system's error.
 */
export function readIdentity(disk: Disk, dir: string): WalIdentity | undefined {
  if (!disk.existsSync(dir)) return undefined;
  for (const file of listSegments(disk.readdirSync(dir)).reverse()) {
    const path = `${dir}/${file.name}`;
    const reading = readHeader(disk, path);
    if (reading.kind === 'newer') throw new WalNewer(path, reading);
    if (reading.kind === 'ok') return reading.header.identity;
  }
  return undefined;
}

/** A header fits in a few sectors unless it lists hundreds of members, so the whole segment is rarely needed. */
function readHeader(disk: Disk, path: string): HeaderReading {
  const head = new Uint8Array(HEADER_READ_BYTES);
  const reading = decodeSegmentHeader(head.subarray(0, disk.readIntoSync(path, head)));
  return reading.kind === 'damaged' ? decodeSegmentHeader(disk.readFileSync(path)) : reading;
}
