import type { MemberId } from '../../raft/types.js';
import { RawNode } from '../../raft/raw-node.js';
import { initialState } from './initial-state.js';
import * as limits from './limits.js';
import type { MemberOptions } from './options.js';
import type { RecoveredMember } from './recover.js';

/** The consensus core of a member, where its log and image leave off. `incarnation`: random number of this boot. */
export function createNode(
  options: MemberOptions,
  recovered: RecoveredMember,
  memberId: MemberId,
  incarnation: number,
): RawNode {
  const { env } = options;
  return new RawNode(
    {
      id: memberId,
      electionTicks: limits.electionTicks(options),
      heartbeatTicks: 1,
      preVote: options.preVote,
      checkQuorum: true,
      maxAppendBytes: options.maxAppendBytes,
      maxInflightMessages: limits.MAX_INFLIGHT_MESSAGES,
      maxInflightBytes: limits.MAX_INFLIGHT_BYTES,
      maxUncommittedBytes: limits.MAX_UNCOMMITTED_BYTES,
      maxCommittedBytesPerReady: limits.MAX_COMMITTED_BYTES_PER_READY,
      incarnation,
      random: (n) => env.randomU32() % n,
    },
    initialState(recovered.log, recovered.backend),
  );
}
