import type { DiskFile, Env } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import { BatchEncoder, SEAL_BOUND } from './encoder.js';
import {
  END_RESERVE_BYTES,
  FORMAT_VERSION,
  TORN_TAIL_NAME,
  alignSector,
  segmentHeaderBytes,
} from './format.js';
import type { Scan, ScannedSegment } from './reader.js';
import type { OpenSegment } from './segment.js';
import { createSegmentSync, newHeader } from './segment.js';
import type { KnownSegment } from './segment-chain.js';
import type { WalOptions } from './types.js';

/** Opens the segment that the log continues in, and makes it when the newest one has an older format. */
export function openNewest(
  env: Env,
  options: WalOptions,
  scan: Scan,
  newest: ScannedSegment,
): { segment: OpenSegment; known: KnownSegment[]; position: number } {
  const { dir } = options;
  const path = `${dir}/${newest.file.name}`;
  const file = env.disk.openSync(path);
  cutTornTail(env, dir, file, scan);
  const known = scan.segments.map(({ file: f, header }) => ({
    seq: f.seq,
    firstIndex: f.firstIndex,
    path: `${dir}/${f.name}`,
    sizeBytes: header.sizeBytes,
  }));
  const old = { header: newest.header, path, file };
  if (newest.header.version === FORMAT_VERSION)
    return { segment: old, known, position: scan.position };
  const segment = succeedSync(env, options, old, scan);
  const { seq, firstIndex, sizeBytes, snapshot } = segment.header;
  known.push({ seq, firstIndex, path: segment.path, sizeBytes });
  return { segment, known, position: segmentHeaderBytes(snapshot) };
}

/**
 * Begins the segment after `old` before anything new is appended, durably and in the order of a rotation; `old` is
 * closed. Entries of the current format then stand in segments that an older program refuses.
 */
function succeedSync(env: Env, options: WalOptions, old: OpenSegment, scan: Scan): OpenSegment {
  const { header } = old;
  invariant(
    scan.position + END_RESERVE_BYTES <= header.sizeBytes,
    'every segment has room for its end',
  );
  const segment = createSegmentSync(
    env,
    options.dir,
    newHeader(env, options.identity, {
      seq: header.seq + 1,
      firstIndex: scan.lastIndex + 1,
      sizeBytes: alignSector(Math.min(options.segmentBytes, header.sizeBytes)),
      link: scan.link,
      batch: scan.batch,
      hardState: scan.hardState,
      snapshot: scan.snapshot,
    }),
  );
  const encoder = new BatchEncoder();
  encoder.begin(SEAL_BOUND, scan.link, scan.batch, header.salt);
  encoder.end(scan.lastIndex);
  old.file.writeSync(encoder.bytes(), scan.position);
  old.file.datasyncSync();
  old.file.closeSync();
  return segment;
}

function cutTornTail(env: Env, dir: string, file: DiskFile, scan: Scan): void {
  if (scan.torn === null) return;
  try {
    env.disk.writeFileSync(`${dir}/${TORN_TAIL_NAME}`, scan.torn.bytes);
  } catch {
    // The copy is for people who investigate a crash; a full disk must not keep the member from starting.
  }
  file.writeSync(new Uint8Array(alignSector(scan.torn.bytes.length)), scan.torn.offset);
  file.datasyncSync();
}
