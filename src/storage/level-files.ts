import type { Env } from '../base/env/env.js';
import { ImageDamaged } from './errors.js';
import { readLevelLog } from './level-log.js';
import { LevelManifest } from './level-manifest.js';
import { TableCheck } from './level-table.js';
import { CHECK_SLICE_BYTES } from './limits.js';

/**
 * Verifies every file that LevelDB would trust, before LevelDB opens the directory. LevelDB checks
 * no block of a table and skips unreadable parts of its log. It creates a new database where
 * CURRENT is missing, and ends the process when damaged bytes contradict each other.
 *
 * Tables, MANIFEST and CURRENT must be as they were written. A log is trusted up to its first
 * record that is not whole. A power loss takes the end of it, because it is not synced, and the
 * member's own log replays its content. The remainder is cut off, so that LevelDB does not read on
 * there.
 */

export interface LevelFiles {
  /** False when there is no database yet, or not more than a creation that was interrupted. */
  readonly exists: boolean;
  readonly tables: number;
  readonly bytes: number;
  /** Description of the part cut off a log, for the operator; null for nothing. */
  readonly cut: LogCut | null;
}

export interface LogCut {
  readonly path: string;
  /** Bytes from the start of the file; nothing behind it is trusted. */
  readonly offset: number;
  readonly bytes: number;
}

type OnFiles = (error: Error | null, files: LevelFiles | null) => void;

const TABLE = /^(\d+)\.(?:ldb|sst)$/;
const LOG = /^(\d+)\.log$/;
const MANIFEST = /^MANIFEST-\d+$/;

/**
 * Verifies the LevelDB in `dir`, in slices.
 *
 * Errors: ImageDamaged, and those of the disk. Nothing has been changed then.
 */
export function checkLevelFiles(env: Env, dir: string, done: OnFiles): void {
  new LevelCheck(env, dir, done).run();
}

class LevelCheck {
  private readonly env: Env;
  private readonly dir: string;
  private readonly done: OnFiles;
  private names: string[] = [];
  private readonly manifest = new LevelManifest();
  private readonly waiting: { readonly name: string; readonly size: number }[] = [];
  /** Holds one table at a time: fresh memory for each would cost more than reading it. */
  private buffer = new Uint8Array(0);
  private tables = 0;
  private bytes = 0;

  constructor(env: Env, dir: string, done: OnFiles) {
    this.env = env;
    this.dir = dir;
    this.done = done;
  }

  run(): void {
    this.guarded(() => {
      if (this.env.disk.existsSync(this.dir)) this.names = this.env.disk.readdirSync(this.dir);
      if (!this.names.includes('CURRENT')) return this.withoutCurrent();
      this.readManifest();
      this.listTables();
      this.checkNextTable();
    });
  }

  /** Runs a step; what it throws is the outcome. */
  private guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.done(error as Error, null);
    }
  }

  private withoutCurrent(): void {
    // A creation that was interrupted has a MANIFEST at most; tables and logs come after CURRENT.
    const left = this.names.find((name) => TABLE.test(name) || LOG.test(name));
    if (left !== undefined) {
      throw new ImageDamaged('CURRENT is missing beside other files', `${this.dir}/CURRENT`, null);
    }
    this.done(null, { exists: false, tables: 0, bytes: 0, cut: null });
  }

  private readManifest(): void {
    const current = `${this.dir}/CURRENT`;
    const text = Buffer.from(this.env.disk.readFileSync(current)).toString('latin1');
    const name = text.slice(0, -1);
    if (!text.endsWith('\n') || !MANIFEST.test(name)) {
      throw new ImageDamaged('it does not name a MANIFEST', current, null);
    }
    const path = `${this.dir}/${name}`;
    if (!this.names.includes(name)) throw new ImageDamaged('the file is missing', path, null);
    const bytes = this.env.disk.readFileSync(path);
    this.bytes += bytes.length;
    try {
      const end = readLevelLog(bytes, (edit) => this.manifest.apply(edit));
      // A crash can leave a last edit that is not whole; the one before it is in force then.
      if (end.state === 'damaged') {
        throw new ImageDamaged('a record does not match its checksum', path, end.offset);
      }
    } catch (error) {
      if (error instanceof RangeError) throw new ImageDamaged(error.message, path, null);
      throw error;
    }
    if (!this.manifest.isComplete) throw new ImageDamaged('it is not complete', path, null);
  }

  private listTables(): void {
    const byNumber = new Map<number, string>();
    for (const name of this.names) {
      const match = TABLE.exec(name);
      if (match !== null) byNumber.set(Number(match[1]), name);
    }
    for (const [number, size] of this.manifest.tables) {
      const name = byNumber.get(number);
      if (name === undefined) {
        const path = `${this.dir}/${String(number).padStart(6, '0')}.ldb`;
        throw new ImageDamaged('the file is missing', path, null);
      }
      this.waiting.push({ name, size });
    }
    this.waiting.reverse();
    // One byte more than any table has shows that bytes were added.
    this.buffer = new Uint8Array(1 + Math.max(0, ...this.waiting.map(({ size }) => size)));
  }

  private checkNextTable(): void {
    const table = this.waiting.pop();
    if (table === undefined) return this.finish();
    const path = `${this.dir}/${table.name}`;
    const size = this.env.disk.readIntoSync(path, this.buffer);
    if (size !== table.size) {
      const is = size < table.size ? `only ${size}` : 'more';
      throw new ImageDamaged(`the file has ${is} bytes, ${table.size} were written`, path, null);
    }
    this.tables++;
    this.bytes += size;
    this.checkBlocks(path, new TableCheck(this.buffer.subarray(0, size)));
  }

  private checkBlocks(path: string, check: TableCheck): void {
    const isDone = check.step(CHECK_SLICE_BYTES);
    if (check.damage !== null) {
      throw new ImageDamaged(check.damage.found, path, check.damage.offset);
    }
    this.env.defer(() =>
      this.guarded(() => (isDone ? this.checkNextTable() : this.checkBlocks(path, check))),
    );
  }

  /** Everything that must be whole is: the logs remain, whose end need not be. */
  private finish(): void {
    const cut = this.cutLogs();
    this.done(null, { exists: true, tables: this.tables, bytes: this.bytes, cut });
  }

  private cutLogs(): LogCut | null {
    const { logNumber, prevLogNumber } = this.manifest;
    const logs = this.names
      .map((name) => ({ name, number: Number(LOG.exec(name)?.[1] ?? -1) }))
      .filter(({ number }) => number >= logNumber || (number === prevLogNumber && number > 0))
      .sort((a, b) => a.number - b.number);
    for (const [i, { name }] of logs.entries()) {
      const path = `${this.dir}/${name}`;
      const bytes = this.env.disk.readFileSync(path);
      this.bytes += bytes.length;
      const end = readLevelLog(bytes, () => undefined);
      const later = logs.slice(i + 1);
      const isWhole = end.state === 'clean';
      // LevelDB itself ends at a record that the file cuts off.
      if (isWhole || (end.state === 'cut' && later.length === 0)) continue;
      this.cutLog(path, end.offset);
      for (const log of later) this.env.disk.unlinkSync(`${this.dir}/${log.name}`);
      this.env.disk.syncDirSync(this.dir);
      return { path, offset: end.offset, bytes: bytes.length - end.offset };
    }
    return null;
  }

  private cutLog(path: string, offset: number): void {
    const file = this.env.disk.openSync(path);
    try {
      file.truncateSync(offset);
      file.datasyncSync();
    } finally {
      file.closeSync();
    }
  }
}
