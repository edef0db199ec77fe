import type { Env } from '../../base/env/env.js';
import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import type { WatchHub } from '../../watch/hub.js';
import type { MemberId } from '../../raft/types.js';
import type { RpcError } from '../../rpc/service.js';
import type { PeerRequest } from '../peer/types.js';
import type { SlicedWork } from '../../base/slices/sliced-work.js';

/** The command in a log entry; the numbers are on disk and on the wire (docs/DATA.md). */
export const CommandKind = {
  put: 1,
  deleteRange: 2,
  txn: 3,
  compact: 4,
  leaseGrant: 5,
  leaseRevoke: 6,
  leaseCheckpoint: 7,
  alarm: 8,
  /** A member publishes its name and client URLs. */
  memberAttributes: 9,
  clusterVersion: 10,
  /** A leader ends a lease whose time is up. Body: the term it led in (u64, big-endian), then a LeaseRevokeRequest. */
  leaseExpire: 11,
} as const;
export type CommandKind = (typeof CommandKind)[keyof typeof CommandKind];

/** One of the two is null. `reply` is the encoded response message, header included. */
export type ReplyCallback = (error: RpcError | null, reply: Uint8Array | null) => void;

/** What a response header says, for paths that are not hot. */
export interface HeaderFields {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: number;
  readonly raftTerm: number;
}

/** A member as its services see it: the only way from a request into consensus and state. */
export interface MemberApi {
  readonly env: Env;
  readonly memberId: MemberId;
  readonly clusterId: bigint;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  /** Where work goes that may take longer than a moment. */
  readonly slices: SlicedWork;
  /** Election timeout in ms, the unit of several client-visible waits. */
  readonly electionMs: number;
  /** 5 s + 2 x election timeout: how long any proposal or linearizable read may take. */
  readonly requestTimeoutMs: number;
  readonly isLeader: boolean;
  readonly isLearner: boolean;
  /** 0n when unknown. */
  readonly leaderId: MemberId;
  readonly term: number;
  readonly committedIndex: number;
  readonly appliedIndex: number;
  /** Monotonic ms since when this member has had no leader; undefined while it has one. */
  readonly leaderlessSinceMs: number | undefined;

  header(revision?: number): HeaderFields;
  /**
   * The encoded `ResponseHeader header = 1` field (tag, length, content) every response begins with.
   * Cached per (revision, term): treat as read-only.
   */
  headerField(revision: number): Uint8Array;
  /**
   * Replicates one command whose body is the client's request bytes, unchanged. Enforces the size and backlog
   * limits and the request timeout; `done` runs exactly once, after the command is applied here or refused.
   */
  propose(kind: CommandKind, request: Uint8Array, done: ReplyCallback): void;
  /** Runs `done(null)` when a read started now may be served from local state as linearizable. */
  linearizable(done: (error: RpcError | null) => void): void;
  /** Runs `done` when local state may be read: at once, except while a received snapshot replaces it. */
  whenReadable(done: () => void): void;
  /** Asks another member; the leader's own requests do not pass here. */
  peerRequest(
    to: MemberId,
    kind: PeerRequest,
    body: Uint8Array,
    timeoutMs: number,
    done: (error: Error | null, reply: Uint8Array | null) => void,
  ): void;
}
