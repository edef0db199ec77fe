/** Paths inside an image's root file system, whose symbolic links must not lead out of it. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { RuntimeError } from '../runtime.js';
import { isAbsent } from '../state-files.js';

const MAX_LINKS = 40;

/**
 * The path on the node of `path` inside `root`, with every symbolic link followed as if `root` were
 * `/`; with `keepLast` the last component is not followed. Components need not exist.
 *
 * Throws: RuntimeError InvalidArgument after 40 links.
 */
export function resolveInRoot(root: string, path: string, keepLast = false): string {
  const waiting = path.split('/').reverse();
  let resolved: string[] = [];
  let links = 0;
  while (waiting.length > 0) {
    const part = waiting.pop();
    if (part === undefined || part === '' || part === '.') continue;
    if (part === '..') {
      resolved.pop();
      continue;
    }
    const isLast = waiting.every((rest) => rest === '' || rest === '.');
    const target = keepLast && isLast ? undefined : linkTarget(join(root, ...resolved, part));
    if (target === undefined) {
      resolved.push(part);
      continue;
    }
    if (++links > MAX_LINKS) {
      throw new RuntimeError('InvalidArgument', `too many symbolic links in ${path}`);
    }
    if (target.startsWith('/')) resolved = [];
    waiting.push(...target.split('/').reverse());
  }
  return join(root, ...resolved);
}

function linkTarget(path: string): string | undefined {
  try {
    return fs.lstatSync(path).isSymbolicLink() ? fs.readlinkSync(path) : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
