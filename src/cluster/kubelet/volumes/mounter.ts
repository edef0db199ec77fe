/** Mounts on the node, for volumes that are file systems of their own. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Asked instead of the kernel in tests. Methods reject with an Error in mount(8)'s words. */
export interface Mounter {
  /** `sizeBytes` 0: as large as the kernel allows. */
  mountTmpfs(path: string, sizeBytes: number): Promise<void>;
  unmount(path: string): Promise<void>;
  /** Mount points at or below `path`, the innermost first. */
  mountsBelow(path: string): Promise<string[]>;
}

export function systemMounter(): Mounter {
  return {
    async mountTmpfs(path, sizeBytes) {
      const options = sizeBytes > 0 ? ['-o', `size=${sizeBytes}`] : [];
      await run('mount', ['-t', 'tmpfs', ...options, 'tmpfs', path]);
    },
    async unmount(path) {
      await run('umount', [path]);
    },
    async mountsBelow(path) {
      const text = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
      return mountPoints(text).filter((point) => point === path || point.startsWith(`${path}/`));
    },
  };
}

/** Of proc_pid_mountinfo(5), the latest and so the innermost first. */
function mountPoints(text: string): string[] {
  const points = text.split('\n').map((line) => line.split(' ')[4] ?? '');
  const plain = points.map((point) =>
    point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
  );
  return plain.filter((point) => point !== '').reverse();
}
