import type { LogFields } from '../../base/observe/logger.js';
import { Role } from '../../raft/types.js';
import type { RaftStatus } from '../../raft/types.js';

/** Parts of a member that a state report reads. */
export interface ReportedMember {
  readonly memberId: bigint;
  readonly node: { status(): RaftStatus };
  readonly queue: { readonly pending: number; readonly failed: number };
  readonly readIndex: { readonly slow: number; readonly failed: number };
  readonly store: { readonly currentRevision: number; readonly compactRevision: number };
  readonly hub: {
    readonly watcherCount: number;
    readonly streamCount: number;
    readonly slowWatcherCount: number;
    readonly pendingEventCount: number;
  };
}

const ROLE_NAMES: Readonly<Record<Role, string>> = {
  [Role.follower]: 'follower',
  [Role.preCandidate]: 'pre-candidate',
  [Role.candidate]: 'candidate',
  [Role.leader]: 'leader',
};

/** State of a member, for a person who looks for the cause of a wait. */
export function stateReport(member: ReportedMember): LogFields {
  const raft = member.node.status();
  const { store, hub, queue, readIndex } = member;
  return {
    'member-id': member.memberId,
    role: ROLE_NAMES[raft.role],
    leader: raft.leader,
    term: raft.hardState.term,
    'commit-index': raft.hardState.commit,
    'applied-index': raft.applied,
    'durable-index': raft.stable,
    'last-index': raft.lastIndex,
    'first-index': raft.compactedIndex + 1,
    'peer-progress': [...raft.progress].map(([id, { match, next }]) => ({ id, match, next })),
    'proposals-pending': queue.pending,
    'proposals-failed': queue.failed,
    'reads-slow': readIndex.slow,
    'reads-failed': readIndex.failed,
    revision: store.currentRevision,
    'compact-revision': store.compactRevision,
    watchers: hub.watcherCount,
    'watch-streams': hub.streamCount,
    'slow-watchers': hub.slowWatcherCount,
    'events-pending': hub.pendingEventCount,
  };
}
