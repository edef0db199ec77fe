/**
 * A small client of the etcd v3 API on grpc-js, for mainstay's own commands and tests: requests and replies as the
 * generated types, one channel per endpoint, no hidden retries.
 */
import {
  Client,
  credentials,
  Metadata,
  status as grpcStatus,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';
import * as rpc from '../gen/rpc.js';

/** A refused or failed call: gRPC code, and the server's text without decoration. */
export class ClientError extends Error {
  override name = 'ClientError';
  readonly code: number;

  constructor(code: number, text: string) {
    super(text);
    this.code = code;
  }
}

const MAX_MESSAGE_BYTES = 2 ** 31 - 1;
const DEFAULT_TIMEOUT_MS = 5000;

const keep = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

export interface CallOptions {
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

export class EtcdClient {
  /** host:port, or a URL whose scheme is ignored. */
  readonly endpoint: string;
  private readonly channel: Client;

  constructor(endpoint: string) {
    this.endpoint = endpoint;
    this.channel = new Client(endpoint.replace(/^https?:\/\//, ''), credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      // Channels to one address would otherwise share a connection, and with it each other's fate.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  close(): void {
    this.channel.close();
  }

  /** Calls a unary method with encoded bytes. */
  unary(path: string, request: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
      this.channel.makeUnaryRequest(
        path,
        keep,
        (bytes: Buffer): Uint8Array => bytes,
        request,
        metadataOf(options),
        { deadline },
        (error: ServiceError | null, reply?: Uint8Array) => {
          if (error !== null) reject(new ClientError(error.code, error.details));
          else if (reply === undefined) reject(new ClientError(grpcStatus.INTERNAL, 'no reply'));
          else resolve(reply);
        },
      );
    });
  }

  /** Opens a bidirectional stream of encoded messages. */
  stream(path: string, options: CallOptions = {}): ClientDuplexStream<Uint8Array, Uint8Array> {
    return this.channel.makeBidiStreamRequest(
      path,
      keep,
      (bytes: Buffer): Uint8Array => bytes,
      metadataOf(options),
    );
  }

  async put(request: rpc.PutRequestInit, options?: CallOptions): Promise<rpc.PutResponse> {
    return rpc.decodePutResponse(
      await this.unary('/etcdserverpb.KV/Put', rpc.encodePutRequest(request), options),
    );
  }

  async range(request: rpc.RangeRequestInit, options?: CallOptions): Promise<rpc.RangeResponse> {
    return rpc.decodeRangeResponse(
      await this.unary('/etcdserverpb.KV/Range', rpc.encodeRangeRequest(request), options),
    );
  }

  async deleteRange(
    request: rpc.DeleteRangeRequestInit,
    options?: CallOptions,
  ): Promise<rpc.DeleteRangeResponse> {
    return rpc.decodeDeleteRangeResponse(
      await this.unary(
        '/etcdserverpb.KV/DeleteRange',
        rpc.encodeDeleteRangeRequest(request),
        options,
      ),
    );
  }

  async txn(request: rpc.TxnRequestInit, options?: CallOptions): Promise<rpc.TxnResponse> {
    return rpc.decodeTxnResponse(
      await this.unary('/etcdserverpb.KV/Txn', rpc.encodeTxnRequest(request), options),
    );
  }

  async compact(
    request: rpc.CompactionRequestInit,
    options?: CallOptions,
  ): Promise<rpc.CompactionResponse> {
    return rpc.decodeCompactionResponse(
      await this.unary('/etcdserverpb.KV/Compact', rpc.encodeCompactionRequest(request), options),
    );
  }

  async status(options?: CallOptions): Promise<rpc.StatusResponse> {
    return rpc.decodeStatusResponse(
      await this.unary('/etcdserverpb.Maintenance/Status', rpc.encodeStatusRequest({}), options),
    );
  }

  async hashKv(revision: number, options?: CallOptions): Promise<rpc.HashKVResponse> {
    return rpc.decodeHashKVResponse(
      await this.unary(
        '/etcdserverpb.Maintenance/HashKV',
        rpc.encodeHashKVRequest({ revision }),
        options,
      ),
    );
  }

  async leaseGrant(
    request: rpc.LeaseGrantRequestInit,
    options?: CallOptions,
  ): Promise<rpc.LeaseGrantResponse> {
    return rpc.decodeLeaseGrantResponse(
      await this.unary(
        '/etcdserverpb.Lease/LeaseGrant',
        rpc.encodeLeaseGrantRequest(request),
        options,
      ),
    );
  }
}

function metadataOf(options: CallOptions): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
  return metadata;
}
