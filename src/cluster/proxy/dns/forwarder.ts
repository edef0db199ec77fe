/**
 * Asks the name servers of a resolv.conf what the cluster does not know. Answers pass as they are;
 * one that was cut over UDP stays so, and the client asks again over TCP.
 */
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { connect, isIPv6 } from 'node:net';
import type { Logger } from '../../../base/observe/logger.js';
import type { ClusterEnv } from '../../env.js';
import { nameserversOf } from './resolv-conf.js';
import { StreamFrames } from './stream-frames.js';

const ATTEMPT_MS = 2_000;
const MAX_CONCURRENT = 1_000;
/** The file may change while this process runs, as it does on machines that move. */
const REREAD_MS = 5_000;
const PORT = 53;
const HEADER = 12;

export interface ForwarderSetup {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly resolverFile: string;
  /** An address at which queries would come back here. */
  readonly isOwnAddress: (ip: string) => boolean;
  /** Port of the servers; 53. */
  readonly port?: number;
}

export type Forwarded =
  | { readonly answer: Buffer }
  /** There is no server, or too many queries wait; nobody was asked. */
  | { readonly failure: 'refused' }
  /** No server answered. */
  | { readonly failure: 'unanswered' };

export class Forwarder {
  private readonly setup: ForwarderSetup;
  private reading: Promise<readonly string[]> = Promise.resolve([]);
  private readMs = -Infinity;
  private waiting = 0;
  private readonly warned = new Set<string>();

  constructor(setup: ForwarderSetup) {
    this.setup = setup;
  }

  /** Sends the query to one server after the other until one answers. */
  async ask(query: Buffer, isTcp: boolean): Promise<Forwarded> {
    const servers = await this.currentServers();
    if (servers.length === 0 || this.waiting >= MAX_CONCURRENT) return { failure: 'refused' };
    this.waiting += 1;
    try {
      for (const server of servers) {
        const answer = await this.attempt(server, query, isTcp);
        if (answer !== undefined) return { answer };
      }
      return { failure: 'unanswered' };
    } finally {
      this.waiting -= 1;
    }
  }

  private attempt(server: string, query: Buffer, isTcp: boolean): Promise<Buffer | undefined> {
    const { env, port = PORT } = this.setup;
    // Another id than the client's, so that what it knows does not help who forges answers.
    const id = env.randomU32() & 0xffff;
    const sent = Buffer.from(query);
    sent.writeUInt16BE(id);
    return new Promise((resolve) => {
      let close: () => void = () => undefined;
      const timer = env.after(ATTEMPT_MS, () => end(undefined));
      const end = (answer: Buffer | undefined): void => {
        timer.cancel();
        close();
        resolve(answer);
      };
      const receive = (message: Buffer): void => {
        if (!isAnswerTo(message, sent)) return;
        const answer = Buffer.from(message);
        query.copy(answer, 0, 0, 2);
        end(answer);
      };
      const exchange = isTcp ? exchangeTcp : exchangeUdp;
      close = exchange(server, port, sent, receive, () => end(undefined));
    });
  }

  private async currentServers(): Promise<readonly string[]> {
    const nowMs = this.setup.env.monoMs();
    if (nowMs - this.readMs >= REREAD_MS) {
      this.readMs = nowMs;
      this.reading = this.readServers();
    }
    return this.reading;
  }

  private async readServers(): Promise<readonly string[]> {
    const { resolverFile, isOwnAddress } = this.setup;
    let named: readonly string[];
    try {
      named = nameserversOf(await readFile(resolverFile, 'utf8'));
    } catch (error) {
      this.warn('names outside of the cluster are refused: no resolver file', { error });
      return [];
    }
    const own = named.filter(isOwnAddress);
    if (own.length > 0) this.warn('a name server of the resolver file is this one', { own });
    const servers = named.filter((server) => !isOwnAddress(server));
    if (servers.length === 0) {
      this.warn('names outside of the cluster are refused: no name server', { resolverFile });
    }
    return servers;
  }

  /** The file is read often; each warning is given once. */
  private warn(message: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.warned.has(message)) return;
    this.warned.add(message);
    this.setup.log.warn(message, fields);
  }
}

/** Begins to ask; returns what ends it. */
type Exchange = (
  server: string,
  port: number,
  query: Buffer,
  receive: (message: Buffer) => void,
  fail: () => void,
) => () => void;

const exchangeUdp: Exchange = (server, port, query, receive, fail) => {
  const socket = createSocket(isIPv6(server) ? 'udp6' : 'udp4');
  let isClosed = false;
  socket.on('message', receive);
  socket.on('error', fail);
  socket.connect(port, server, () => {
    if (!isClosed) socket.send(query);
  });
  return () => {
    isClosed = true;
    socket.close();
  };
};

const exchangeTcp: Exchange = (server, port, query, receive, fail) => {
  const socket = connect({ host: server, port });
  const frames = new StreamFrames(receive);
  socket.on('data', (data) => frames.push(data));
  socket.on('error', fail);
  socket.on('end', fail);
  socket.write(StreamFrames.frame(query));
  return () => socket.destroy();
};

/** Same id and question, and an answer. */
function isAnswerTo(message: Buffer, query: Buffer): boolean {
  if (message.length < HEADER || (message.readUInt8(2) & 0x80) === 0) return false;
  if (message.readUInt16BE(0) !== query.readUInt16BE(0)) return false;
  // Servers may leave the question out of an error.
  if (message.readUInt16BE(4) === 0) return (message.readUInt8(3) & 0xf) !== 0;
  const end = questionEnd(query);
  return message.subarray(HEADER, end).equals(query.subarray(HEADER, end));
}

function questionEnd(query: Buffer): number {
  let at = HEADER;
  while (at < query.length && query.readUInt8(at) !== 0) at += 1 + query.readUInt8(at);
  return at + 5;
}
