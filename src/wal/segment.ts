import type { DiskFile, Env } from '../base/env/env.js';
import type { SegmentHeader } from './format.js';
import {
  FORMAT_VERSION,
  SPARE_NAME,
  TRAILER_BYTES,
  encodeSegmentHeader,
  segmentName,
} from './format.js';
import type { WalIdentity } from './types.js';

/** A segment as its writer describes it; salt and trailer are drawn anew for each. */
export type SegmentFields = Omit<SegmentHeader, 'version' | 'identity' | 'salt' | 'trailer'>;

export interface OpenSegment {
  readonly header: SegmentHeader;
  readonly path: string;
  readonly file: DiskFile;
}

export function newHeader(env: Env, identity: WalIdentity, fields: SegmentFields): SegmentHeader {
  const trailer = new Uint8Array(TRAILER_BYTES);
  // Two bits set in every byte at least, so that damage to one bit cannot make a byte zero.
  for (let i = 0; i < TRAILER_BYTES; i++) trailer[i] = (env.randomU32() & 0xff) | 0x81;
  return { version: FORMAT_VERSION, identity, salt: env.randomU32(), trailer, ...fields };
}

/** Makes a segment that no other precedes. It has its name only once its header is durable, and both are on return. */
export function createSegmentSync(env: Env, dir: string, header: SegmentHeader): OpenSegment {
  removeSpare(env, dir);
  const spare = `${dir}/${SPARE_NAME}`;
  const path = `${dir}/${segmentName(header.seq, header.firstIndex)}`;
  const file = env.disk.createSync(spare, header.sizeBytes);
  file.writeSync(encodeSegmentHeader(header), 0);
  file.datasyncSync();
  env.disk.renameSync(spare, path);
  env.disk.syncDirSync(dir);
  return { header, path, file };
}

/** Removes what an interrupted rotation left. */
export function removeSpare(env: Env, dir: string): void {
  const path = `${dir}/${SPARE_NAME}`;
  if (env.disk.existsSync(path)) env.disk.unlinkSync(path);
}
