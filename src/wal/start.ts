/** Makes or opens a log, and finds the place at which it begins to write. */
import { dirname } from 'node:path';
import type { DiskFile, Env } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import type { HardState, SnapshotMeta } from '../raft/types.js';
import { BatchEncoder, SEAL_BOUND } from './encoder.js';
import { WalDamaged } from './errors.js';
import {
  END_RESERVE_BYTES,
  FORMAT_VERSION,
  NO_HARD_STATE,
  NO_SNAPSHOT,
  TORN_TAIL_NAME,
  alignSector,
  listSegments,
  segmentHeaderBytes,
} from './format.js';
import { FIRST_SEGMENT_BYTES } from './limits.js';
import type { Scan, ScannedSegment } from './reader.js';
import { scanLog } from './reader.js';
import type { OpenSegment } from './segment.js';
import { createSegmentSync, newHeader, removeSpare } from './segment.js';
import type { KnownSegment } from './segment-chain.js';
import { TermRuns } from './term-runs.js';
import type { WalOptions, WalRecovery } from './types.js';

export interface LogStart {
  readonly segment: OpenSegment;
  /** Oldest first; the last is `segment`. */
  readonly known: KnownSegment[];
  readonly position: number;
  readonly link: number;
  readonly batch: number;
  readonly lastIndex: number;
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  readonly snapshotSeq: number;
  readonly terms: TermRuns;
}

export function holdsLog(env: Env, dir: string): boolean {
  return env.disk.existsSync(dir) && listSegments(env.disk.readdirSync(dir)).length > 0;
}

/** Makes the first segment of a new log; see Wal.create. */
export function createStart(env: Env, options: WalOptions): LogStart {
  const { disk } = env;
  const { dir } = options;
  invariant(!holdsLog(env, dir), `there is a write-ahead log in ${dir} already`);
  disk.mkdirSync(dir);
  disk.syncDirSync(dirname(dir));
  const header = newHeader(env, options.identity, {
    seq: 1,
    firstIndex: 1,
    sizeBytes: alignSector(Math.min(options.segmentBytes, FIRST_SEGMENT_BYTES)),
    link: 0,
    batch: 0,
    hardState: NO_HARD_STATE,
    snapshot: NO_SNAPSHOT,
  });
  const segment = createSegmentSync(env, dir, header);
  return {
    segment,
    known: [{ seq: 1, firstIndex: 1, path: segment.path, sizeBytes: header.sizeBytes }],
    position: segmentHeaderBytes(NO_SNAPSHOT),
    link: 0,
    batch: 0,
    lastIndex: 0,
    hardState: NO_HARD_STATE,
    snapshot: NO_SNAPSHOT,
    snapshotSeq: 0,
    terms: new TermRuns(0),
  };
}

/** Reads a log and makes it ready to be continued; see Wal.open. */
export function openStart(
  env: Env,
  options: WalOptions,
): { start: LogStart; recovery: WalRecovery } {
  const scan = scanLog(env.disk, options);
  if (scan.damage !== null) throw new WalDamaged(scan.damage);
  const newest = scan.segments[scan.segments.length - 1];
  invariant(newest !== undefined, 'a scan without damage found a segment');
  removeSpare(env, options.dir);
  for (const file of scan.leftovers) env.disk.unlinkSync(`${options.dir}/${file.name}`);
  const terms = new TermRuns(scan.lastIndex);
  for (const entry of scan.entries) terms.append(entry.index, entry.term);
  const start = {
    ...openNewest(env, options, scan, newest),
    link: scan.link,
    batch: scan.batch,
    lastIndex: scan.lastIndex,
    hardState: scan.hardState,
    snapshot: scan.snapshot,
    snapshotSeq: scan.snapshotSeq,
    terms,
  };
  const recovery = {
    identity: options.identity,
    hardState: scan.hardState,
    snapshot: scan.snapshot,
    entries: scan.entries,
    tornBytes: scan.torn?.bytes.length ?? 0,
  };
  return { start, recovery };
}

/** Opens the segment that the log continues in, and makes it when the newest one has an older format. */
function openNewest(
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
