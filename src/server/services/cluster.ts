import { decodeMemberListRequest, encodeMemberListResponse } from '../../gen/rpc.js';
import type { Method, UnaryCall } from '../../rpc/service.js';
import type { Member } from '../member/member.js';

/** etcdserverpb.Cluster, read-only: members cannot be changed at run time in this release. */
export function clusterService(member: Member): [string, Method][] {
  function memberList(request: Uint8Array, call: UnaryCall): void {
    const answer = (): void =>
      call.reply(
        encodeMemberListResponse({
          header: member.header(0),
          members: member.machine.members.list(),
        }),
      );
    if (!decodeMemberListRequest(request).linearizable) return member.whenReadable(answer);
    member.linearizable((error) => {
      if (error === null) answer();
      else call.fail(error);
    });
  }
  return [['/etcdserverpb.Cluster/MemberList', { kind: 'unary', handle: memberList }]];
}
