import type { Env } from '../../base/env/env.js';
import type { SlicedWork } from '../../base/slices/sliced-work.js';
import type { MemberInfo } from '../../gen/peer.js';
import type { AlarmMember } from '../../gen/rpc.js';
import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import type { MemberId } from '../../raft/types.js';
import type { RpcError, UnaryCall } from '../../rpc/service.js';
import type { WatchHub } from '../../watch/hub.js';
import type { CommandKind } from './command.js';

/**
 * A member as the rest of the server sees it, cut into roles. A service names the roles it needs, as
 * `Pick<Roles, 'reads' | 'headers'>`, and never the member itself.
 */
export interface Roles {
  readonly env: Env;
  readonly headers: Headers;
  readonly proposals: Proposals;
  readonly reads: Reads;
  readonly leadership: Leadership;
  readonly cluster: ClusterView;
  readonly alarms: AlarmView;
  readonly quota: QuotaView;
  readonly peers: PeerCalls;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
}

/**
 * A response that is still to be read, at the revision that its command made. That revision stays pinned until the
 * answer is complete or the call is cancelled, so `answer` is called, and once.
 */
export interface DeferredReply {
  /** Answers the call, now or in slices over later turns. */
  answer(slices: SlicedWork, call: UnaryCall): void;
}

/** A response with its header: encoded, or, where a transaction or deletion returns rows, still to be read. */
export type Reply = Uint8Array | DeferredReply;

/** One of the two is null. */
export type ReplyCallback = (error: RpcError | null, reply: Reply | null) => void;

/** The content of a response header, for paths that are not hot. */
export interface HeaderFields {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: number;
  readonly raftTerm: number;
}

/** Response headers, at the store's current revision if none is given. */
export interface Headers {
  fields(revision?: number): HeaderFields;
  /**
   * The encoded `ResponseHeader header = 1` field (tag, length, content) every response begins with.
   * Cached per (revision, term): treat as read-only. A revision of 0 is left out.
   */
  field(revision: number): Uint8Array;
}

/** The way into the log. */
export interface Proposals {
  /** 5 s + 2 election timeouts, in ms: the longest time a proposal or linearizable read takes. */
  readonly timeoutMs: number;
  /**
   * Replicates one command whose body is the client's request bytes, unchanged. Enforces the limits of size, backlog
   * and quota and the timeout; `done` runs exactly once, after the command is applied here or refused.
   */
  propose(kind: CommandKind, request: Uint8Array, done: ReplyCallback): void;
}

/** The state to read from, and when it may be read. */
export interface Reads {
  readonly store: Store;
  /** Scheduler of work that may take longer than a moment. */
  readonly slices: SlicedWork;
  /** Runs `done(null)` when a read started now may be served from local state as linearizable. */
  linearizable(done: (error: RpcError | null) => void): void;
  /** Runs `done` when local state may be read: at once, except while a received image replaces it. */
  whenReadable(done: () => void): void;
}

/** The leader in this member's view. */
export interface Leadership {
  readonly isLeader: boolean;
  /** NONE (0n) when unknown. */
  readonly leaderId: MemberId;
  readonly term: number;
  readonly committedIndex: number;
  readonly appliedIndex: number;
  /** Election timeout in ms, the unit of several client-visible waits. */
  readonly electionMs: number;
  /** Monotonic ms since when this member has had no leader; undefined while it has one. */
  readonly leaderlessSinceMs: number | undefined;
}

/** The cluster as the applied log describes it. */
export interface ClusterView {
  readonly clusterId: bigint;
  readonly memberId: MemberId;
  readonly isLearner: boolean;
  /** Empty until the first leader recorded one. */
  readonly clusterVersion: string;
  /** Ascending by id. */
  members(): readonly MemberInfo[];
}

export interface AlarmView {
  /** Alarms of one type (AlarmType), or all for type 0. */
  list(type: number): readonly AlarmMember[];
}

export interface QuotaView {
  /** Infinity for none. */
  readonly quotaBytes: number;
}

/** Kinds of requests between members; the numbers are on the wire. */
export const PeerRequest = {
  /** Body and reply: list of members (see proto/peer.proto); served before the member has a leader. */
  members: 1,
  /** Body: LeaseKeepAliveRequest; reply: LeaseKeepAliveResponse without header. Leader only. */
  leaseKeepAlive: 2,
  /** Body: LeaseTimeToLiveRequest; reply: LeaseTimeToLiveResponse without header. Leader only. */
  leaseTimeToLive: 3,
  /** Body: empty; reply: server version text. */
  version: 4,
} as const;
export type PeerRequest = (typeof PeerRequest)[keyof typeof PeerRequest];

/** Requests to other members. */
export interface PeerCalls {
  request(
    to: MemberId,
    kind: PeerRequest,
    body: Uint8Array,
    timeoutMs: number,
    done: (error: Error | null, reply: Uint8Array | null) => void,
  ): void;
}
