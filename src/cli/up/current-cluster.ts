import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import { isRunning } from './cluster-lock.js';

/** Names the directory of the cluster that this user has started last, for `mainstay kubectl`. */
const FILE = 'current-cluster';
const PRIVATE_DIR_MODE = 0o700;
const OTHERS_MODE = 0o077;

export function rememberCluster(dir: string): void {
  const folder = ownFolder();
  if (folder === undefined) return;
  const path = join(folder, FILE);
  writeFileSync(`${path}.${process.pid}`, dir, { mode: 0o600 });
  renameSync(`${path}.${process.pid}`, path);
}

/** The directory of the cluster in `given`, or of the one started last. Rejects with StartupError when it does not run. */
export async function runningCluster(given: string | undefined): Promise<string> {
  const dir = given === undefined ? rememberedCluster() : resolve(given);
  if (dir === undefined) {
    throw new StartupError('no cluster of this user runs', 'start one: mainstay up');
  }
  if (await isRunning(dir)) return dir;
  throw new StartupError(`the cluster in ${dir} does not run`, 'start it: mainstay up');
}

function rememberedCluster(): string | undefined {
  const folder = ownFolder();
  if (folder === undefined) return undefined;
  try {
    return readFileSync(join(folder, FILE), 'utf8');
  } catch {
    // None was started.
    return undefined;
  }
}

/** Unless another cluster was started since. */
export function forgetCluster(dir: string): void {
  const folder = ownFolder();
  if (folder !== undefined && rememberedCluster() === dir) {
    rmSync(join(folder, FILE), { force: true });
  }
}

/** Undefined when another user has taken its name: what it holds would be theirs. */
function ownFolder(): string | undefined {
  const { uid } = userInfo();
  const given = process.env['XDG_RUNTIME_DIR'] ?? '';
  const folder = given === '' ? join(tmpdir(), `mainstay-${uid}`) : join(given, 'mainstay');
  try {
    mkdirSync(folder, { recursive: true, mode: PRIVATE_DIR_MODE });
    const stat = lstatSync(folder);
    const isOwn = stat.isDirectory() && stat.uid === uid && (stat.mode & OTHERS_MODE) === 0;
    return isOwn ? folder : undefined;
  } catch {
    return undefined;
  }
}
