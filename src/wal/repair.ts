/**
 * Makes a damaged log usable again at the price of its unreadable part. Only for a member that is
 * alone: one that has peers must be replaced instead, because its acknowledgements and votes may
 * rest on the part cut here.
 *
 * Promises: Nothing is deleted: every file that is changed or taken out of the log is kept under
 * `damaged-<n>` first. Interrupted at any point, it can be run again. Called by the command line
 * while the member is stopped.
 */
import type { Env } from '../base/env/env.js';
import type { SnapshotMeta } from '../raft/types.js';
import type { SegmentFile } from './format.js';
import { alignSector, listSegments } from './format.js';
import type { Scan } from './reader.js';
import { scanLog } from './reader.js';
import { createSegmentSync, newHeader } from './segment.js';
import type { WalOptions } from './types.js';

export interface RepairReport {
  /** The damage and its place; empty when the log needed no repair. */
  readonly found: string;
  /** Last entry the log vouches for now. */
  readonly lastIndex: number;
  /**
   * First entry the log cannot give back, and the last one proved to have been in it; 0 and 0 when
   * nothing was damaged. `lostThrough` is 0 when nothing shows how far the log reached. The effect
   * of lost entries may be in the image.
   */
  readonly lostFrom: number;
  readonly lostThrough: number;
  /** True if the log begins anew after the image, so that everything up to it is kept by the image. */
  readonly isRestarted: boolean;
  /** True if the backend is still ahead of the log, so that the member cannot start from the two. */
  readonly isBehindWitness: boolean;
  /** Directory that keeps the files as they were found; empty when none was changed. */
  readonly savedIn: string;
}

/** Nothing of the log can be read and there is no image to begin anew from. */
export class WalUnrepairable extends Error {
  override name = 'WalUnrepairable';
}

/**
 * Cuts the log at the damage, or begins it anew after `image` (what the backend durably holds) when that reaches further.
 *
 * Throws: WalForeign, WalUnrepairable, or the operating system's error.
 */
export function repairWal(env: Env, options: WalOptions, image: SnapshotMeta | null): RepairReport {
  const scan = scanLog(env.disk, options);
  const damage = scan.damage;
  if (damage === null) {
    return {
      found: '',
      lastIndex: scan.lastIndex,
      lostFrom: 0,
      lostThrough: 0,
      isRestarted: false,
      isBehindWitness: false,
      savedIn: '',
    };
  }
  const isRestarted = image !== null && image.index > scan.lastIndex;
  const isRootless = scan.segments.length === 0 || scan.firstMissing > 0;
  if (isRootless && !isRestarted) {
    throw new WalUnrepairable(
      `no part of the log in ${options.dir} can stand alone (${damage.found}); restore the member from a backup`,
    );
  }
  const savedIn = freeDirectory(env, options.dir);
  if (isRestarted) restartAfter(env, options, scan, image, savedIn);
  else cut(env, options, scan, savedIn);
  const lastIndex = isRestarted ? image.index : scan.lastIndex;
  const known = Math.max(options.witnessIndex, scan.highestAfterDamage, scan.hardState.commit);
  return {
    found: `${damage.found} (${damage.path}, offset ${damage.offset})`,
    lastIndex,
    lostFrom: damage.firstLostIndex,
    lostThrough: known >= damage.firstLostIndex ? known : 0,
    isRestarted,
    isBehindWitness: options.witnessIndex > lastIndex,
    savedIn,
  };
}

function freeDirectory(env: Env, dir: string): string {
  for (let n = 1; ; n++) {
    const path = `${dir}/damaged-${n}`;
    if (env.disk.existsSync(path)) continue;
    env.disk.mkdirSync(path);
    env.disk.syncDirSync(dir);
    return path;
  }
}

/** Moves the files aside, newest first, so that an interruption never leaves a gap in the log. */
function moveAside(env: Env, dir: string, files: readonly SegmentFile[], savedIn: string): void {
  for (const file of [...files].reverse()) {
    env.disk.renameSync(`${dir}/${file.name}`, `${savedIn}/${file.name}`);
    env.disk.syncDirSync(savedIn);
    env.disk.syncDirSync(dir);
  }
}

function cut(env: Env, options: WalOptions, scan: Scan, savedIn: string): void {
  const { disk } = env;
  const last = scan.segments[scan.segments.length - 1];
  if (last === undefined) return;
  const path = `${options.dir}/${last.file.name}`;
  disk.writeFileSync(`${savedIn}/${last.file.name}`, disk.readFileSync(path));
  const later = listSegments(disk.readdirSync(options.dir)).filter(
    (file) => file.seq > last.file.seq,
  );
  moveAside(env, options.dir, later, savedIn);
  const file = disk.openSync(path);
  const sizeBytes = last.header.sizeBytes;
  file.writeSync(new Uint8Array(sizeBytes - scan.position), scan.position);
  file.truncateSync(sizeBytes);
  file.datasyncSync();
  file.closeSync();
}

function restartAfter(
  env: Env,
  options: WalOptions,
  scan: Scan,
  image: SnapshotMeta,
  savedIn: string,
): void {
  const files = listSegments(env.disk.readdirSync(options.dir));
  const newest = files[files.length - 1];
  const term = Math.max(scan.hardState.term, image.term);
  const header = newHeader(env, options.identity, {
    seq: (newest?.seq ?? 0) + 1,
    firstIndex: image.index + 1,
    sizeBytes: alignSector(options.segmentBytes),
    link: scan.link,
    batch: scan.batch,
    hardState: {
      term,
      vote: term === scan.hardState.term ? scan.hardState.vote : 0n,
      commit: image.index,
    },
    snapshot: image,
  });
  moveAside(env, options.dir, files, savedIn);
  createSegmentSync(env, options.dir, header).file.closeSync();
}
