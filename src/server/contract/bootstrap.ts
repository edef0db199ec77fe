import type { MemberId } from '../../raft/types.js';

export interface BootstrapMember {
  readonly id: MemberId;
  readonly name: string;
  readonly peerURLs: readonly string[];
}

/** The cluster a member without data forms. */
export interface Bootstrap {
  readonly memberId: MemberId;
  readonly clusterId: bigint;
  readonly members: readonly BootstrapMember[];
}
