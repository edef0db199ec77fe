import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import type { HostPathVolumeSource } from '../../../gen/kube-core-v1.js';

/** Sees to it that a path of the node is what the pod expects. Rejects with an Error that tells what it is not. */
export async function prepareHostPath({ path, type = '' }: HostPathVolumeSource): Promise<void> {
  if (type === '') return;
  const found = await stat(path).catch(() => undefined);
  if (found === undefined && type === 'DirectoryOrCreate') {
    await mkdir(path, { recursive: true });
    await chmod(path, 0o755);
    return;
  }
  if (found === undefined && type === 'FileOrCreate') {
    await writeFile(path, '', { mode: 0o644, flag: 'a' });
    return;
  }
  const check = CHECKS[type];
  if (check === undefined) throw new Error(`hostPath type ${type} is not known`);
  if (found === undefined || !check.holds(found)) {
    throw new Error(`hostPath type check failed: ${path} is not a ${check.name}`);
  }
}

interface Check {
  readonly name: string;
  readonly holds: (found: Stats) => boolean;
}

const DIRECTORY: Check = { name: 'directory', holds: (found) => found.isDirectory() };
const FILE: Check = { name: 'file', holds: (found) => found.isFile() };

const CHECKS: Readonly<Record<string, Check>> = {
  Directory: DIRECTORY,
  DirectoryOrCreate: DIRECTORY,
  File: FILE,
  FileOrCreate: FILE,
  Socket: { name: 'socket file', holds: (found) => found.isSocket() },
  CharDevice: { name: 'character device', holds: (found) => found.isCharacterDevice() },
  BlockDevice: { name: 'block device', holds: (found) => found.isBlockDevice() },
};
