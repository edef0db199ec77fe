import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller } from './channel.js';

/** etcdserverpb.Auth. Each method throws ClientError. */
export class AuthClient {
  private readonly caller: Caller;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  async status(options?: CallOptions): Promise<rpc.AuthStatusResponse> {
    const bytes = rpc.encodeAuthStatusRequest({});
    return rpc.decodeAuthStatusResponse(
      await this.caller.unary('/etcdserverpb.Auth/AuthStatus', bytes, options),
    );
  }
}
