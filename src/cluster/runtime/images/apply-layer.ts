/**
 * Unpacks one layer of an image onto a directory tree: regular files, directories, links, modes and
 * owners. Marks of deletion (`.wh.name`, `.wh..wh..opq`, OCI image-spec layer.md) delete what the
 * layers below have put there, never what this layer itself brought.
 */
import * as fs from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { createTarDecoder, type ParsedTarEntry, type TarHeader } from 'modern-tar';
import { mustRun } from '../command.js';
import { RuntimeError } from '../runtime.js';
import { isAbsent, namesIn } from '../state-files.js';
import { resolveInRoot } from './rooted-path.js';

const DELETED = '.wh.';
const OPAQUE = '.wh..wh..opq';
const PERMISSION_BITS = 0o7777;
const DEFAULT_DIRECTORY_MODE = 0o755;
const DEFAULT_FILE_MODE = 0o644;

/** `keepsOwners` needs root; without it everything belongs to this process. */
export async function applyLayer(
  root: string,
  tar: Readable,
  options: { readonly keepsOwners: boolean },
): Promise<void> {
  const layer = new LayerTarget(root, options.keepsOwners);
  const source = Readable.toWeb(tar) as ReadableStream<Uint8Array>;
  for await (const entry of source.pipeThrough(createTarDecoder({ strict: true }))) {
    await layer.add(entry);
  }
  await layer.finish();
}

class LayerTarget {
  private readonly root: string;
  private readonly keepsOwners: boolean;
  /** Paths that this layer brought, and the directories above them, relative to the root. */
  private readonly own = new Set<string>();
  /** Set last: filling a directory changes its time. */
  private readonly directoryTimes = new Map<string, Date>();

  constructor(root: string, keepsOwners: boolean) {
    this.root = root;
    this.keepsOwners = keepsOwners;
  }

  async add(entry: ParsedTarEntry): Promise<void> {
    const { header } = entry;
    const name = cleanName(header.name);
    const base = name.slice(name.lastIndexOf('/') + 1);
    if (base.startsWith(DELETED)) {
      await entry.body.cancel();
      await this.markDeleted(dirname(name), base);
      return;
    }
    const path = resolveInRoot(this.root, name, true);
    await this.makeRoom(path, header);
    await this.create(path, entry);
    this.remember(path);
  }

  async finish(): Promise<void> {
    for (const [path, time] of this.directoryTimes) {
      await fs.utimes(path, time, time).catch(ignoreAbsent);
    }
  }

  private async markDeleted(parent: string, mark: string): Promise<void> {
    const directory = resolveInRoot(this.root, parent);
    const names = mark === OPAQUE ? namesIn(directory) : [mark.slice(DELETED.length)];
    for (const name of names) {
      if (name === '' || name === '.' || name === '..') continue;
      const path = join(directory, name);
      if (!this.own.has(relative(this.root, path))) {
        await fs.rm(path, { recursive: true, force: true });
      }
    }
  }

  private async makeRoom(path: string, header: TarHeader): Promise<void> {
    await fs.mkdir(dirname(path), { recursive: true, mode: DEFAULT_DIRECTORY_MODE });
    const there = await fs.lstat(path).catch(ignoreAbsent);
    if (there === undefined || (there.isDirectory() && header.type === 'directory')) return;
    if (path === this.root) throw new RuntimeError('InvalidArgument', 'layer replaces its root');
    await fs.rm(path, { recursive: true });
  }

  private async create(path: string, entry: ParsedTarEntry): Promise<void> {
    const { header, body } = entry;
    if (header.type === 'file' || header.type === undefined) {
      await writeBody(path, body);
      await this.setAttributes(path, header, DEFAULT_FILE_MODE);
      return;
    }
    await body.cancel();
    switch (header.type) {
      case 'directory':
        await fs.mkdir(path, { recursive: true });
        await this.setAttributes(path, header, DEFAULT_DIRECTORY_MODE);
        if (header.mtime !== undefined) this.directoryTimes.set(path, header.mtime);
        return;
      case 'symlink':
        await fs.symlink(header.linkname ?? '', path);
        if (this.keepsOwners) await fs.lchown(path, header.uid ?? 0, header.gid ?? 0);
        if (header.mtime !== undefined) await fs.lutimes(path, header.mtime, header.mtime);
        return;
      case 'link':
        await fs.link(resolveInRoot(this.root, cleanName(header.linkname ?? ''), true), path);
        return;
      case 'fifo':
        await mustRun('mkfifo', [path]);
        await this.setAttributes(path, header, DEFAULT_FILE_MODE);
        return;
      default:
        // Devices: the runtime mounts a /dev of its own in every container, so an image's are of no use.
        return;
    }
  }

  private async setAttributes(path: string, header: TarHeader, mode: number): Promise<void> {
    // Before the mode: a change of owner clears the set-user-id bit.
    if (this.keepsOwners) await fs.chown(path, header.uid ?? 0, header.gid ?? 0);
    await fs.chmod(path, (header.mode ?? mode) & PERMISSION_BITS);
    if (header.mtime !== undefined && header.type !== 'directory') {
      await fs.utimes(path, header.mtime, header.mtime);
    }
  }

  private remember(path: string): void {
    let at = relative(this.root, path);
    while (at !== '' && at !== '.' && !this.own.has(at)) {
      this.own.add(at);
      at = dirname(at);
    }
  }
}

async function writeBody(path: string, body: ReadableStream<Uint8Array>): Promise<void> {
  const file = await fs.open(path, 'wx', 0o600);
  try {
    for await (const chunk of body) await file.writeFile(chunk);
  } finally {
    await file.close();
  }
}

/** Without leading slashes and dots. Throws: RuntimeError InvalidArgument for a name that leads upwards. */
function cleanName(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) {
    throw new RuntimeError('InvalidArgument', `layer has an entry outside of its root: "${name}"`);
  }
  return parts.join('/');
}

function ignoreAbsent(error: unknown): undefined {
  if (isAbsent(error)) return undefined;
  throw error;
}
