import { connect, constants } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { decodeStatusResponse } from '../../gen/rpc.js';
import type { StatusResponse } from '../../gen/rpc.js';

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

  /** `address` is host:port. */
  constructor(address: string) {
    this.url = `http://${address}`;
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
    const session = connect(this.url);
    session.on('error', () => session.destroy());
    this.session = session;
    return session;
  }
}

function decode(reply: Buffer): StatusResponse | undefined {
  if (reply.length < PREFIX_BYTES) return undefined;
  const length = reply.readUInt32BE(1);
  const isWhole = reply[0] === 0 && reply.length === PREFIX_BYTES + length;
  return isWhole ? decodeStatusResponse(reply.subarray(PREFIX_BYTES)) : undefined;
}
