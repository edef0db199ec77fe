import type { Socket } from 'node:net';
import { callerHost } from '../../base/net/listen-address.js';
import type { PeerContext } from './context.js';
import { FrameReader, PREFACE } from './frames.js';
import { HANDSHAKE_TIMEOUT_MS } from './limits.js';

export interface UndecidedSocket {
  destroy(): void;
}

export interface SniffResult {
  /** The peer preface was read; `reader` holds what followed it. */
  onPeer(socket: Socket, reader: FrameReader): void;
  onHttp: ((socket: Socket) => void) | undefined;
  /** The socket is no longer undecided, with any outcome. */
  onDecided(): void;
}

/**
 * Decides by its first bytes what a fresh connection speaks: the peer protocol, HTTP/1.1, or
 * nothing known.
 */
export function sniff(context: PeerContext, socket: Socket, result: SniffResult): UndecidedSocket {
  let head: Buffer = Buffer.alloc(0);
  const timer = context.env.after(HANDSHAKE_TIMEOUT_MS, () => drop());
  const decide = (): void => {
    timer.cancel();
    socket.removeAllListeners();
    result.onDecided();
  };
  const drop = (): void => {
    decide();
    // A socket that is thrown away may still report an error, which is not needed.
    socket.on('error', () => undefined);
    socket.destroy();
  };
  const onData = (chunk: Buffer): void => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const compared = Math.min(head.length, PREFACE.length);
    if (head.compare(PREFACE, 0, compared, 0, compared) === 0) {
      if (head.length < PREFACE.length) return;
      socket.pause();
      decide();
      const reader = new FrameReader();
      reader.push(head.subarray(PREFACE.length));
      result.onPeer(socket, reader);
      return;
    }
    if (isUpperCase(head[0] ?? 0) && result.onHttp !== undefined) {
      socket.pause();
      decide();
      result.onHttp(socket);
      // An HTTP server reads the socket's handle itself from now on, so the bytes read here come as
      // an event.
      socket.emit('data', head);
      socket.resume();
      return;
    }
    context.log(
      'debug',
      'a connection to the peer port speaks neither the peer protocol nor HTTP/1.1',
      {
        'remote-addr': callerHost(socket),
      },
    );
    drop();
  };
  socket.on('data', onData);
  socket.on('error', () => drop());
  socket.on('end', () => drop());
  socket.on('close', () => drop());
  return { destroy: drop };
}

function isUpperCase(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}
