import { DirectoryInUse, fileLockOwner, ownerOf } from '../../base/env/owned-directory.js';
import { StartupError, dataDirFailure } from '../../base/flags/startup-error.js';
import { ImageDamaged, imageDamageAdvice } from '../../storage/errors.js';
import { ImageTooNew } from '../../storage/format.js';
import { WalDamaged, WalForeign, WalNewer, damageAdvice } from '../../wal/errors.js';
import type { DataDir } from '../contract/data-dir.js';

/** Texts of the operating system (strerror(3)), where LevelDB gives nothing but a text. */
const SYSTEM_TEXTS: readonly (readonly [string, string])[] = [
  ['No space left on device', 'ENOSPC'],
  ['Disk quota exceeded', 'EDQUOT'],
  ['Read-only file system', 'EROFS'],
  ['Permission denied', 'EACCES'],
  ['Operation not permitted', 'EPERM'],
  ['Too many open files', 'EMFILE'],
  ['Input/output error', 'EIO'],
];

/** Finding, consequence and next step of anything that keeps a member's directory from being opened. */
export function openFailure(error: unknown, dirs: DataDir, voters: number): StartupError {
  if (error instanceof StartupError) return error;
  if (error instanceof DirectoryInUse) return inUse(dirs.dataDir, error.pid, error);
  if (error instanceof ImageDamaged) {
    const advice = imageDamageAdvice(voters).join('\n    ');
    return new StartupError(error.message, advice, { cause: error });
  }
  if (error instanceof ImageTooNew) {
    const next = `start this directory with mainstay ${error.format.since} or later`;
    return new StartupError(error.message, next, { cause: error });
  }
  if (error instanceof WalDamaged) {
    const advice = damageAdvice(dirs.dataDir, voters).join('\n    ');
    return new StartupError(error.message, advice, { cause: error });
  }
  if (error instanceof WalNewer) {
    return new StartupError(error.message, error.nextStep, { cause: error });
  }
  if (error instanceof WalForeign) {
    const next = 'point --data-dir at the data of this member';
    return new StartupError(error.message, next, { cause: error });
  }
  return engineFailure(error, dirs) ?? dataDirFailure(dirs.dataDir, error);
}

/** LevelDB's reason stands in the cause of its error, as a code of its own or as the system's text. */
function engineFailure(error: unknown, dirs: DataDir): StartupError | undefined {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error) || !('code' in cause) || typeof cause.code !== 'string') return;
  if (cause.code === 'LEVEL_LOCKED') {
    const pid = fileLockOwner(`${dirs.currentDb}/LOCK`) ?? ownerOf(dirs.memberDir);
    return inUse(dirs.dataDir, pid, error, 'its data was left as it is');
  }
  const { message } = cause;
  const known = SYSTEM_TEXTS.find(([text]) => message.includes(text));
  if (known !== undefined) {
    return dataDirFailure(dirs.dataDir, Object.assign(new Error(message), { code: known[1] }));
  }
  if (!cause.code.startsWith('LEVEL_')) return dataDirFailure(dirs.dataDir, cause);
  return new StartupError(
    `the state in ${dirs.currentDb} is damaged (${message}); this member cannot continue from it`,
    'check the disk, keep the directory as it is, and restore the whole of it from a backup',
    { cause: error },
  );
}

/** The refusal of a directory that another process uses; `pid` where it is seen. */
export function inUse(
  dataDir: string,
  pid: number | undefined,
  cause?: unknown,
  consequence = 'nothing in it was touched',
): StartupError {
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  const which = pid === undefined ? '' : ` (ps -p ${pid} shows it)`;
  return new StartupError(
    `the data directory ${dataDir} is in use by ${who}; ${consequence}`,
    `stop that process first${which}, or give this member a --data-dir of its own`,
    { cause },
  );
}
