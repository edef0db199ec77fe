import type { MemberSample } from '../../src/server/metrics.js';

/** A follower's state with numbers that can be told apart. */
export function memberSample(): MemberSample {
  return {
    memberId: 0xffn,
    hasLeader: true,
    isLeader: false,
    isLearner: false,
    leaderChanges: 1,
    committedIndex: 42,
    appliedIndex: 41,
    proposalsPending: 2,
    proposalsFailed: 3,
    slowReadIndexes: 4,
    readIndexesFailed: 5,
    quotaBytes: 1000,
    dbSizeBytes: 600,
    dbSizeInUseBytes: 500,
    clusterVersion: '3.6.0',
    currentRevision: 17,
    compactRevision: 11,
    keysTotal: 6,
    watchers: 7,
    watchStreams: 8,
    slowWatchers: 9,
    pendingEvents: 10,
    eventsSent: 11,
    leasesGranted: 12,
    leasesRevoked: 13,
    leasesRenewed: 14,
    alarms: [{ memberId: 0xan, type: 'NOSPACE' }],
  };
}
