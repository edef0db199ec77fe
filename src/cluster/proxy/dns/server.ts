/** DNS over UDP and TCP on one port. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Logger } from '../../../base/observe/logger.js';
import type { ClusterEnv } from '../../env.js';
import { StreamFrames } from './stream-frames.js';

const MAX_CONNECTIONS = 256;
const IDLE_MS = 10_000;
/** Queries of one connection that are worked on at once; it is not read beyond that. */
const MAX_PIPELINED = 16;
/** Attempts to find a port that is free for both, when any port will do. */
const BIND_ATTEMPTS = 10;

/** As `Resolver.answer`. */
export type AnswerQuery = (message: Buffer, isTcp: boolean) => Promise<Buffer | undefined>;

export interface DnsServerSetup {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly address: string;
  /** 0: any. */
  readonly port: number;
  readonly answer: AnswerQuery;
}

export class DnsServer {
  readonly port: number;
  private readonly udp: UdpSocket;
  private readonly tcp: Server;
  private readonly connections: ReadonlySet<Socket>;

  /** Rejects with the operating system's error when the port cannot be had. */
  static async listen(setup: DnsServerSetup): Promise<DnsServer> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await DnsServer.bind(setup);
      } catch (error) {
        if (setup.port !== 0 || attempt === BIND_ATTEMPTS) throw error;
      }
    }
  }

  private static async bind({
    log,
    env,
    address,
    port,
    answer,
  }: DnsServerSetup): Promise<DnsServer> {
    const connections = new Set<Socket>();
    const tcp = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      connections.add(socket);
      socket.on('close', () => connections.delete(socket));
      serveStream(socket, env, answer);
    });
    tcp.maxConnections = MAX_CONNECTIONS;
    tcp.listen(port, address);
    await once(tcp, 'listening');
    const udp = createSocket('udp4');
    try {
      udp.bind((tcp.address() as AddressInfo).port, address);
      await once(udp, 'listening');
    } catch (error) {
      tcp.close();
      throw error;
    }
    udp.on('message', (message, { address: client, port: clientPort }) => {
      void answer(message, false).then((reply) => {
        if (reply !== undefined) udp.send(reply, clientPort, client, () => undefined);
      });
    });
    for (const server of [udp, tcp]) {
      server.on('error', (error: Error) => log.warn('cluster DNS', { error }));
    }
    return new DnsServer(udp, tcp, connections);
  }

  private constructor(udp: UdpSocket, tcp: Server, connections: ReadonlySet<Socket>) {
    this.udp = udp;
    this.tcp = tcp;
    this.connections = connections;
    this.port = udp.address().port;
  }

  async stop(): Promise<void> {
    const closed = Promise.all([once(this.udp, 'close'), once(this.tcp, 'close')]);
    this.udp.close();
    this.tcp.close();
    for (const socket of this.connections) socket.destroy();
    await closed;
  }
}

function serveStream(socket: Socket, env: ClusterEnv, answer: AnswerQuery): void {
  let working = 0;
  let hasEnded = false;
  let idle = env.after(IDLE_MS, () => socket.destroy());
  const settle = (): void => {
    if (working < MAX_PIPELINED) socket.resume();
    if (hasEnded && working === 0) socket.end();
  };
  const frames = new StreamFrames((message) => {
    working += 1;
    if (working >= MAX_PIPELINED) socket.pause();
    void answer(Buffer.from(message), true).then((reply) => {
      working -= 1;
      if (socket.destroyed) return;
      if (reply !== undefined) socket.write(StreamFrames.frame(reply));
      settle();
    });
  });
  socket.on('data', (data) => {
    idle.cancel();
    idle = env.after(IDLE_MS, () => socket.destroy());
    frames.push(data);
  });
  socket.on('end', () => {
    hasEnded = true;
    settle();
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => idle.cancel());
}
