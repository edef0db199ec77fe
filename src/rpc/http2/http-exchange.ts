/** A request over HTTP/2 that is not gRPC, for instance of the JSON gateway: its body is gathered, then answered. */
import { encodeFields, plainErrorHeaders } from './response-blocks.js';
import { SendQueue } from './send-queue.js';
import type { Http2Connection } from './connection.js';
import type { HeaderField } from './header-field.js';
import type { Http2Stream } from './stream.js';
import type { RpcError } from '../service.js';

/** A plain request, whole. Exactly one of `respond` and `begin` answers it; calls after the end are ignored. */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly peer: string;
  readonly body: Uint8Array;
  /** All headers in order, names in lower case, without the pseudo fields. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** First value of a header (lower case), or undefined. */
  header(name: string): string | undefined;
  /** Answers with a whole body. Header names are lower case. */
  respond(status: number, headers: readonly (readonly [string, string])[], body: Uint8Array): void;
  /** Starts an answer whose body follows by `write`, until `end`. */
  begin(status: number, headers: readonly (readonly [string, string])[]): void;
  /** Returns false when too much is queued: stop until `onDrain`. */
  write(bytes: Uint8Array): boolean;
  end(): void;
  onDrain(listener: () => void): void;
  /** Called if the client goes away before the end. */
  onCancel(listener: () => void): void;
}

export type HttpRequestHandler = (request: HttpRequest) => void;

const HIGH_WATER_BYTES = 64 * 1024;
const MIN_BODY_BYTES = 1024;
const NO_BYTES = Buffer.alloc(0);

/** A stream that carries no call: takes the request's body, and answers at its end. */
export interface Exchange {
  readonly bufferedBytes: number;
  /** Body bytes from the client. */
  onPayload(chunk: Buffer, start: number, end: number): void;
  /** The request is complete. */
  onEnd(): void;
}

export class HttpExchange implements HttpRequest, Exchange {
  private readonly connection: Http2Connection;
  private readonly stream: Http2Stream;
  private readonly handler: HttpRequestHandler;
  private gathered: Buffer = NO_BYTES;
  private filled = 0;

  constructor(connection: Http2Connection, stream: Http2Stream, handler: HttpRequestHandler) {
    this.connection = connection;
    this.stream = stream;
    this.handler = handler;
  }

  get method(): string {
    return this.stream.head.method;
  }

  get path(): string {
    return this.stream.head.path;
  }

  get authority(): string {
    return this.stream.head.authority;
  }

  get peer(): string {
    return this.connection.peer;
  }

  get body(): Uint8Array {
    return this.gathered.subarray(0, this.filled);
  }

  get headers(): readonly HeaderField[] {
    return this.stream.head.fields;
  }

  get bufferedBytes(): number {
    return this.gathered.length;
  }

  header(name: string): string | undefined {
    for (const field of this.stream.head.fields) if (field.name === name) return field.value;
    return undefined;
  }

  respond(status: number, headers: readonly (readonly [string, string])[], body: Uint8Array): void {
    this.begin(status, [...headers, ['content-length', String(body.length)]]);
    this.write(body);
    this.end();
  }

  begin(status: number, headers: readonly (readonly [string, string])[]): void {
    if (this.stream.ended || this.stream.headersSent) return;
    const block = encodeFields([[':status', String(status)], ...headers]);
    this.connection.sender.sendHeaders(this.stream, block, false);
  }

  write(bytes: Uint8Array): boolean {
    if (this.stream.ended) return false;
    const queue = this.openQueue();
    queue.push(bytes);
    this.connection.sender.startSending(this.stream);
    if (queue.queuedBytes <= HIGH_WATER_BYTES) return true;
    queue.wantsDrain = true;
    return false;
  }

  end(): void {
    if (this.stream.ended) return;
    this.stream.ended = true;
    this.openQueue().endsWithData = true;
    this.connection.sender.startSending(this.stream);
  }

  onDrain(listener: () => void): void {
    this.stream.onDrain(listener);
  }

  onCancel(listener: () => void): void {
    this.stream.onCancel(listener);
  }

  onPayload(chunk: Buffer, start: number, end: number): void {
    if (this.stream.ended) return;
    const needed = this.filled + end - start;
    if (needed > this.connection.maxReceiveBytes) {
      this.respond(413, [], NO_BYTES);
      return;
    }
    if (needed > this.gathered.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.max(needed, MIN_BODY_BYTES, this.gathered.length * 2),
      );
      this.gathered.copy(larger, 0, 0, this.filled);
      this.gathered = larger;
    }
    chunk.copy(this.gathered, this.filled, start, end);
    this.filled = needed;
  }

  onEnd(): void {
    if (!this.stream.ended) this.handler(this);
  }

  private openQueue(): SendQueue {
    const { stream, connection } = this;
    stream.sending ??= new SendQueue(false, connection, () =>
      connection.sender.startSending(stream),
    );
    return stream.sending;
  }
}

/**
 * A request that is not gRPC where only gRPC is served: 415 once the request is whole, as the rules
 * of HTTP/2 hold for it until then. Its body repeats grpc-message, for clients that show bodies.
 */
export class UnsupportedMedia implements Exchange {
  readonly bufferedBytes = 0;
  private readonly exchange: HttpExchange;
  private readonly stream: Http2Stream;
  private readonly maxBytes: number;

  constructor(connection: Http2Connection, stream: Http2Stream, error: RpcError) {
    this.stream = stream;
    this.maxBytes = connection.maxReceiveBytes;
    this.exchange = new HttpExchange(connection, stream, (request) => {
      const headers = [...plainErrorHeaders(error.code, error.message)];
      request.respond(415, headers, Buffer.from(`${error.message}\n`));
    });
  }

  onPayload(): void {
    if (this.stream.receivedBytes > this.maxBytes) this.exchange.respond(413, [], NO_BYTES);
  }

  onEnd(): void {
    this.exchange.onEnd();
  }
}
