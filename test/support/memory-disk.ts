/**
 * A disk in memory that forgets like a real one.
 *
 * It promises after `crash` only the bytes that were synced: a file keeps the content of its last datasync plus any
 * subset of the sectors written since; a directory keeps its entries of the last directory sync plus any subset, in
 * order, of the creations, renames and removals since. A rename is kept or lost as a whole.
 *
 * Work completes through `schedule`, so a simulator decides when; `fault` may turn any operation into an error.
 */
import type { Disk, DiskFile, Done } from '../../src/base/env/env.js';

const SECTOR_BYTES = 512;

export type DiskOperation =
  | 'mkdir'
  | 'readdir'
  | 'read'
  | 'open'
  | 'create'
  | 'write'
  | 'datasync'
  | 'truncate'
  | 'rename'
  | 'unlink'
  | 'syncDir';

export interface MemoryDiskOptions {
  /** Runs `run` later, never before it returns. Default: setImmediate. */
  readonly schedule?: (operation: DiskOperation, bytes: number, run: () => void) => void;
  /** A tree was removed: what others keep of it in memory (engines) is gone too. */
  readonly onRemoved?: (path: string) => void;
}

/** Decides what a crash keeps of what was not synced. */
export type Keep = () => boolean;

interface Inode {
  /** Content as the process sees it. */
  current: Uint8Array;
  /** Content that is certain to survive. */
  durable: Uint8Array;
  /** Sectors whose current content may or may not survive. */
  readonly dirty: Set<number>;
}

type EntryChange =
  | { readonly put: string; readonly inode: Inode; readonly gone?: string }
  | { readonly gone: string };

interface Directory {
  readonly current: Map<string, Inode>;
  readonly durable: Map<string, Inode>;
  pending: EntryChange[];
}

export class MemoryDisk implements Disk {
  /** Consulted before each operation; an error makes it fail without effect. */
  fault: ((operation: DiskOperation, path: string) => Error | null) | null = null;
  /** Number of operations that change something or make it durable, for placing faults. */
  changes = 0;
  private readonly schedule: NonNullable<MemoryDiskOptions['schedule']>;
  private readonly onRemoved: (path: string) => void;
  private readonly directories = new Map<string, Directory>();
  /** Operations begun before the latest crash never complete. */
  private epoch = 0;

  constructor(options: MemoryDiskOptions = {}) {
    this.schedule = options.schedule ?? ((_operation, _bytes, run) => setImmediate(run));
    this.onRemoved = options.onRemoved ?? (() => undefined);
  }

  /**
   * Loses unsynced bytes, except those that `keep` selects. Open files and running operations are
   * dead.
   */
  crash(keep: Keep): void {
    this.epoch++;
    for (const directory of this.directories.values()) {
      for (const change of directory.pending) if (keep()) applyChange(directory.durable, change);
      directory.pending = [];
      directory.current.clear();
      for (const [name, inode] of directory.durable) {
        directory.current.set(name, inode);
        loseSectors(inode, keep);
      }
    }
  }

  /** An independent copy in the same state, with nothing running on it. */
  clone(options: MemoryDiskOptions = {}): MemoryDisk {
    const copy = new MemoryDisk({
      schedule: options.schedule ?? this.schedule,
      onRemoved: options.onRemoved ?? this.onRemoved,
    });
    const inodes = new Map<Inode, Inode>();
    const inodeOf = (inode: Inode): Inode => {
      const known = inodes.get(inode);
      if (known !== undefined) return known;
      const made = {
        current: inode.current.slice(),
        durable: inode.durable.slice(),
        dirty: new Set(inode.dirty),
      };
      inodes.set(inode, made);
      return made;
    };
    const copyNames = (names: Map<string, Inode>): Map<string, Inode> =>
      new Map([...names].map(([name, inode]) => [name, inodeOf(inode)]));
    for (const [path, directory] of this.directories) {
      copy.directories.set(path, {
        current: copyNames(directory.current),
        durable: copyNames(directory.durable),
        pending: directory.pending.map((change) =>
          'put' in change ? { ...change, inode: inodeOf(change.inode) } : change,
        ),
      });
    }
    return copy;
  }

  /** Replaces content unseen by the file's owner, durably: rot, or a meddling hand. */
  tamper(path: string, bytes: Uint8Array): void {
    const inode = this.inode(path);
    // A Buffer's slice would share memory with the caller.
    inode.current = new Uint8Array(bytes);
    inode.durable = new Uint8Array(bytes);
    inode.dirty.clear();
  }

