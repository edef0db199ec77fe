import {
  Client,
  credentials,
  Metadata,
  status as grpcStatus,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';

/** A refused or failed call: gRPC code, and the server's text without decoration. */
export class ClientError extends Error {
  override name = 'ClientError';
  readonly code: number;

  constructor(code: number, text: string) {
    super(text);
    this.code = code;
  }
}

export interface ChannelOptions {
  /** Deadline of unary calls that name none. */
  readonly timeoutMs?: number;
  /** Shortest and longest pause between two attempts to connect. */
  readonly reconnectMs?: { readonly min: number; readonly max: number };
}

export interface CallOptions {
  /** Deadline of a unary call, counted from now. Streams have none. */
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

export type ByteStream = ClientDuplexStream<Uint8Array, Uint8Array>;

/** The lower half of a client: bytes of messages, no retries. */
export interface Caller {
  /** Throws: ClientError. */
  unary(path: string, request: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  /** Opens a stream of encoded messages. Its `error` event carries grpc-js's ServiceError. */
  stream(path: string, options?: CallOptions): ByteStream;
  close(): void;
}

/** Longest message either way: the bound of gRPC's signed lengths. */
const MAX_MESSAGE_BYTES = 2 ** 31 - 1;
const DEFAULT_TIMEOUT_MS = 5000;
const DEFAULT_RECONNECT_MS = { min: 50, max: 500 };

const toBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
const asIs = (bytes: Buffer): Uint8Array => bytes;

/** One endpoint, on a connection of its own. */
export class Channel implements Caller {
  private readonly client: Client;
  private readonly timeoutMs: number;

  /** `endpoint` is host:port, or an http URL. */
  constructor(endpoint: string, options: ChannelOptions = {}) {
    const { min, max } = options.reconnectMs ?? DEFAULT_RECONNECT_MS;
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.client = new Client(endpoint.replace(/^https?:\/\//, ''), credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
      'grpc.initial_reconnect_backoff_ms': min,
      'grpc.max_reconnect_backoff_ms': max,
      // Channels to one address would otherwise share a connection, and with it each other's fate.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  unary(path: string, request: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + (options.timeoutMs ?? this.timeoutMs);
      this.client.makeUnaryRequest(
        path,
        toBuffer,
        asIs,
        request,
        metadataOf(options),
        { deadline },
        (error: ServiceError | null, reply?: Uint8Array) => {
          if (error !== null) reject(errorOf(error));
          else if (reply === undefined) reject(new ClientError(grpcStatus.INTERNAL, 'no reply'));
          else resolve(reply);
        },
      );
    });
  }

  stream(path: string, options: CallOptions = {}): ByteStream {
    return this.client.makeBidiStreamRequest(path, toBuffer, asIs, metadataOf(options));
  }

  close(): void {
    this.client.close();
  }
}

export function errorOf(error: ServiceError): ClientError {
  return new ClientError(error.code, error.details);
}

function metadataOf(options: CallOptions): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
  return metadata;
}
