import { rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import { runDir } from './cluster-config.js';

/**
 * Held by the `up` of a directory, as a socket in it: the kernel lets go of it however that process
 * ends. Rejects with StartupError when another process has it.
 */
export async function lockCluster(dir: string): Promise<Server> {
  if (await isRunning(dir)) {
    throw new StartupError(
      `another mainstay up runs the cluster in ${dir}`,
      'stop that one first, or use another --dir',
    );
  }
  const path = lockSocket(dir);
  rmSync(path, { force: true });
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

/** True while an `up` of this directory runs. */
export function isRunning(dir: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(lockSocket(dir));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function lockSocket(dir: string): string {
  return join(runDir(dir), 'up.sock');
}
