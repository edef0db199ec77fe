/** Mounts of the node, as the kernel lists them. */
import { readFileSync } from 'node:fs';
import { mustRun, run } from './command.js';

const MOUNT_POINT_FIELD = 4;

/** Mount points at `path` and below it, innermost first. */
export function mountsBelow(path: string): string[] {
  const found: string[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const point = line.split(' ')[MOUNT_POINT_FIELD];
    if (point === undefined) continue;
    // The kernel writes space, tab, newline and backslash as octal numbers.
    const plain = point.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    if (plain === path || plain.startsWith(`${path}/`)) found.push(plain);
  }
  return found.reverse();
}

/** Unmounts everything at `path` and below it. A mount in use disappears from the tree at once, and ends later. */
export async function unmountBelow(path: string): Promise<void> {
  const points = mountsBelow(path);
  if (points.length === 0) return;
  if ((await run('umount', points)).exitCode === 0) return;
  const left = mountsBelow(path);
  if (left.length > 0) await mustRun('umount', ['--lazy', ...left]);
}

export interface OverlayMount {
  /** Directory that the other paths, but for `target`, are relative to: options of a mount are limited to a page. */
  readonly base: string;
  /** Topmost first. */
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
}

/** Rejects with RuntimeError Internal. */
export async function mountOverlay(mount: OverlayMount): Promise<void> {
  const options = `lowerdir=${mount.lower.join(':')},upperdir=${mount.upper},workdir=${mount.work}`;
  await mustRun('mount', ['-t', 'overlay', '-o', options, 'overlay', mount.target], {
    cwd: mount.base,
  });
}
