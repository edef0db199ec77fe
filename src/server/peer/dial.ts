import * as net from 'node:net';
import type { MemberId } from '../../raft/types.js';
import { decodePeerHelloReply, encodePeerHello } from '../../gen/peer.js';
import type { PeerContext } from './context.js';
import { HANDSHAKE_TIMEOUT_MS, idText } from './context.js';
import {
  FrameReader,
  FrameType,
  MAX_FRAME_BYTES,
  MAX_HELLO_BYTES,
  PREFACE,
  PROTOCOL_VERSION,
  makeFrame,
} from './frames.js';

export type ConnectionKind = 'messages' | 'snapshot';

const DEFAULT_PEER_PORT = 2380;

/** Why a connection could not be made. */
export interface DialFailure {
  readonly error: Error;
  /** Nothing listens at the address. */
  readonly isRefused: boolean;
  /** The connection was made but closed before the reply to the hello. */
  readonly isCut: boolean;
}

export interface DialAttempt {
  cancel(): void;
}

/**
 * Connects to a member and introduces this one.
 *
 * On success the caller owns the socket, which is paused, and the reader, which may hold bytes already.
 */
export function dial(
  context: PeerContext,
  url: string,
  to: MemberId,
  kind: ConnectionKind,
  onReady: (socket: net.Socket, reader: FrameReader) => void,
  onFailed: (failure: DialFailure) => void,
): DialAttempt {
  const { env, identity } = context;
  let socket: net.Socket | null = null;
  let isOver = false;
  let isConnected = false;
  let lastError: Error | null = null;
  const reader = new FrameReader(MAX_HELLO_BYTES);

  const finish = (): void => {
    isOver = true;
    timer.cancel();
    socket?.removeAllListeners();
  };
  const fail = (error: Error, isCut: boolean): void => {
    if (isOver) return;
    finish();
    // Errors that still come from the dying socket tell nothing more.
    socket?.on('error', () => undefined);
    socket?.destroy();
    onFailed({ error, isRefused: isRefusal(error), isCut });
  };
  const timer = env.after(HANDSHAKE_TIMEOUT_MS, () =>
    fail(new Error(`no answer from ${url}`), false),
  );

  const onData = (chunk: Buffer): void => {
    reader.push(chunk);
    try {
      const frame = reader.next();
      if (frame === null) return;
      if (frame.type !== FrameType.helloReply)
        throw new Error(`${url} does not speak the peer protocol`);
      const reply = decodePeerHelloReply(frame.body);
      if (reply.removed) context.removedFromCluster();
      if (!reply.ok) throw new Error(`refused by member ${idText(to)}: ${reply.error}`);
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)), false);
      return;
    }
    const ready = socket;
    if (ready === null || isOver) return;
    ready.pause();
    finish();
    reader.maxBodyBytes = MAX_FRAME_BYTES;
    onReady(ready, reader);
  };

  try {
    const { host, port } = hostAndPort(url);
    socket = net.connect({ host, port, noDelay: true });
  } catch (error) {
    const cause = error instanceof Error ? error : new Error(String(error));
    env.defer(() => fail(cause, false));
    return { cancel: finish };
  }
  socket.on('connect', () => {
    isConnected = true;
    const hello = encodePeerHello({
      clusterId: identity.clusterId,
      from: identity.memberId,
      to,
      protocolVersion: PROTOCOL_VERSION,
      serverVersion: context.serverVersion,
      incarnation: identity.incarnation,
      kind,
    });
    socket?.write(Buffer.concat([PREFACE, makeFrame(FrameType.hello, hello)]));
  });
  socket.on('data', onData);
  socket.on('error', (error) => (lastError = error));
  socket.on('close', () =>
    fail(lastError ?? new Error(`${url} closed the connection`), isConnected),
  );
  return {
    cancel(): void {
      if (isOver) return;
      finish();
      socket?.on('error', () => undefined);
      socket?.destroy();
    },
  };
}

/** Throws: Error when the text is no http URL. */
function hostAndPort(url: string): { host: string; port: number } {
  const parsed = new URL(url);
  if (parsed.protocol !== 'http:') throw new Error(`peer URL ${url}: only http is supported`);
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: parsed.port === '' ? defaultPort(url) : Number(parsed.port) };
}

/** The parser drops a port that is the scheme's default, so ":80" has to be found in the text. */
function defaultPort(url: string): number {
  return /:80(\/|$)/.test(url) ? 80 : DEFAULT_PEER_PORT;
}

function isRefusal(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.every((inner) => (inner as NodeJS.ErrnoException).code === 'ECONNREFUSED');
  }
  return code === 'ECONNREFUSED';
}
