import type { CallOptions, Caller } from './channel.js';
import { MessageStream, type StreamEvents } from './message-stream.js';

/** One unary method. Throws: ClientError. */
export type UnaryMethod<Request, Response> = (
  request: Request,
  options?: CallOptions,
) => Promise<Response>;

/** One method that streams in both directions; opens a stream per call. */
export type StreamMethod<Request, Response> = (
  on: StreamEvents<Response>,
  options?: CallOptions,
) => MessageStream<Request, Response>;

/** Makes the typed methods of one gRPC service from their names and the codecs of their messages. */
export class ServiceCalls {
  private readonly caller: Caller;
  private readonly service: string;

  /** `service` is the full name, as in etcdserverpb.KV. */
  constructor(caller: Caller, service: string) {
    this.caller = caller;
    this.service = service;
  }

  unary<Request, Response>(
    method: string,
    encode: (request: Request) => Uint8Array,
    decode: (bytes: Uint8Array) => Response,
  ): UnaryMethod<Request, Response> {
    const { caller } = this;
    const path = `/${this.service}/${method}`;
    return async (request, options) => decode(await caller.unary(path, encode(request), options));
  }

  stream<Request, Response>(
    method: string,
    encode: (request: Request) => Uint8Array,
    decode: (bytes: Uint8Array) => Response,
  ): StreamMethod<Request, Response> {
    const { caller } = this;
    const path = `/${this.service}/${method}`;
    return (on, options) => new MessageStream(caller.stream(path, options), encode, decode, on);
  }
}
