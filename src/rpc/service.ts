/**
 * The seam between transports and services: a table of handlers over bytes.
 *
 * A handler is independent of HTTP/2 and grpc-js. It receives one message's bytes, and answers on
 * the call object, at once or later. A unary call that completes synchronously costs no promise.
 * The same table is mounted on grpc-js (`grpc-js-server.ts`) and on the transport of our own
 * (`http2/`).
 */

/** gRPC status codes by their canonical names. */
export const Status = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** A refusal as the client sees it: grpc-status and grpc-message. Instances are shared constants where possible. */
export class RpcError extends Error {
  readonly code: Status;
  constructor(code: Status, message: string) {
    super(message);
    this.code = code;
  }
}

/** The caller, as both kinds of call see it. */
export interface CallContext {
  /** First value of a request metadata key (lower case, not binary), or undefined. */
  metadata(name: string): string | undefined;
  /** Remote address as host:port, or a socket path. */
  readonly peer: string;
  /** Monotonic milliseconds after which the client no longer waits; Infinity when it gave no timeout. */
  readonly deadlineMs: number;
  /** True once the client went away, cancelled or its deadline passed. */
  readonly cancelled: boolean;
  /** Called once if the call ends before the handler ended it. At most one listener; later calls replace it. */
  onCancel(listener: () => void): void;
}

/** Exactly one of reply, replyParts and fail ends the call; calls after the end are ignored. */
export interface UnaryCall extends CallContext {
  reply(message: Uint8Array): void;
  /**
   * A reply too large to hold in memory at once. `totalBytes` is the exact encoded size. `next`
   * yields its parts in order and is called only when the transport has room. It may return null
   * for "later": the handler then calls the `resume` it was given. `abort` runs if the client goes
   * away first.
   */
  replyParts(totalBytes: number, source: PartSource): void;
  fail(error: RpcError): void;
}

export interface PartSource {
  /** The next part, undefined at the end, or null after which `resume` will be called. */
  next(resume: () => void): Uint8Array | null | undefined;
  abort(): void;
}

/** A server-streaming or bidirectional call; also carries client streaming if ever needed. */
export interface StreamCall extends CallContext {
  onMessage(listener: (message: Uint8Array) => void): void;
  /** The client will send no more; the call goes on until the handler ends it. */
  onHalfClose(listener: () => void): void;
  /**
   * Sends one message: the bytes of `message`, then those of `rest`, which may be shared with other calls. Returns
   * false when the transport's buffer for this stream is full: stop until `onDrain`. The message is queued in any case.
   */
  write(message: Uint8Array, rest?: Uint8Array): boolean;
  onDrain(listener: () => void): void;
  /** Bytes queued for this stream but not yet accepted by the socket. */
  readonly bufferedBytes: number;
  end(): void;
  fail(error: RpcError): void;
  /** Stops reading further client messages until `resume`, for back-pressure towards the client. */
  pause(): void;
  resume(): void;
}

export type Method =
  | {
      readonly kind: 'unary';
      /** Request bytes may be a view of a network buffer: copy what is kept beyond the call's synchronous part. */
      readonly handle: (request: Uint8Array, call: UnaryCall) => void;
    }
  | {
      readonly kind: 'stream';
      /** For metrics labels. */
      readonly streamType: 'client_stream' | 'server_stream' | 'bidi_stream';
      readonly handle: (call: StreamCall) => void;
    };

/** Full method path, as in `/etcdserverpb.KV/Range`, to its handler. */
export type ServiceTable = ReadonlyMap<string, Method>;

/** Limits and timers of a transport; names follow the server flags they come from. */
export interface TransportOptions {
  /** A message longer than this is refused with 8 `grpc: received message larger than max (N vs. M)`. */
  readonly maxReceiveBytes: number;
  readonly maxConcurrentStreams: number;
  readonly keepaliveMinTimeMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
}

/** Counters a transport reports; the member turns them into metrics. */
export interface TransportObserver {
  started(path: string): void;
  handled(path: string, code: Status, seconds: number): void;
  messageReceived(path: string, bytes: number): void;
  messageSent(path: string, bytes: number): void;
}

/** A transport serving one table on sockets that a listener accepted and found to speak HTTP/2. */
export interface RpcTransport {
  /** Takes over a connected socket; `head` is what was already read from it. */
  accept(socket: import('node:net').Socket, head: Uint8Array): void;
  /** Refuses new calls, lets those in flight finish up to `graceMs`, then closes everything. */
  stop(graceMs: number, done: () => void): void;
}
