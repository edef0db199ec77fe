import { decodeMemberListRequest, encodeMemberListResponse } from '../../gen/rpc.js';
import type { Method, UnaryCall } from '../../rpc/service.js';
import type { Roles } from '../contract/roles.js';

/** etcdserverpb.Cluster, read-only: members cannot be changed at run time in this release. */
export function clusterService({
  headers,
  reads,
  cluster,
}: Pick<Roles, 'headers' | 'reads' | 'cluster'>): [string, Method][] {
  function memberList(request: Uint8Array, call: UnaryCall): void {
    const answer = (): void =>
      call.reply(
        encodeMemberListResponse({
          header: headers.fields(0),
          members: [...cluster.members()],
        }),
      );
    if (!decodeMemberListRequest(request).linearizable) return reads.whenReadable(answer);
    reads.linearizable((error) => {
      if (error === null) answer();
      else call.fail(error);
    });
  }
  return [['/etcdserverpb.Cluster/MemberList', { kind: 'unary', handle: memberList }]];
}
