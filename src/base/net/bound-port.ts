import * as net from 'node:net';
import type { ConnectionBudget } from './descriptors.js';
import { listenOn } from './listen-address.js';

/**
 * Connections that wait while a port is bound and not yet served; further ones are closed at once.
 */
const MAX_WAITING = 512;

export interface BoundPortOptions {
  /** `listenOptions` makes it of a URL. */
  readonly where: net.ListenOptions;
  /** Lets a caller go on reading after it has sent all. */
  readonly allowHalfOpen?: boolean;
  /** Closes the connections it has no room for; those that wait count as well. */
  readonly budget?: ConnectionBudget | undefined;
}

/**
 * A port that is bound before there is a server for it, so that a port that is taken is found
 * before anything is written. Connections wait, unread, until `accept` is called.
 */
export class BoundPort {
  private readonly server: net.Server;
  private waiting: net.Socket[] = [];
  private onSocket: ((socket: net.Socket) => void) | null = null;

  /** `done` receives the port, or the operating system's error. */
  static bind(
    options: BoundPortOptions,
    done: (error: Error | null, port: BoundPort | null) => void,
  ): void {
    const port = new BoundPort(options);
    const { server } = port;
    listenOn(server, options.where, (error) => {
      if (error !== null) return done(error, null);
      // A connection that cannot be accepted (for instance no free descriptor) leaves the port usable.
      server.on('error', () => {});
      done(null, port);
    });
  }

  private constructor({ allowHalfOpen = false, budget }: BoundPortOptions) {
    const arrive = (socket: net.Socket): void => this.arrive(socket);
    this.server = net.createServer(
      // Bytes sent early cost no memory here: they are read once a server takes them.
      { noDelay: true, pauseOnConnect: true, allowHalfOpen },
      budget?.guard(arrive) ?? arrive,
    );
  }

  /** Address of the port; undefined for a unix socket. */
  get address(): net.AddressInfo | undefined {
    const address = this.server.address();
    return address === null || typeof address === 'string' ? undefined : address;
  }

  /** Hands over the connections that wait and all that come. `onSocket` listens for data before it returns. */
  accept(onSocket: (socket: net.Socket) => void): void {
    this.onSocket = onSocket;
    const { waiting } = this;
    this.waiting = [];
    for (const socket of waiting) {
      socket.removeListener('error', ignore);
      this.handOver(socket, onSocket);
    }
  }

  /** Frees the port at once. Connections that wait are closed, those handed over are not. */
  close(): void {
    this.server.close();
    for (const socket of this.waiting) socket.destroy();
    this.waiting = [];
  }

  private arrive(socket: net.Socket): void {
    if (this.onSocket !== null) return this.handOver(socket, this.onSocket);
    socket.on('error', ignore);
    if (this.waiting.length < MAX_WAITING) this.waiting.push(socket);
    else socket.destroy();
  }

  private handOver(socket: net.Socket, onSocket: (socket: net.Socket) => void): void {
    if (socket.destroyed) return;
    onSocket(socket);
    socket.resume();
  }
}

/** A waiting connection that fails is found destroyed when it would be handed over. */
function ignore(): void {
  return undefined;
}
