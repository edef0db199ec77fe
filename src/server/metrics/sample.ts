/** State of a member at the moment of a scrape. Units: bytes, revisions, log indexes, counts since start. */
export interface MemberSample {
  readonly memberId: bigint;
  readonly hasLeader: boolean;
  readonly isLeader: boolean;
  readonly isLearner: boolean;
  readonly leaderChanges: number;
  readonly committedIndex: number;
  readonly appliedIndex: number;
  readonly proposalsPending: number;
  readonly proposalsFailed: number;
  readonly slowReadIndexes: number;
  readonly readIndexesFailed: number;
  /** A received snapshot is replacing the state. */
  readonly isRestoring: boolean;
  /** 0 when there is no quota. */
  readonly quotaBytes: number;
  readonly dbSizeBytes: number;
  readonly dbSizeInUseBytes: number;
  /** Reads spread over several turns that keep their revision readable. */
  readonly openReads: number;
  /** Undefined until the cluster has decided on one. */
  readonly clusterVersion: string | undefined;
  /** Ids of all members, this one included. */
  readonly members: readonly bigint[];
  readonly currentRevision: number;
  readonly compactRevision: number;
  readonly authRevision: number;
  /** Keys that exist at the current revision. */
  readonly keysTotal: number;
  readonly watchers: number;
  readonly watchStreams: number;
  readonly slowWatchers: number;
  readonly pendingEvents: number;
  readonly eventsSent: number;
  readonly leasesGranted: number;
  readonly leasesRevoked: number;
  readonly leasesRenewed: number;
  readonly leasesExpired: number;
  readonly puts: number;
  readonly deletes: number;
  readonly ranges: number;
  readonly txns: number;
  readonly putBytes: number;
  readonly alarms: readonly { readonly memberId: bigint; readonly type: string }[];
}
