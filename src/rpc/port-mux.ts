/**
 * One listening port for gRPC and HTTP/1.1. A connection that opens with the HTTP/2 preface goes to
 * the RPC transport, one with the request line of HTTP/1.x to the HTTP handler. Any other is
 * closed, as by etcd's port (cmux). On TLS the negotiated protocol decides where there is one.
 *
 * Promises: No byte is lost or reordered at the hand-over. A connection that has not sent enough
 * within `SNIFF_TIMEOUT_MS` is closed. Closing the listener closes connections still undecided, and
 * only those. Does not serve anything itself. Called by the member for each of its client URLs.
 */
import type * as net from 'node:net';
import * as tls from 'node:tls';
import { BoundPort } from '../base/net/bound-port.js';
import type { ConnectionBudget } from '../base/net/descriptors.js';
import type { RpcTransport } from './service.js';
import type { TransportEnv } from './transport.js';

/** Time for a fresh connection to show its protocol (on TLS: after the handshake). */
const SNIFF_TIMEOUT_MS = 10_000;
const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;
/** No HTTP/1.1 method starts with these bytes, so the rest of the preface need not be awaited. */
const PREFACE_START = Buffer.from('PRI ', 'latin1');
/** The first line of an HTTP/1.x request, and how long it may be. */
const REQUEST_LINE = /^\S+ [^ ].* HTTP\/1\.\d\r?$/;
const MAX_REQUEST_LINE_BYTES = 4096;
const NEWLINE = 0x0a;
const ALPN_PROTOCOLS = ['h2', 'http/1.1'];
const NO_BYTES = new Uint8Array(0);

export interface MuxParts {
  readonly env: TransportEnv;
  readonly transport: RpcTransport;
  /**
   * Receives a socket that speaks HTTP/1.1 and must listen for its data before it returns, as the
   * 'connection' event of a node:http server does. Bytes read already follow as data. Without it
   * such sockets are closed.
   */
  readonly onHttp?: (socket: net.Socket) => void;
  /** Makes the port a TLS port; protocols for ALPN are added unless given. */
  readonly tls?: tls.TlsOptions;
}

export interface MuxOptions extends MuxParts {
  /** A TCP address (port 0 for any), or the path of a unix socket. */
  readonly listen: net.ListenOptions;
  /** Bounds the connections accepted here and on the process's other listeners. */
  readonly budget?: ConnectionBudget;
}

export interface MuxListener {
  /** The bound port; 0 for a unix socket. */
  readonly port: number;
  /**
   * Stops listening and closes connections whose protocol is still undecided; `done` runs when the
   * port is free.
   */
  close(done: () => void): void;
}

/** Binds and serves; `done` receives the listener, or the operating system's error. */
export function listenMux(
  options: MuxOptions,
  done: (error: Error | null, listener: MuxListener | null) => void,
): void {
  // Plain HTTP/1.1 clients may close their side and still read; on TLS a half-open socket would only outlast its handshake.
  const { listen: where, budget, tls: tlsOptions } = options;
  BoundPort.bind({ where, budget, allowHalfOpen: tlsOptions === undefined }, (error, port) => {
    if (port === null) done(error, null);
    else done(null, serveMux(port, options));
  });
}

/** Serves the connections of a port that is bound already. */
export function serveMux(port: BoundPort, parts: MuxParts): MuxListener {
  const undecided = new Set<net.Socket>();
  const onSocket = (socket: net.Socket): void => sniff(socket, parts, undecided);
  const tlsServer = parts.tls === undefined ? undefined : secured(parts.tls, onSocket);
  port.accept(
    tlsServer === undefined ? onSocket : (socket) => void tlsServer.emit('connection', socket),
  );
  return {
    port: port.address?.port ?? 0,
    close(closed: () => void): void {
      port.close();
      for (const socket of undecided) socket.destroy();
      closed();
    },
  };
}

/** Speaks TLS on the sockets given to it with `emit('connection', socket)`; it does not listen. */
function secured(options: tls.TlsOptions, onSocket: (socket: tls.TLSSocket) => void): tls.Server {
  const handshakeTimeout = TLS_HANDSHAKE_TIMEOUT_MS;
  const server = tls.createServer(
    { ALPNProtocols: ALPN_PROTOCOLS, handshakeTimeout, ...options },
    onSocket,
  );
  // A failed handshake is the client's affair; the TLS layer has closed the socket already.
  server.on('tlsClientError', () => {});
  return server;
}

const Protocol = { unknown: 0, http2: 1, http1: 2, other: 3 } as const;
type Protocol = (typeof Protocol)[keyof typeof Protocol];

/** The protocol a connection opens with, as far as its first bytes show. */
function protocolOf(head: Buffer): Protocol {
  const compared = Math.min(head.length, PREFACE_START.length);
  if (head.compare(PREFACE_START, 0, compared, 0, compared) === 0) {
    return head.length < PREFACE_START.length ? Protocol.unknown : Protocol.http2;
  }
  const lineEnd = head.indexOf(NEWLINE);
  if (lineEnd < 0) {
    return head.length < MAX_REQUEST_LINE_BYTES ? Protocol.unknown : Protocol.other;
  }
  if (lineEnd >= MAX_REQUEST_LINE_BYTES) return Protocol.other;
  return REQUEST_LINE.test(head.toString('latin1', 0, lineEnd)) ? Protocol.http1 : Protocol.other;
}

function sniff(socket: net.Socket, options: MuxParts, undecided: Set<net.Socket>): void {
  if (socket instanceof tls.TLSSocket && socket.alpnProtocol === 'h2') {
    options.transport.accept(socket, NO_BYTES);
    return;
  }
  let head: Buffer = Buffer.alloc(0);
  const timer = options.env.after(SNIFF_TIMEOUT_MS, () => socket.destroy());
  const forget = (): void => {
    timer.cancel();
    undecided.delete(socket);
    socket.removeListener('data', onData);
    socket.removeListener('end', onGone);
    socket.removeListener('close', onGone);
    socket.removeListener('error', onError);
  };
  const onGone = (): void => {
    forget();
    socket.on('error', onError);
    socket.destroy();
  };
  // 'close' follows and does the work.
  const onError = (): void => {};
  const onData = (chunk: Buffer): void => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const protocol = protocolOf(head);
    if (protocol === Protocol.unknown) return;
    socket.pause();
    forget();
    if (protocol === Protocol.http2) {
      options.transport.accept(socket, head);
    } else if (protocol === Protocol.http1 && options.onHttp !== undefined) {
      options.onHttp(socket);
      // node:http reads the handle itself from now on, past the stream's buffer, so `unshift` would come too late.
      socket.emit('data', head);
      socket.resume();
    } else {
      socket.on('error', onError);
      socket.destroy();
    }
  };
  undecided.add(socket);
  socket.on('data', onData);
  socket.on('end', onGone);
  socket.on('close', onGone);
  socket.on('error', onError);
}
