import type { Disk } from '../../base/env/env.js';

/**
 * Places of a member's files. `<data-dir>/member/wal` is the log; `<data-dir>/member/CURRENT` names
 * the directory of the state machine's image. A received snapshot becomes a directory of its own,
 * named after its index. CURRENT is replaced to switch to it.
 */
export class DataDir {
  readonly dataDir: string;
  readonly memberDir: string;
  readonly walDir: string;
  private readonly disk: Disk;

  constructor(disk: Disk, dataDir: string, walDir?: string) {
    this.disk = disk;
    this.dataDir = dataDir;
    this.memberDir = `${dataDir}/member`;
    this.walDir = walDir ?? `${this.memberDir}/wal`;
  }

  create(): void {
    this.disk.mkdirSync(this.memberDir);
  }

  private get currentFile(): string {
    return `${this.memberDir}/CURRENT`;
  }

  /** Directory of the image in use; created by name only. */
  get currentDb(): string {
    if (!this.disk.existsSync(this.currentFile)) return this.dbDir(0);
    return `${this.memberDir}/${Buffer.from(this.disk.readFileSync(this.currentFile)).toString('latin1').trim()}`;
  }

  dbDir(index: number): string {
    return `${this.memberDir}/${dbName(index)}`;
  }

  private get stagedFile(): string {
    return `${this.memberDir}/STAGED`;
  }

  /** Records, durably, that the image of `index` was received whole; from then on it may be switched to. */
  markStaged(index: number): void {
    this.disk.writeFileSync(this.stagedFile, Buffer.from(`${dbName(index)}\n`, 'latin1'));
  }

  /** True when a complete image of exactly `index` lies beside the current one. */
  isStaged(index: number): boolean {
    if (!this.disk.existsSync(this.stagedFile)) return false;
    return (
      Buffer.from(this.disk.readFileSync(this.stagedFile)).toString('latin1').trim() ===
      dbName(index)
    );
  }

  /** Makes the image of `index` the current one, durably. */
  switchTo(index: number): void {
    this.disk.writeFileSync(this.currentFile, Buffer.from(`${dbName(index)}\n`, 'latin1'));
  }

  /** Removes images that are neither current nor needed: left behind by a crash or replaced. */
  removeStale(): void {
    const current = this.currentDb;
    for (const name of this.disk.readdirSync(this.memberDir)) {
      const path = `${this.memberDir}/${name}`;
      if (name.startsWith('db-') && path !== current) this.disk.rmSync(path);
    }
  }
}

function dbName(index: number): string {
  return `db-${index.toString(16).padStart(16, '0')}`;
}