  mkdirSync(path: string): void {
    this.check('mkdir', path);
    let at = '';
    for (const part of path.split('/').filter((p) => p !== '')) {
      at += `/${part}`;
      if (!this.directories.has(at))
        this.directories.set(at, { current: new Map(), durable: new Map(), pending: [] });
    }
  }

  existsSync(path: string): boolean {
    const [dir, name] = split(path);
    return this.directories.has(path) || (this.directories.get(dir)?.current.has(name) ?? false);
  }

  readdirSync(path: string): string[] {
    this.check('readdir', path);
    const names = [...this.directory(path).current.keys()];
    for (const other of this.directories.keys())
      if (split(other)[0] === path) names.push(split(other)[1]);
    return names.sort();
  }

  readFileSync(path: string): Uint8Array {
    this.check('read', path);
    return this.inode(path).current.slice();
  }

  readIntoSync(path: string, target: Uint8Array): number {
    this.check('read', path);
    const bytes = this.inode(path).current.subarray(0, target.length);
    target.set(bytes);
    return bytes.length;
  }

  writeFileSync(path: string, bytes: Uint8Array): void {
    const temporary = `${path}.tmp`;
    if (this.existsSync(temporary)) this.unlinkSync(temporary);
    const file = this.createSync(temporary, bytes.length);
    file.writeSync(bytes, 0);
    file.datasyncSync();
    file.closeSync();
    this.renameSync(temporary, path);
    this.syncDirSync(split(path)[0]);
  }

  renameSync(from: string, to: string): void {
    this.check('rename', to);
    this.doRename(from, to);
  }

  unlinkSync(path: string): void {
    this.check('unlink', path);
    this.doUnlink(path);
  }

  rmSync(path: string): void {
    for (const dir of [...this.directories.keys()]) {
      if (dir === path || dir.startsWith(`${path}/`)) this.directories.delete(dir);
    }
    const [dir, name] = split(path);
    if (this.directories.get(dir)?.current.has(name) === true) this.doUnlink(path);
    this.onRemoved(path);
  }

  syncDirSync(path: string): void {
    this.check('syncDir', path);
    this.doSyncDir(path);
  }

  openSync(path: string): DiskFile {
    this.check('open', path);
    return this.fileOf(path, this.inode(path));
  }

  createSync(path: string, sizeBytes: number): DiskFile {
    this.check('create', path);
    return this.doCreate(path, sizeBytes);
  }

  create(
    path: string,
    sizeBytes: number,
    done: (error: Error | null, file: DiskFile | null) => void,
  ): void {
    let file: DiskFile | null = null;
    this.later(
      'create',
      path,
      sizeBytes,
      () => (file = this.doCreate(path, sizeBytes)),
      (error) => done(error, file),
    );
  }

  rename(from: string, to: string, done: Done): void {
    this.later('rename', to, 0, () => this.doRename(from, to), done);
  }

  unlink(path: string, done: Done): void {
    this.later('unlink', path, 0, () => this.doUnlink(path), done);
  }

  syncDir(path: string, done: Done): void {
    this.later('syncDir', path, 0, () => this.doSyncDir(path), done);
  }

  private check(operation: DiskOperation, path: string): void {
    const error = this.faultOf(operation, path);
    if (error !== null) throw error;
  }

  private faultOf(operation: DiskOperation, path: string): Error | null {
    if (operation !== 'read' && operation !== 'readdir' && operation !== 'open') this.changes++;
    return this.fault === null ? null : this.fault(operation, path);
  }

  /** Completes through the scheduler; the effect takes place at completion. */
  private later(
    operation: DiskOperation,
    path: string,
    bytes: number,
    effect: () => void,
    done: Done,
  ): void {
    const epoch = this.epoch;
    const fault = this.faultOf(operation, path);
    this.schedule(operation, bytes, () => {
      if (epoch !== this.epoch) return;
      let failure = fault;
      if (failure === null) {
        try {
          effect();
        } catch (error) {
          failure = error instanceof Error ? error : new Error(String(error));
        }
      }
      done(failure);
    });
  }

  private directory(path: string): Directory {
    const directory = this.directories.get(path);
    if (directory === undefined) throw new Error(`ENOENT: no such directory ${path}`);
    return directory;
  }

  private inode(path: string): Inode {
    const [dir, name] = split(path);
    const inode = this.directories.get(dir)?.current.get(name);
    if (inode === undefined) throw new Error(`ENOENT: no such file ${path}`);
    return inode;
  }

  private change(dir: string, change: EntryChange): void {
    const directory = this.directory(dir);
    applyChange(directory.current, change);
    directory.pending.push(change);
  }

