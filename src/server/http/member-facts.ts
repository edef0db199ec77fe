import type { Key } from '../../base/collections/interval.js';
import { alarmName, AlarmType } from '../upkeep/alarms.js';
import type { Member } from '../member/member.js';
import type { MemberSample } from '../metrics/sample.js';
import { DISABLED_REVISION } from '../services/auth.js';
import type { RaftStatus } from '../../raft/types.js';
import type { HealthFacts } from './health.js';
import type { ClusterFacts, HttpMember } from './listeners.js';

/** No key sorts before this one: keys are not empty. */
const FIRST_KEY: Key = '\0';

/** A member as its HTTP side sees it. */
export class MemberFacts implements HealthFacts, ClusterFacts {
  private readonly member: Member;

  constructor(member: Member) {
    this.member = member;
  }

  get hasLeader(): boolean {
    return this.member.leadership.leaderId !== 0n;
  }

  get isLearner(): boolean {
    return this.member.roles.cluster.isLearner;
  }

  get alarms(): readonly string[] {
    return this.raised().map((alarm) => alarm.type);
  }

  get clusterId(): bigint {
    return this.member.clusterId;
  }

  get clusterVersion(): string | undefined {
    const version = this.member.machine.clusterVersion;
    return version === '' ? undefined : version;
  }

  get members(): readonly HttpMember[] {
    return this.member.machine.members.list().map((info) => ({
      id: info.ID,
      name: info.name,
      peerUrls: info.peerURLs,
      clientUrls: info.clientURLs,
      isLearner: info.isLearner,
    }));
  }

  raftStatus(): RaftStatus {
    return this.member.node.status();
  }

  read(isLinearizable: boolean, done: (error: Error | null) => void): void {
    if (isLinearizable)
      this.member.roles.reads.linearizable((error) =>
        error === null ? this.readOne(done) : done(error),
      );
    else this.member.roles.reads.whenReadable(() => this.readOne(done));
  }

  /** For a scrape of the metrics. */
  sample(): MemberSample {
    const { member } = this;
    const { store, hub, lessor } = member;
    const { leadership, queue, readIndex, quota } = member;
    return {
      memberId: member.memberId,
      hasLeader: this.hasLeader,
      isLeader: leadership.isLeader,
      isLearner: this.isLearner,
      leaderChanges: leadership.changes,
      committedIndex: leadership.committedIndex,
      appliedIndex: leadership.appliedIndex,
      proposalsPending: queue.pending,
      proposalsFailed: queue.failed,
      slowReadIndexes: readIndex.slow,
      readIndexesFailed: readIndex.failed,
      quotaBytes: Number.isFinite(quota.quotaBytes) ? quota.quotaBytes : 0,
      dbSizeBytes: member.backend.sizeBytes(),
      dbSizeInUseBytes: member.backend.sizeInUseBytes(),
      openReads: store.openReads,
      isRestoring: member.isRestoring,
      clusterVersion: this.clusterVersion,
      members: this.members.map((info) => info.id),
      authRevision: DISABLED_REVISION,
      currentRevision: store.currentRevision,
      compactRevision: store.compactRevision,
      keysTotal: store.liveKeys,
      watchers: hub.watcherCount,
      watchStreams: hub.streamCount,
      slowWatchers: hub.slowWatcherCount,
      pendingEvents: hub.pendingEventCount,
      eventsSent: hub.eventsSent,
      leasesGranted: lessor.grantedTotal,
      leasesRevoked: lessor.revokedTotal,
      leasesRenewed: lessor.renewedTotal,
      leasesExpired: member.revoker.expiredTotal,
      ...member.machine.counts,
      alarms: this.raised(),
    };
  }

  private readOne(done: (error: Error | null) => void): void {
    const { store } = this.member;
    try {
      const [first] = store.list({ start: FIRST_KEY, end: null }, store.currentRevision, 1);
      if (first !== undefined) store.row(first.modRevision, first.sub);
      done(null);
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private raised(): { readonly memberId: bigint; readonly type: string }[] {
    return this.member.machine.alarms.list(AlarmType.none).map(({ memberID, alarm }) => ({
      memberId: memberID,
      type: alarmName(alarm),
    }));
  }
}
