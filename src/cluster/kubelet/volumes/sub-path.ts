import { lstat, mkdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';

/**
 * The real path of `subPath` within a volume; directories that are missing are made, with the mode of
 * the volume. Links are followed only as long as they stay inside. Rejects with an Error when the
 * path leads out.
 */
export async function resolveSubPath(volumePath: string, subPath: string): Promise<string> {
  const parts = subPath.split('/').filter((part) => part !== '' && part !== '.');
  if (subPath.startsWith('/') || parts.includes('..')) {
    throw new Error(`subPath ${subPath} must be a relative path without '..'`);
  }
  const root = await realpath(volumePath);
  const { mode } = await stat(root);
  let current = root;
  for (const part of parts) {
    const next = join(current, part);
    const isThere = (await lstat(next).catch(() => undefined)) !== undefined;
    if (!isThere) await mkdir(next, { mode: mode & 0o7777 });
    current = await realpath(next);
    if (current !== root && !current.startsWith(root + sep)) {
      throw new Error(`subPath ${subPath} leads out of its volume`);
    }
  }
  return current;
}