  private doCreate(path: string, sizeBytes: number): DiskFile {
    const [dir, name] = split(path);
    if (this.existsSync(path)) throw new Error(`EEXIST: file exists ${path}`);
    const inode: Inode = {
      current: new Uint8Array(sizeBytes),
      durable: new Uint8Array(sizeBytes),
      dirty: new Set(),
    };
    this.change(dir, { put: name, inode });
    return this.fileOf(path, inode);
  }

  private doRename(from: string, to: string): void {
    const inode = this.inode(from);
    const [fromDir, fromName] = split(from);
    const [toDir, toName] = split(to);
    if (fromDir === toDir) {
      this.change(toDir, { put: toName, inode, gone: fromName });
    } else {
      this.change(toDir, { put: toName, inode });
      this.change(fromDir, { gone: fromName });
    }
  }

  private doUnlink(path: string): void {
    this.inode(path);
    const [dir, name] = split(path);
    this.change(dir, { gone: name });
  }

  private doSyncDir(path: string): void {
    // The root and parents of made directories need no entries of their own here.
    const directory = this.directories.get(path);
    if (directory === undefined) return;
    for (const change of directory.pending) applyChange(directory.durable, change);
    directory.pending = [];
  }

  private fileOf(path: string, inode: Inode): DiskFile {
    const epoch = this.epoch;
    const alive = (): void => {
      if (epoch !== this.epoch) throw new Error(`EBADF: ${path} was opened before a crash`);
    };
    const write = (bytes: Uint8Array, position: number, done: Done): void => {
      alive();
      const fault = this.faultOf('write', path);
      // The bytes may reach the disk at any time from now on, with or without the callback.
      if (fault === null) writeInto(inode, bytes, position);
      this.schedule('write', bytes.length, () => {
        if (epoch === this.epoch) done(fault);
      });
    };
    const datasync = (done: Done): void => {
      const sectors = [...inode.dirty];
      const content = sectors.map((sector) =>
        inode.current.slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES),
      );
      const settle = (): void =>
        sectors.forEach((sector, i) =>
          settleSector(inode, sector, content[i] ?? new Uint8Array(0)),
        );
      this.later('datasync', path, 0, settle, done);
    };
    return {
      write,
      writeDurable: (bytes, position, done) => {
        write(bytes, position, (error) => {
          if (error === null) datasync(done);
          else done(error);
        });
      },
      writeSync: (bytes, position) => {
        alive();
        this.check('write', path);
        writeInto(inode, bytes, position);
      },
      truncateSync: (sizeBytes) => {
        alive();
        this.check('truncate', path);
        inode.current = resized(inode.current, sizeBytes);
        inode.durable = resized(inode.durable, sizeBytes);
      },
      datasyncSync: () => {
        alive();
        this.check('datasync', path);
        inode.durable = inode.current.slice();
        inode.dirty.clear();
      },
      closeSync: () => undefined,
    };
  }
}

function split(path: string): [string, string] {
  const slash = path.lastIndexOf('/');
  return [path.slice(0, slash), path.slice(slash + 1)];
}

function applyChange(names: Map<string, Inode>, change: EntryChange): void {
  if (change.gone !== undefined) names.delete(change.gone);
  if ('put' in change) names.set(change.put, change.inode);
}

function resized(bytes: Uint8Array, sizeBytes: number): Uint8Array {
  const made = new Uint8Array(sizeBytes);
  made.set(bytes.subarray(0, sizeBytes));
  return made;
}

function writeInto(inode: Inode, bytes: Uint8Array, position: number): void {
  const end = position + bytes.length;
  if (end > inode.current.length) inode.current = resized(inode.current, end);
  inode.current.set(bytes, position);
  for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++)
    inode.dirty.add(sector);
}

/** Makes `content` the durable content of the sector; it stays dirty when it was written again meanwhile. */
function settleSector(inode: Inode, sector: number, content: Uint8Array): void {
  const at = sector * SECTOR_BYTES;
  if (at + content.length > inode.durable.length)
    inode.durable = resized(inode.durable, at + content.length);
  inode.durable.set(content, at);
  if (Buffer.compare(inode.current.subarray(at, at + content.length), content) === 0)
    inode.dirty.delete(sector);
}

function loseSectors(inode: Inode, keep: Keep): void {
  for (const sector of [...inode.dirty].sort((a, b) => a - b)) {
    if (!keep()) continue;
    const at = sector * SECTOR_BYTES;
    settleSector(inode, sector, inode.current.slice(at, at + SECTOR_BYTES));
  }
  inode.current = inode.durable.slice();
  inode.dirty.clear();
}
