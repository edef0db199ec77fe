import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { listenFailure } from '../../base/flags/startup-error.js';
import { HOST } from './ports.js';

/**
 * Listens on a port of the loopback address, and gives each connection away before anything of it
 * is read. `flag` is the flag that the port came from. Rejects with StartupError.
 */
export function forwardPort(
  port: number,
  flag: string,
  pass: (connection: Socket) => void,
): Promise<Server> {
  const server = createServer({ pauseOnConnect: true }, pass);
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(listenFailure(`${HOST}:${port}`, flag, error));
    server.once('error', refuse);
    server.listen(port, HOST, () => {
      server.off('error', refuse);
      resolve(server);
    });
  });
}
