/**
 * A directory that one process at a time may use.
 *
 * A process that takes a directory creates a file in it whose name is its mark, and then looks for
 * marks of others. Of two that do so at once at least one sees the other and gives up, and both
 * may. The mark distinguishes a process that ended without giving it back, as after kill -9, from a
 * live one, so no operator has to clean up. LevelDB's own lock (fcntl) is the second line, for
 * processes that see neither each other nor each other's /proc.
 */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { isGone, isRunning, lockHolder, markName, ownMark, parseMark } from './process-mark.js';

/** Another process uses the directory, or this one does already. */
export class DirectoryInUse extends Error {
  override name = 'DirectoryInUse';
  readonly pid: number;

  constructor(dir: string, pid: number) {
    super(`${dir} is in use by process ${pid}`);
    this.pid = pid;
  }
}

/** The live process whose mark is in `dir`. Reads only. Throws: the system's error, but for an absent directory. */
export function ownerOf(dir: string): number | undefined {
  for (const name of namesIn(dir)) {
    const mark = parseMark(name);
    if (mark !== undefined && isRunning(mark)) return mark.pid;
  }
  return undefined;
}

/** The process that holds the lock of fcntl(2) on the file `path`; undefined when none is seen. Reads only. */
export function fileLockOwner(path: string): number | undefined {
  try {
    return lockHolder(fs.readFileSync('/proc/locks', 'latin1'), fs.statSync(path).ino);
  } catch {
    // No such file, or a system without /proc.
    return undefined;
  }
}

export class OwnedDirectory {
  readonly path: string;
  private readonly mark: string;
  /** The entries that were there before; undefined when the directory itself was not. */
  private readonly before: ReadonlySet<string> | undefined;
  /** Directories made to hold this one and this one itself, innermost first. */
  private readonly made: readonly string[];

  /**
   * Takes the directory, and makes it and its parents (mode 0700) when they are absent.
   *
   * Throws: DirectoryInUse, or the operating system's error; what was made is gone then.
   */
  static take(path: string): OwnedDirectory {
    const owner = ownerOf(path);
    if (owner !== undefined) throw new DirectoryInUse(path, owner);
    const taken = new OwnedDirectory(path);
    try {
      taken.leaveMark();
    } catch (error) {
      // Nothing but the mark is removed: what else is new here may be the other process's.
      taken.release();
      taken.removeMade();
      throw error;
    }
    return taken;
  }

  private constructor(path: string) {
    this.path = path;
    this.mark = `${path}/${markName(ownMark())}`;
    this.made = missing(path);
    this.before = this.made.length > 0 ? undefined : new Set(namesIn(path));
  }

  private leaveMark(): void {
    fs.mkdirSync(this.path, { recursive: true, mode: 0o700 });
    fs.closeSync(fs.openSync(this.mark, 'wx', 0o600));
    for (const name of namesIn(this.path)) {
      const mark = parseMark(name);
      const path = `${this.path}/${name}`;
      if (mark === undefined || path === this.mark) continue;
      if (isRunning(mark)) throw new DirectoryInUse(this.path, mark.pid);
      if (isGone(mark)) fs.rmSync(path, { force: true });
    }
  }

  /** Lets others take the directory. */
  release(): void {
    fs.rmSync(this.mark, { force: true });
  }

  /** As `release`, and removes everything that was not there when this process took the directory. */
  abandon(): void {
    this.release();
    for (const name of namesIn(this.path)) {
      const isOthers = parseMark(name) !== undefined;
      if (isOthers || this.before?.has(name) === true) continue;
      fs.rmSync(`${this.path}/${name}`, { recursive: true, force: true });
    }
    this.removeMade();
  }

  private removeMade(): void {
    for (const dir of this.made) {
      try {
        fs.rmdirSync(dir);
      } catch {
        // Another process uses it by now, or it was never made.
        return;
      }
    }
  }
}

/** `path` and those of its parents that do not exist, innermost first. */
function missing(path: string): string[] {
  const found: string[] = [];
  for (let at = path; !fs.existsSync(at); at = dirname(at)) found.push(at);
  return found;
}

function namesIn(dir: string): string[] {
  try {
    return fs.readdirSync(dir);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
