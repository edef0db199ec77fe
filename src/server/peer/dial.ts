import * as net from 'node:net';
import type { Timer } from '../../base/env/env.js';
import { parseServerUrl } from '../../base/flags/url.js';
import { connectOptions } from '../../base/net/listen-address.js';
import { decodePeerHelloReply, encodePeerHello } from '../../gen/peer.js';
import type { MemberId } from '../../raft/types.js';
import type { PeerContext } from './context.js';
import { idText } from '../../base/bytes/id-text.js';
import type { Frame } from './frames.js';
import {
  FrameReader,
  FrameType,
  NEWEST_PROTOCOL_VERSION,
  OLDEST_PROTOCOL_VERSION,
  PREFACE,
  makeFrame,
} from './frames.js';
import { HANDSHAKE_TIMEOUT_MS } from './limits.js';

export type ConnectionKind = 'messages' | 'snapshot';

/** Failure to make a connection. */
export interface DialFailure {
  readonly error: Error;
  /** Nothing listens at the address. */
  readonly isRefused: boolean;
  /** The connection was made but closed before the reply to the hello. */
  readonly isCut: boolean;
}

/**
 * A connection whose hello was accepted. The owner takes the socket, which is paused, and what was
 * read already.
 */
export interface DialledPeer {
  readonly socket: net.Socket;
  readonly reader: FrameReader;
  /** Version of the protocol both sides speak. */
  readonly version: number;
  /** Number of the process that answered; 0 when it gave none. */
  readonly incarnation: number;
}

export interface DialEvents {
  onReady(peer: DialledPeer): void;
  onFailed(failure: DialFailure): void;
}

/**
 * One attempt to connect to a member and to introduce this one. Exactly one event follows `start`,
 * never before it returns, and none follows `cancel`.
 */
export class Dial {
  private readonly context: PeerContext;
  private readonly url: string;
  private readonly to: MemberId;
  private readonly kind: ConnectionKind;
  private readonly events: DialEvents;
  private readonly reader = new FrameReader();
  private socket: net.Socket | null = null;
  private timer: Timer | null = null;
  private lastError: Error | null = null;
  private isConnected = false;
  private isOver = false;

  constructor(
    context: PeerContext,
    url: string,
    to: MemberId,
    kind: ConnectionKind,
    events: DialEvents,
  ) {
    this.context = context;
    this.url = url;
    this.to = to;
    this.kind = kind;
    this.events = events;
  }

  start(): this {
    const { env } = this.context;
    this.timer = env.after(HANDSHAKE_TIMEOUT_MS, () =>
      this.fail(new Error(`no answer from ${this.url}`), false),
    );
    try {
      this.socket = openSocket(this.url);
    } catch (error) {
      env.defer(() => this.fail(asError(error), false));
      return this;
    }
    this.socket.on('connect', () => this.sendHello());
    this.socket.on('data', (chunk: Buffer) => this.onData(chunk));
    this.socket.on('error', (error) => (this.lastError = error));
    this.socket.on('close', () => this.onClose());
    return this;
  }

  cancel(): void {
    if (!this.isOver) this.discard();
  }

  private sendHello(): void {
    this.isConnected = true;
    const { identity, serverVersion } = this.context;
    const hello = encodePeerHello({
      clusterId: identity.clusterId,
      from: identity.memberId,
      to: this.to,
      protocolVersion: OLDEST_PROTOCOL_VERSION,
      newestVersion: NEWEST_PROTOCOL_VERSION,
      serverVersion,
      incarnation: identity.incarnation,
      kind: this.kind,
    });
    this.socket?.write(Buffer.concat([PREFACE, makeFrame(FrameType.hello, hello)]));
  }

  private onData(chunk: Buffer): void {
    this.reader.push(chunk);
    try {
      const frame = this.reader.next();
      if (frame !== null) this.onReply(frame);
    } catch (error) {
      this.fail(asError(error), false);
    }
  }

  /** Throws: Error when the reply is none or refuses this member. */
  private onReply(frame: Frame): void {
    if (frame.type !== FrameType.helloReply) {
      throw new Error(`${this.url} does not speak the peer protocol`);
    }
    const reply = decodePeerHelloReply(frame.body);
    if (reply.removed) this.context.removedFromCluster();
    if (!reply.ok) throw new Error(`refused by member ${idText(this.to)}: ${reply.error}`);
    const version = Math.max(OLDEST_PROTOCOL_VERSION, reply.protocolVersion);
    if (version > NEWEST_PROTOCOL_VERSION) {
      throw new Error(`${this.url} chose version ${version} of the peer protocol, unknown here`);
    }
    const { socket, reader } = this;
    // `removedFromCluster` may have cancelled this attempt.
    if (socket === null || this.isOver) return;
    socket.pause();
    this.detach();
    reader.admit();
    this.events.onReady({ socket, reader, version, incarnation: reply.incarnation });
  }

  private onClose(): void {
    const error = this.lastError ?? new Error(`${this.url} closed the connection`);
    this.fail(error, this.isConnected);
  }

  private fail(error: Error, isCut: boolean): void {
    if (this.isOver) return;
    this.discard();
    this.events.onFailed({ error, isRefused: isRefusal(error), isCut });
  }

  private discard(): void {
    this.detach();
    // Errors that still come from the dying socket add nothing.
    this.socket?.on('error', () => undefined);
    this.socket?.destroy();
  }

  private detach(): void {
    this.isOver = true;
    this.timer?.cancel();
    this.socket?.removeAllListeners();
  }
}

/** Throws: Error when `text` is no URL of a peer. */
function openSocket(text: string): net.Socket {
  const url = parseServerUrl(text);
  if (url.scheme === 'https' || url.scheme === 'unixs') {
    throw new Error(`peer URL ${text} needs TLS, which this release does not have yet`);
  }
  return net.connect(connectOptions(url));
}

/** True if no process listens at the address: refused, or a socket file that does not exist. */
function isRefusal(error: Error): boolean {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
  return (
    errors.length > 0 &&
    errors.every((inner) =>
      ['ECONNREFUSED', 'ENOENT'].includes((inner as NodeJS.ErrnoException).code ?? ''),
    )
  );
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
