import type { Env } from '../../base/env/env.js';
import { invariant } from '../../base/invariant.js';
import { OwnedDirectory, fileLockOwner, ownerOf } from '../../base/env/owned-directory.js';
import { readIdentity } from '../../wal/identity.js';
import type { WalIdentity } from '../../wal/types.js';
import { Wal } from '../../wal/wal.js';
import { DataDir } from '../contract/data-dir.js';
import { etcdRefusal, isEtcdDirectory } from './etcd-data.js';
import { inUse, openFailure } from './failures.js';

/**
 * The directories of one member as its process has them: looked at without a touch, then taken, then given back. A start
 * that fails leaves none that was not there before.
 *
 * Use: `inspect`, then `take`, then `release` or `abandon`.
 */
export class MemberDirectory {
  readonly dirs: DataDir;
  private readonly env: Env;
  private owned: OwnedDirectory[] = [];
  /** Undefined before the directory was looked at. */
  private hadLog: boolean | undefined;

  constructor(env: Env, dataDir: string, walDir?: string) {
    this.env = env;
    this.dirs = new DataDir(env.disk, dataDir, walDir);
  }

  /**
   * Identity of the member whose data the directory holds; undefined when it holds no log.
   *
   * Throws: StartupError when another process uses it, when etcd or a newer mainstay wrote it, or when it cannot be read.
   * Nothing in it is changed.
   */
  inspect(): { readonly hasLog: boolean; readonly identity: WalIdentity | undefined } {
    const { env, dirs } = this;
    try {
      this.refuseIfInUse();
      const identity = readIdentity(env.disk, dirs.walDir);
      if (identity === undefined && isEtcdDirectory(env.disk, dirs))
        throw etcdRefusal(dirs.dataDir);
      const hasLog = Wal.exists(env, dirs.walDir);
      this.hadLog = hasLog;
      return { hasLog, identity };
    } catch (error) {
      throw openFailure(error, dirs, 1);
    }
  }

  /** Makes the directories, where they are absent, this process's. Throws: StartupError. */
  take(): void {
    invariant(this.hadLog !== undefined, 'a directory is looked at before it is taken');
    invariant(this.owned.length === 0, 'a directory is taken once');
    try {
      for (const dir of this.places()) this.owned.push(OwnedDirectory.take(dir));
    } catch (error) {
      this.abandon();
      throw openFailure(error, this.dirs, 1);
    }
  }

  /** Lets other processes take the directories. */
  release(): void {
    for (const directory of this.owned) directory.release();
    this.owned = [];
  }

  /** Ends a start that failed before this member promised anything: a member that was not there before is not there now. */
  abandon(): void {
    if (this.hadLog === true) return this.release();
    for (const directory of this.owned.reverse()) directory.abandon();
    this.owned = [];
  }

  /** The directory of the log is one of its own only with --wal-dir. */
  private places(): string[] {
    const { memberDir, walDir } = this.dirs;
    return walDir.startsWith(`${memberDir}/`) ? [memberDir] : [memberDir, walDir];
  }

  private refuseIfInUse(): void {
    const { dirs } = this;
    for (const place of this.places()) {
      const owner = ownerOf(place);
      if (owner !== undefined) throw inUse(dirs.dataDir, owner);
    }
    // Mainstay 0.1 leaves no mark, but LevelDB holds a lock of its own.
    const owner = fileLockOwner(`${dirs.currentDb}/LOCK`);
    if (owner !== undefined) throw inUse(dirs.dataDir, owner);
  }
}
