/** Joins a command or container with a WebSocket that speaks the channel protocol. */
import type { Readable } from 'node:stream';
import type { WebSocket } from 'ws';
import {
  Channel,
  channelMessage,
  exitStatus,
  failureStatus,
  parseChannelMessage,
  parseResize,
  statusMessage,
} from '../../streams/channel-protocol.js';
import type { StreamStatus } from '../../streams/channel-protocol.js';
import type { Session } from '../../runtime/runtime.js';
import { messageOf } from '../pods/start-error.js';

export interface SessionWishes {
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** Runs `begin` and carries its streams until one side ends. Never rejects. */
export async function serveSession(
  socket: WebSocket,
  begin: () => Promise<Session>,
  wishes: SessionWishes,
): Promise<void> {
  // Messages that come before the session is there wait in the socket.
  socket.pause();
  let session: Session;
  try {
    session = await begin();
  } catch (error) {
    finish(socket, failureStatus(`Internal error occurred: ${messageOf(error)}`));
    return;
  }
  socket.on('close', () => session.close());
  socket.on('error', () => session.close());
  if (socket.readyState !== socket.OPEN) session.close();
  takeInput(socket, session);
  socket.resume();
  try {
    const [exitCode] = await Promise.all([
      session.ended,
      carry(socket, Channel.stdout, session.stdout, wishes.stdout),
      carry(socket, Channel.stderr, session.stderr, wishes.stderr),
    ]);
    finish(socket, exitStatus(exitCode ?? 0));
  } catch (error) {
    finish(socket, failureStatus(`Internal error occurred: ${messageOf(error)}`));
  }
}

function finish(socket: WebSocket, status: StreamStatus): void {
  if (socket.readyState === socket.OPEN) socket.send(statusMessage(status));
  socket.resume();
  socket.close(1000);
}

function takeInput(socket: WebSocket, session: Session): void {
  const { stdin } = session;
  // Its end is told by the session; a broken pipe is no news.
  stdin?.on('error', () => undefined);
  stdin?.on('drain', () => socket.resume());
  socket.on('message', (data: Buffer) => {
    const message = parseChannelMessage(data);
    if (message?.type === 'close' && message.channel === Channel.stdin) stdin?.end();
    if (message?.type !== 'data') return;
    if (message.channel === Channel.resize) {
      const size = parseResize(message.data);
      if (size !== undefined) session.resize(size);
    } else if (message.channel === Channel.stdin && stdin?.writable === true) {
      if (!stdin.write(message.data)) socket.pause();
    }
  });
}

/** Sends a stream piece by piece, as fast as the other side takes it. */
async function carry(
  socket: WebSocket,
  channel: number,
  stream: Readable | undefined,
  isWanted: boolean,
): Promise<void> {
  if (stream === undefined) return;
  if (!isWanted) {
    stream.resume();
    return;
  }
  try {
    for await (const piece of stream) {
      if (socket.readyState !== socket.OPEN) return;
      await sent(socket, channelMessage(channel, piece as Uint8Array));
    }
  } catch {
    // A session that was closed breaks its streams; how it ended is told by itself.
  }
}

function sent(socket: WebSocket, message: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    socket.send(message, () => resolve());
  });
}
