import {
  decodeMemberListResponse,
  encodeMemberListRequest,
  type MemberListRequestInit,
} from '../gen/rpc.js';
import type { CallOptions, Caller } from './channel.js';
import { ServiceCalls } from './service-calls.js';

export type ClusterClient = ReturnType<typeof clusterClient>;

/** etcdserverpb.Cluster. Each method throws ClientError. */
export function clusterClient(caller: Caller) {
  const calls = new ServiceCalls(caller, 'etcdserverpb.Cluster');
  const list = calls.unary('MemberList', encodeMemberListRequest, decodeMemberListResponse);
  return {
    memberList: (request: MemberListRequestInit = {}, options?: CallOptions) =>
      list(request, options),
  };
}
