import { lstat, unlink } from 'node:fs';
import {
  connect,
  type IpcNetConnectOpts,
  type ListenOptions,
  type Server,
  type Socket,
  type TcpNetConnectOpts,
} from 'node:net';
import type { Done } from '../env/env.js';
import type { ServerUrl } from '../flags/url.js';

const EVERY_ADDRESS: readonly string[] = ['', '0.0.0.0', '::'];

/**
 * Address at which a server of `url` listens, as etcd (Go's net.Listen) does.
 *
 * A host that stands for every address, written in either family, listens on IPv4 and IPv6 both. A
 * machine without IPv6 listens on IPv4 alone. `localhost` is IPv4's. A unix URL names a file,
 * relative to the working directory unless it begins with a slash; see `listenOn`.
 */
export function listenOptions(url: ServerUrl): ListenOptions {
  if (isSocketFile(url)) return { path: url.host };
  // Node tries '::' for both families first, and 0.0.0.0 when the machine has no IPv6.
  if (EVERY_ADDRESS.includes(url.host)) return { port: url.port };
  return { host: url.host === 'localhost' ? '127.0.0.1' : url.host, port: url.port };
}

/** Options for a connection to `url`. */
export function connectOptions(url: ServerUrl): TcpNetConnectOpts | IpcNetConnectOpts {
  if (isSocketFile(url)) return { path: url.host };
  return { host: url.host, port: url.port, noDelay: true };
}

function isSocketFile(url: ServerUrl): boolean {
  return url.scheme === 'unix' || url.scheme === 'unixs';
}

/**
 * The address of the other side, as text; an IPv4 address in IPv4's form, also on a listener for
 * both.
 */
export function callerHost(socket: Socket): string | undefined {
  return socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '');
}

/**
 * Starts `server` at `where`. A socket file that a dead process left is removed first, as etcd
 * does. One that a process still listens on, or a file that is no socket, is left alone and
 * refused.
 *
 * `done` receives the system's error (`code` EADDRINUSE, EACCES, ...) or null when the server
 * listens.
 */
export function listenOn(server: Server, where: ListenOptions, done: Done): void {
  const listen = (): void => {
    const onError = (error: Error): void => done(error);
    server.once('error', onError);
    server.listen(where, () => {
      server.removeListener('error', onError);
      done(null);
    });
  };
  if (where.path === undefined) return listen();
  removeStaleSocket(where.path, (error) => {
    if (error === null) listen();
    else done(error);
  });
}

function removeStaleSocket(path: string, done: Done): void {
  lstat(path, (error, stats) => {
    if (error !== null) return done(error.code === 'ENOENT' ? null : error);
    if (!stats.isSocket()) return done(systemError('EEXIST', `${path} exists and is not a socket`));
    const socket = connect({ path });
    socket.on('connect', () => {
      socket.destroy();
      done(systemError('EADDRINUSE', `another process listens on ${path}`));
    });
    socket.on('error', (refusal: NodeJS.ErrnoException) => {
      if (refusal.code !== 'ECONNREFUSED') return done(refusal);
      unlink(path, done);
    });
  });
}

function systemError(code: string, text: string): Error {
  return Object.assign(new Error(text), { code });
}
