/** Starts either transport behind a real listener, and calls it with @grpc/grpc-js as client. */
import * as grpc from '@grpc/grpc-js';
import type { Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { createNodeEnv } from '../../../src/base/env/node.js';
import { GrpcJsTransport } from '../../../src/rpc/grpc-js-server.js';
import { Http2Transport } from '../../../src/rpc/http2/http2-transport.js';
import { listenMux, type MuxListener } from '../../../src/rpc/port-mux.js';
import type {
  RpcTransport,
  ServiceTable,
  TransportObserver,
  TransportOptions,
} from '../../../src/rpc/service.js';
import type { TransportSetup } from '../../../src/rpc/transport.js';

export const env = createNodeEnv();

export const LIMITS: TransportOptions = {
  maxReceiveBytes: 64 * 1024,
  maxConcurrentStreams: 2000,
  keepaliveMinTimeMs: 5000,
  keepaliveIntervalMs: 7_200_000,
  keepaliveTimeoutMs: 20_000,
};

export type MakeTransport = (setup: TransportSetup) => RpcTransport;

export const makeGrpcJs: MakeTransport = (setup) => new GrpcJsTransport(setup);
export const makeHttp2: MakeTransport = (setup) => new Http2Transport(setup);

export interface Running {
  readonly transport: RpcTransport;
  readonly listener: MuxListener;
  readonly port: number;
  /** Stops listening and the transport; resolves when every connection is gone. */
  stop(graceMs?: number): Promise<void>;
}

export interface StartOptions {
  readonly table: ServiceTable;
  readonly limits?: Partial<TransportOptions>;
  readonly observer?: TransportObserver;
  readonly tls?: TlsOptions;
  readonly onHttp?: (socket: Socket) => void;
  readonly path?: string;
}

export async function startTransport(make: MakeTransport, options: StartOptions): Promise<Running> {
  const transport = make({
    table: options.table,
    limits: { ...LIMITS, ...options.limits },
    env,
    ...(options.observer === undefined ? {} : { observer: options.observer }),
  });
  const listener = await listen(transport, options);
  return {
    transport,
    listener,
    port: listener.port,
    stop: (graceMs = 0) =>
      new Promise((resolve) => {
        listener.close(() => transport.stop(graceMs, resolve));
      }),
  };
}

function listen(transport: RpcTransport, options: StartOptions): Promise<MuxListener> {
  return new Promise((resolve, reject) => {
    listenMux(
      {
        env,
        listen:
          options.path === undefined ? { host: '127.0.0.1', port: 0 } : { path: options.path },
        transport,
        ...(options.onHttp === undefined ? {} : { onHttp: options.onHttp }),
        ...(options.tls === undefined ? {} : { tls: options.tls }),
      },
      (error, listener) => {
        if (listener === null) reject(error ?? new Error('not listening'));
        else resolve(listener);
      },
    );
  });
}

export function connect(
  target: string,
  options: grpc.ClientOptions = {},
  credentials = grpc.credentials.createInsecure(),
): grpc.Client {
  return new grpc.Client(target, credentials, {
    'grpc.max_receive_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
    ...options,
  });
}

export const identity = (bytes: Buffer): Buffer => bytes;

export interface UnaryResult {
  readonly error: grpc.ServiceError | null;
  readonly reply: Buffer;
}

export function unary(
  client: grpc.Client,
  path: string,
  request: Uint8Array,
  options: { metadata?: grpc.Metadata; deadlineMs?: number } = {},
): Promise<UnaryResult> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      identity,
      identity,
      Buffer.from(request),
      options.metadata ?? new grpc.Metadata(),
      options.deadlineMs === undefined ? {} : { deadline: Date.now() + options.deadlineMs },
      (error, reply) => resolve({ error, reply: reply ?? Buffer.alloc(0) }),
    );
  });
}

/** Resolves when `condition` holds; fails after `withinMs`. */
export async function until(
  condition: () => boolean,
  what: string,
  withinMs = 10_000,
): Promise<void> {
  const giveUp = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > giveUp) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
