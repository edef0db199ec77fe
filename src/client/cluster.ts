import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller } from './channel.js';

/** etcdserverpb.Cluster. Each method throws ClientError. */
export class ClusterClient {
  private readonly caller: Caller;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  async memberList(
    request: rpc.MemberListRequestInit = {},
    options?: CallOptions,
  ): Promise<rpc.MemberListResponse> {
    const bytes = rpc.encodeMemberListRequest(request);
    return rpc.decodeMemberListResponse(
      await this.caller.unary('/etcdserverpb.Cluster/MemberList', bytes, options),
    );
  }
}
