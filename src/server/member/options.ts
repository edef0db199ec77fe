import type { Env } from '../../base/env/env.js';
import type { CompactionPace } from '../../mvcc/store.js';
import type { EngineFactory } from '../../storage/engine.js';
import type { MemberId } from '../../raft/types.js';
import type { Logger } from '../../base/observe/logger.js';
import type { Bootstrap } from '../contract/bootstrap.js';
import type { MemberObserver } from '../contract/member-observer.js';
import type { PeerTransport } from '../peer/types.js';

export interface MemberOptions {
  readonly env: Env;
  readonly log: Logger;
  readonly name: string;
  readonly dataDir: string;
  readonly walDir?: string;
  /** Used when the data directory is empty; afterwards the log's own identity counts. */
  readonly bootstrap: Bootstrap | undefined;
  readonly clientUrls: readonly string[];
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly preVote: boolean;
  /** Skips most of the wait for the first election (`--initial-election-tick-advance`). */
  readonly advanceElection: boolean;
  /** Applied entries between two log markers, and entries kept behind the marker for slow followers. */
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  readonly maxRequestBytes: number;
  /** Bytes; Infinity for none. */
  readonly quotaBytes: number;
  readonly segmentBytes: number;
  /** Most bytes of entries in one message to a follower. */
  readonly maxAppendBytes: number;
  readonly noFsync: boolean;
  readonly leaseCheckpoint: boolean;
  /** Log entries to pass over instead of applying them (`--unsafe-skip-entries`). */
  readonly skippedIndexes: ReadonlySet<number>;
  readonly compaction: CompactionPace;
  readonly openEngine: EngineFactory;
  readonly createTransport: (identity: {
    readonly clusterId: bigint;
    readonly memberId: MemberId;
    readonly incarnation: number;
  }) => PeerTransport;
  /** For metrics. */
  readonly observer?: MemberObserver;
  /** Applies that take longer are logged and reported; none if absent. */
  readonly warningApplyMs?: number;
  readonly onRemoved?: () => void;
  /** The cluster has a leader and has recorded this member's name and client URLs. */
  readonly onPublished?: () => void;
}
