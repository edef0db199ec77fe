/** Shared by both transports: how one is built, and the refusals whose texts clients know from grpc-go. */
import type { Socket } from 'node:net';
import type { Env } from '../base/env/env.js';
import { callerHost } from '../base/net/listen-address.js';
import { RpcError, Status } from './service.js';
import type { ServiceTable, TransportObserver, TransportOptions } from './service.js';

/** The part of the environment a transport needs. */
export type TransportEnv = Pick<Env, 'clock' | 'after' | 'defer'>;

export interface TransportSetup {
  readonly table: ServiceTable;
  readonly limits: TransportOptions;
  readonly env: TransportEnv;
  readonly observer?: TransportObserver;
}

export const DEADLINE_EXCEEDED = new RpcError(Status.deadlineExceeded, 'context deadline exceeded');
export const CANCELLED = new RpcError(Status.cancelled, 'context canceled');

/** The refusal of a message of `sizeBytes` where `maxBytes` are allowed. */
export function messageTooLarge(sizeBytes: number, maxBytes: number): RpcError {
  return new RpcError(
    Status.resourceExhausted,
    `grpc: received message larger than max (${sizeBytes} vs. ${maxBytes})`,
  );
}

/**
 * Longest message this side sends, as etcd: its clients refuse lengths above a signed 32-bit
 * integer.
 */
export const MAX_SEND_BYTES = 2 ** 31 - 1;

/** The refusal that takes the place of a unary reply longer than MAX_SEND_BYTES, as grpc-go words it. */
export function replyTooLarge(sizeBytes: number): RpcError {
  return new RpcError(Status.resourceExhausted, `grpc: ${sendTooLarge(sizeBytes)}`);
}

/** The same for a message of a stream. */
export function streamMessageTooLarge(sizeBytes: number): RpcError {
  return new RpcError(Status.resourceExhausted, sendTooLarge(sizeBytes));
}

function sendTooLarge(sizeBytes: number): string {
  return `trying to send message larger than max (${sizeBytes} vs. ${MAX_SEND_BYTES})`;
}

/** The refusal of a reply in parts that are not as long as announced. */
export const BAD_PARTS = new RpcError(Status.internal, 'reply differs from its announced size');

/** The refusal of a method that is known by name and not served. */
export function unknownMethod(service: string, method: string): RpcError {
  return new RpcError(Status.unimplemented, `unknown method ${method} for service ${service}`);
}

/** The services of a table, to distinguish an unknown method from an unknown service. */
export function serviceNames(table: ServiceTable): ReadonlySet<string> {
  const names = new Set<string>();
  for (const path of table.keys()) names.add(path.slice(1, path.lastIndexOf('/')));
  return names;
}

/** The refusal of a path that is not in the table. */
export function unknownPath(path: string, services: ReadonlySet<string>): RpcError {
  const slash = path.lastIndexOf('/');
  if (slash <= 0 || path[0] !== '/') {
    return new RpcError(Status.unimplemented, `malformed method name: ${JSON.stringify(path)}`);
  }
  const service = path.slice(1, slash);
  const method = path.slice(slash + 1);
  return services.has(service)
    ? unknownMethod(service, method)
    : new RpcError(Status.unimplemented, `unknown service ${service}`);
}

/** Remote address as `host:port` (`[host]:port` for IPv6), or the local path of a unix socket. */
export function peerName(socket: Socket): string {
  const host = callerHost(socket);
  if (host !== undefined) {
    return host.includes(':')
      ? `[${host}]:${socket.remotePort ?? 0}`
      : `${host}:${socket.remotePort ?? 0}`;
  }
  return '@';
}
