import type { Env } from '../../base/env/env.js';
import { createNodeEnv } from '../../base/env/node.js';
import { decodeConfStateRecord } from '../../gen/peer.js';
import { Backend } from '../../storage/backend.js';
import { verifiedLevelEngine } from '../../storage/level-engine.js';
import type { LevelFiles } from '../../storage/level-files.js';
import type { SnapshotMeta } from '../../raft/types.js';
import { StartupError } from '../../base/flags/startup-error.js';
import { SEGMENT_BYTES } from '../../wal/limits.js';
import type { DataDir } from '../contract/data-dir.js';
import { openFailure } from '../directory/failures.js';
import { MemberDirectory } from '../directory/member-directory.js';
import { damageAdvice } from '../../wal/errors.js';
import type { WalIdentity } from '../../wal/types.js';
import { WalUnrepairable, repairWal } from '../../wal/repair.js';
import type { RepairReport } from '../../wal/repair.js';

export interface LogRepairOptions {
  readonly dataDir: string;
  readonly walDir?: string;
}

/** Result of a repair. */
export interface LogRepairResult {
  /** Findings, actions and losses, for the operator. */
  readonly text: string;
  readonly isStartable: boolean;
}

/**
 * Repairs the log of a stopped member that has no peers, so that it can start from what is left.
 *
 * Throws: StartupError when the log cannot or must not be repaired.
 */
export async function repairMemberLog(options: LogRepairOptions): Promise<LogRepairResult> {
  const env = createNodeEnv({
    onFatal: ({ what, next }) => process.stderr.write(`mainstay: ${what}\n  next step: ${next}\n`),
  });
  const directory = new MemberDirectory(env, options.dataDir, options.walDir);
  const { hasLog, identity } = directory.inspect();
  if (!hasLog) {
    throw new StartupError(
      `there is no log of a member in ${directory.dirs.walDir}`,
      'check --data-dir, and --wal-dir if the log has a directory of its own',
    );
  }
  if (identity === undefined) {
    throw new StartupError(
      `no segment of the log in ${directory.dirs.walDir} has a readable header, so nothing of it can be kept`,
      'restore the member from a backup',
    );
  }
  directory.take();
  try {
    return await repair(env, directory.dirs, identity);
  } finally {
    directory.release();
  }
}

async function repair(env: Env, dirs: DataDir, identity: WalIdentity): Promise<LogRepairResult> {
  const image = await readImage(env, dirs);
  if (image !== null && image.confState.voters.length > 1) {
    const voters = image.confState.voters.length;
    throw new StartupError(
      `this member is one of ${voters}: a repaired log could contradict what it promised to the others`,
      damageAdvice(dirs.dataDir, voters).join('\n    '),
    );
  }
  let report: RepairReport;
  try {
    report = repairWal(
      env,
      {
        dir: dirs.walDir,
        identity,
        segmentBytes: SEGMENT_BYTES,
        witnessIndex: image?.index ?? 0,
      },
      image,
    );
  } catch (error) {
    if (!(error instanceof WalUnrepairable)) throw error;
    throw new StartupError(error.message, 'restore the member from a backup', { cause: error });
  }
  return { text: describe(report), isStartable: !report.isBehindWitness };
}

/** Up to where the store on disk reaches; null when there is none. */
async function readImage(env: Env, dirs: DataDir): Promise<SnapshotMeta | null> {
  const dir = dirs.currentDb;
  if (!env.disk.existsSync(dir)) return null;
  const backend = await new Promise<Backend>((resolve, reject) => {
    verifiedLevelEngine(env, reportCut)(dir, (error, engine) => {
      if (engine === null) return reject(openFailure(error, dirs, 1));
      try {
        resolve(new Backend({ engine, env }));
      } catch (formatError) {
        engine.close(() => reject(openFailure(formatError, dirs, 1)));
      }
    });
  });
  const { appliedIndex: index, appliedTerm: term, confState } = backend;
  await new Promise<void>((resolve) => backend.close(() => resolve()));
  return confState.length === 0
    ? null
    : { index, term, confState: decodeConfStateRecord(confState) };
}

function reportCut({ cut }: LevelFiles): void {
  if (cut === null) return;
  process.stderr.write(
    `mainstay: the end of ${cut.path} was not whole: ${cut.bytes} bytes were cut off at offset ${cut.offset}\n`,
  );
}

function describe(report: RepairReport): string {
  if (report.found === '') {
    return `The log needs no repair; it ends with entry ${report.lastIndex}.\n`;
  }
  const lost =
    report.lostThrough === 0
      ? `from entry ${report.lostFrom} on`
      : `entries ${report.lostFrom} to ${report.lostThrough}`;
  let text =
    `Found:   ${report.found}\n` +
    `Lost:    ${lost}\n` +
    `Kept in: ${report.savedIn} (the files as they were)\n`;
  if (report.isRestarted) {
    text += `The log begins anew after entry ${report.lastIndex}, up to which the store holds the effect of every entry.\n`;
  } else {
    text += `The log ends with entry ${report.lastIndex} now.\n`;
  }
  if (report.isBehindWitness) {
    text +=
      'The store is ahead of the log, so the member cannot start from the two: restore it from a backup.\n';
  } else {
    text += 'The member can be started again.\n';
  }
  return text;
}
