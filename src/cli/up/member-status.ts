import { connect, constants } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { decodeStatusResponse } from '../../gen/rpc.js';
import type { StatusResponse } from '../../gen/rpc.js';

const UNIX = 'unix://';
const TIMEOUT_MS = 1000;
const PREFIX_BYTES = 5;
/** A message without fields: not compressed, 0 bytes long (gRPC over HTTP/2, length-prefixed message). */
const EMPTY_MESSAGE = Buffer.alloc(PREFIX_BYTES);
const REQUEST = {
  [constants.HTTP2_HEADER_METHOD]: 'POST',
  [constants.HTTP2_HEADER_PATH]: '/etcdserverpb.Maintenance/Status',
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
  [constants.HTTP2_HEADER_TE]: 'trailers',
};

/**
 * Asks a member for its status over the API that all clients use.
 *
 * One unary call on Node's HTTP/2 client: loading a gRPC library for it would take as long as starting a member.
 */
export class StatusClient {
  private readonly url: string;
  private session: ClientHttp2Session | undefined;

  /** `url` is `http://host:port` or `unix:///path`. */
  constructor(url: string) {
    this.url = url;
  }

  /** The member's answer, or undefined when it gives none. */
  status(): Promise<StatusResponse | undefined> {
    return new Promise((resolve) => {
      const stream = this.connected().request(REQUEST);
      const parts: Buffer[] = [];
      stream.setTimeout(TIMEOUT_MS, () => stream.destroy());
      stream.on('data', (part: Buffer) => parts.push(part));
      // A refused connection ends the session, and with it the stream.
      stream.on('error', () => undefined);
      stream.on('close', () => resolve(decode(Buffer.concat(parts))));
      stream.end(EMPTY_MESSAGE);
    });
  }

  close(): void {
    this.session?.destroy();
  }

  private connected(): ClientHttp2Session {
    if (this.session !== undefined && !this.session.destroyed && !this.session.closed) {
      return this.session;
    }
    const session = this.connect();
    session.on('error', () => session.destroy());
    this.session = session;
    return session;
  }

  private connect(): ClientHttp2Session {
    if (!this.url.startsWith(UNIX)) return connect(this.url);
    const path = this.url.slice(UNIX.length);
    return connect('http://localhost', { createConnection: () => connectSocket(path) });
  }
}

function decode(reply: Buffer): StatusResponse | undefined {
  if (reply.length < PREFIX_BYTES) return undefined;
  const length = reply.readUInt32BE(1);
  const isWhole = reply[0] === 0 && reply.length === PREFIX_BYTES + length;
  return isWhole ? decodeStatusResponse(reply.subarray(PREFIX_BYTES)) : undefined;
}
