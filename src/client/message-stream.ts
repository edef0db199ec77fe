import { status as grpcStatus, type ServiceError } from '@grpc/grpc-js';
import { errorOf, type ByteStream, type ClientError } from './channel.js';

export interface StreamEvents<Response> {
  readonly message: (response: Response) => void;
  /** Runs once: with null when the server ended the stream, or this side did. */
  readonly end: (error: ClientError | null) => void;
}

/** A stream of typed messages in both directions. */
export class MessageStream<Request, Response> {
  private readonly stream: ByteStream;
  private readonly encode: (request: Request) => Uint8Array;
  private hasEnded = false;

  constructor(
    stream: ByteStream,
    encode: (request: Request) => Uint8Array,
    decode: (bytes: Uint8Array) => Response,
    on: StreamEvents<Response>,
  ) {
    this.stream = stream;
    this.encode = encode;
    const end = (error: ClientError | null): void => {
      if (this.hasEnded) return;
      this.hasEnded = true;
      on.end(error);
    };
    stream.on('data', (bytes: Uint8Array) => on.message(decode(bytes)));
    stream.on('error', (error: ServiceError) => {
      end(this.isCancelled && error.code === grpcStatus.CANCELLED ? null : errorOf(error));
    });
    stream.on('end', () => end(null));
  }

  private isCancelled = false;

  /** Queues a request; false when the queue is long, and the caller had better wait for `drained`. */
  send(request: Request): boolean {
    return this.stream.write(this.encode(request));
  }

  /** Runs `callback` once the queue of requests is short again. */
  drained(callback: () => void): void {
    this.stream.once('drain', callback);
  }

  /** This side sends no more; the server's messages still come. */
  halfClose(): void {
    this.stream.end();
  }

  cancel(): void {
    this.isCancelled = true;
    this.stream.cancel();
  }
}
