/**
 * Lets a node:http server answer plain requests that came over HTTP/2: each request is replayed on
 * a connection in memory. So the HTTP side is written once, for HTTP/1.1.
 *
 * Promises: Bodies are streamed with back-pressure in the direction of the client. A client that
 * goes away closes the connection in memory. Used for TLS ports, where clients such as curl
 * negotiate HTTP/2 for everything.
 */
import * as http from 'node:http';
import { Duplex } from 'node:stream';
import type { HttpRequest, HttpRequestHandler } from './http2/http-exchange.js';

const BAD_REQUEST = 400;
const BAD_GATEWAY = 502;
const NO_BYTES = new Uint8Array(0);
/** Fields that concern one HTTP/1.1 connection. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** Fields of a request that are replaced, or ask for what the bridge does not do. */
const NOT_REPLAYED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  'content-length',
  'expect',
  'host',
  'te',
  'trailer',
]);

/** One end of a connection in memory; what is written to it is read from its peer. */
class MemorySocket extends Duplex {
  /** For logs of the HTTP side. */
  remoteAddress: string | undefined;
  private peer: MemorySocket | undefined;
  private accepted: (() => void) | undefined;

  static pair(): readonly [MemorySocket, MemorySocket] {
    const near = new MemorySocket();
    const far = new MemorySocket();
    near.peer = far;
    far.peer = near;
    return [near, far];
  }

  /** Handlers may ask for a timeout; the transport has its own. */
  setTimeout(): this {
    return this;
  }

  override _read(): void {
    const accepted = this.peer?.accepted;
    if (this.peer === undefined || accepted === undefined) return;
    this.peer.accepted = undefined;
    accepted();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.peer === undefined || this.peer.destroyed || this.peer.push(chunk)) done();
    else this.accepted = done;
  }

  override _final(done: () => void): void {
    if (this.peer?.destroyed === false) this.peer.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { peer } = this;
    this.peer = undefined;
    done(error);
    peer?.destroy();
  }
}

/** `onConnection` receives the server's end of each connection, as the 'connection' event of a node:http server does. */
export function bridgeToHttp1(onConnection: (socket: Duplex) => void): HttpRequestHandler {
  return (request) => {
    const [near, far] = MemorySocket.pair();
    far.remoteAddress = request.peer.slice(0, request.peer.lastIndexOf(':'));
    request.onCancel(() => near.destroy());
    try {
      replay(request, near);
    } catch {
      // Fields that HTTP/2 allows and HTTP/1.1 does not.
      near.destroy();
      request.respond(BAD_REQUEST, [], NO_BYTES);
      return;
    }
    onConnection(far);
  };
}

/** Throws when node:http refuses the request. */
function replay(request: HttpRequest, socket: Duplex): void {
  const outgoing = http.request({
    createConnection: () => socket,
    method: request.method,
    path: request.path,
    headers: requestHeaders(request),
  });
  let answered = false;
  outgoing.on('response', (response) => {
    answered = true;
    relay(response, request);
  });
  outgoing.on('error', () => {
    if (!answered) request.respond(BAD_GATEWAY, [], NO_BYTES);
  });
  outgoing.end(request.body);
}

function relay(response: http.IncomingMessage, request: HttpRequest): void {
  const headers: [string, string][] = [];
  const { rawHeaders } = response;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase();
    if (!HOP_BY_HOP.has(name)) headers.push([name, rawHeaders[at + 1] ?? '']);
  }
  request.begin(response.statusCode ?? BAD_GATEWAY, headers);
  request.onDrain(() => response.resume());
  response.on('data', (chunk: Buffer) => {
    if (!request.write(chunk)) response.pause();
  });
  // A response cut short ends the stream all the same: its content-length shows the client.
  response.on('close', () => request.end());
}

function requestHeaders(request: HttpRequest): http.OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = {
    host: request.authority,
    connection: 'close',
    'content-length': String(request.body.length),
  };
  for (const { name, value } of request.headers) {
    if (NOT_REPLAYED.has(name)) continue;
    const earlier = headers[name];
    if (earlier === undefined) headers[name] = value;
    else if (Array.isArray(earlier)) earlier.push(value);
    else headers[name] = [earlier, value];
  }
  return headers;
}
