import { decodeAuthStatusResponse, encodeAuthStatusRequest } from '../gen/rpc.js';
import type { CallOptions, Caller } from './channel.js';
import { ServiceCalls } from './service-calls.js';

export type AuthClient = ReturnType<typeof authClient>;

/** etcdserverpb.Auth. Each method throws ClientError. */
export function authClient(caller: Caller) {
  const calls = new ServiceCalls(caller, 'etcdserverpb.Auth');
  const status = calls.unary('AuthStatus', encodeAuthStatusRequest, decodeAuthStatusResponse);
  return { status: (options?: CallOptions) => status({}, options) };
}
