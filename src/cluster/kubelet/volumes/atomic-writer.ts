/**
 * Contents of a volume, replaced as a whole: readers see all of the old files or all of the new.
 * Files lie in a directory of their own, which the link `..data` names; what users see are links
 * through it. The layout is that of Kubernetes (k8s.io/kubernetes/pkg/volume/util/atomic_writer.go),
 * which programs that watch their configuration rely on.
 */
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ClusterEnv } from '../../env.js';

export interface PayloadFile {
  readonly data: Uint8Array;
  readonly mode: number;
}

/** By path within the volume. */
export type Payload = ReadonlyMap<string, PayloadFile>;

const DATA = '..data';
const DATA_NEXT = '..data_tmp';

/** Writes `payload` into `directory`, which is made when missing. `group` owns the files if defined. */
export async function writeAtomically(
  env: ClusterEnv,
  directory: string,
  payload: Payload,
  group: number | undefined,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o755);
  const name = versionName(env);
  const target = join(directory, name);
  await mkdir(target);
  await chmod(target, 0o755);
  for (const [path, file] of payload) await writePayload(join(target, path), file, group);
  const old = await readlink(join(directory, DATA)).catch(() => undefined);
  await rm(join(directory, DATA_NEXT), { force: true });
  await symlink(name, join(directory, DATA_NEXT));
  await rename(join(directory, DATA_NEXT), join(directory, DATA));
  await linkVisible(directory, payload);
  if (old !== undefined) await rm(join(directory, old), { recursive: true, force: true });
  await removeStale(directory, payload, name);
}

/** True when a payload was ever written there. */
export async function hasPayload(directory: string): Promise<boolean> {
  return (await lstat(join(directory, DATA)).catch(() => undefined)) !== undefined;
}

/** A clear error for paths that would lead out of a volume or hide its machinery. */
export function checkPayloadPath(path: string): void {
  const parts = path.split('/');
  if (path === '') throw new Error('invalid path: must not be empty');
  if (path.startsWith('/')) throw new Error(`invalid path: ${path} must be relative`);
  if (parts.includes('..')) throw new Error(`invalid path: ${path} must not contain '..'`);
  if (path.startsWith('..')) throw new Error(`invalid path: ${path} must not start with '..'`);
}

async function writePayload(
  path: string,
  { data, mode }: PayloadFile,
  group: number | undefined,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, data, { mode: 0o600 });
  if (group !== undefined) await chown(path, -1, group);
  // The process's mask does not count here; a group that owns the file may read it.
  await chmod(path, group === undefined ? mode : mode | 0o440);
}

async function linkVisible(directory: string, payload: Payload): Promise<void> {
  for (const name of topNames(payload)) {
    const link = join(directory, name);
    if ((await lstat(link).catch(() => undefined)) === undefined) {
      await symlink(join(DATA, name), link);
    }
  }
}

/** Links to what is no longer there, and versions that a crash left. */
async function removeStale(directory: string, payload: Payload, current: string): Promise<void> {
  const kept = new Set([...topNames(payload), DATA, current]);
  for (const name of await readdir(directory)) {
    if (!kept.has(name)) await rm(join(directory, name), { recursive: true, force: true });
  }
}

function topNames(payload: Payload): Set<string> {
  return new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
}

function versionName(env: ClusterEnv): string {
  const time = new Date(env.wallMs()).toISOString().slice(0, 19).replace(/[-T:]/g, '_');
  return `..${time}.${env.randomU32()}`;
}
