import { encodeMembersReply, type MemberInfo } from '../../gen/peer.js';
import type { MemberId } from '../../raft/types.js';
import { ETCD_VERSION } from '../../base/flags/version.js';
import { PeerRequest, type ClusterView } from '../contract/roles.js';
import type { PeerRequestTable } from '../peer/requests.js';
import type { Members } from './members.js';

/** The replicated state about the cluster. */
export interface ReplicatedCluster {
  readonly members: Members;
  readonly clusterVersion: string;
}

/** The cluster as this member's state machine holds it. */
export class ReplicatedClusterView implements ClusterView {
  readonly clusterId: bigint;
  readonly memberId: MemberId;
  private readonly state: ReplicatedCluster;

  constructor(clusterId: bigint, memberId: MemberId, state: ReplicatedCluster) {
    this.clusterId = clusterId;
    this.memberId = memberId;
    this.state = state;
  }

  get isLearner(): boolean {
    return this.state.members.get(this.memberId)?.isLearner ?? false;
  }

  get clusterVersion(): string {
    return this.state.clusterVersion;
  }

  members(): readonly MemberInfo[] {
    return this.state.members.list();
  }
}

/** Serves questions about the cluster that other members ask. */
export function registerMembershipRequests(table: PeerRequestTable, cluster: ClusterView): void {
  table.register(PeerRequest.members, (_body, reply) => {
    const { clusterId } = cluster;
    reply(null, encodeMembersReply({ clusterId, members: [...cluster.members()] }));
  });
  table.register(PeerRequest.version, (_body, reply) => reply(null, Buffer.from(ETCD_VERSION)));
}
