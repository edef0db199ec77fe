import type { Env } from '../../base/env/env.js';
import { SlicedWork } from '../../base/slices/sliced-work.js';
import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import type { RawNode } from '../../raft/raw-node.js';
import type { MemberId } from '../../raft/types.js';
import type { Backend } from '../../storage/backend.js';
import type { Wal } from '../../wal/wal.js';
import { WatchHub } from '../../watch/hub.js';
import { StateMachine } from '../apply/state-machine.js';
import { HeaderEncoder } from '../contract/header.js';
import type { MemberOptions } from './options.js';
import type { Roles } from '../contract/roles.js';
import { registerLeaseRequests } from '../lease/requests.js';
import { LeaseRevoker } from '../lease/revoker.js';
import { registerMembershipRequests, ReplicatedClusterView } from '../membership/view.js';
import { PeerList } from '../peer/peer-list.js';
import { PeerRequestTable } from '../peer/requests.js';
import type { PeerTransport } from '../peer/types.js';
import type { SnapshotKeeper } from '../snapshot/keeper.js';
import { createSnapshots } from '../snapshot/snapshots.js';
import { loadReplicatedLists } from '../snapshot/load.js';
import { QuotaGate } from '../upkeep/quota-gate.js';
import { EntryApplier } from './applier.js';
import { RaftDriver, type DriverEvents } from './driver.js';
import { handOver } from './hand-over.js';
import { LeadershipTracker } from './leadership.js';
import { reportLateHeartbeat } from './late-heartbeat.js';
import * as limits from './limits.js';
import { createNode } from './node.js';
import { peerHandler } from './peer-handler.js';
import { ProposalGate } from './proposal-gate.js';
import { ProposalQueue } from './proposal-queue.js';
import { Publisher } from './publisher.js';
import { ReadGate } from './read-gate.js';
import { ReadIndex } from './read-index.js';
import { recover, type RecoveredMember } from './recover.js';
import { SlowApplyLog } from './slow-apply.js';

/**
 * One member of a cluster: assembles consensus core, log, state machine, peers and leases into a running whole, and
 * starts and stops it. Services see it as Roles.
 *
 * It does no networking with clients of its own. Everything non-deterministic reaches it through `env`, the engine
 * factory and the peer transport, so that the simulator runs this very class.
 */
export class Member {
  readonly env: Env;
  readonly memberId: MemberId;
  readonly clusterId: bigint;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  readonly machine: StateMachine;
  readonly transport: PeerTransport;
  readonly wal: Wal;
  readonly node: RawNode;
  readonly leadership: LeadershipTracker;
  readonly queue: ProposalQueue;
  readonly readIndex: ReadIndex;
  readonly revoker: LeaseRevoker;
  readonly quota: QuotaGate;
  readonly roles: Roles;

  private readonly options: MemberOptions;
  private readonly reads: ReadGate;
  private readonly proposals: ProposalGate;
  private readonly applier: EntryApplier;
  private readonly driver: RaftDriver;
  private readonly publisher: Publisher;
  private readonly snapshots: SnapshotKeeper;
  private readonly peers: PeerList;
  private readonly requests = new PeerRequestTable();
  private isStopping = false;

  /** Opens or creates the member's state. `done` gets an error with cause and next step when it cannot start. */
  static open(
    options: MemberOptions,
    done: (error: Error | null, member: Member | null) => void,
  ): void {
    recover(options, (error, recovered) => {
      if (recovered === null) return done(error, null);
      const member = new Member(options, recovered);
      loadReplicatedLists(member.machine, recovered.backend, (listError) => {
        if (listError === null) done(null, member);
        else recovered.backend.close(() => done(listError, null));
      });
    });
  }

  private constructor(options: MemberOptions, recovered: RecoveredMember) {
    const { identity, wal, store, lessor } = recovered;
    const { env, log, observer, electionMs, quotaBytes } = options;
    const { clusterId, memberId } = identity;
    this.options = options;
    this.env = env;
    this.memberId = memberId;
    this.clusterId = clusterId;
    this.store = store;
    this.lessor = lessor;
    this.wal = wal;
    const incarnation = env.randomU32();
    this.node = createNode(options, recovered, memberId, incarnation);
    this.transport = options.createTransport({ clusterId, memberId, incarnation });
    this.hub = new WatchHub({ env, source: store });
    const headers = new HeaderEncoder({
      clusterId,
      memberId,
      revision: () => store.currentRevision,
      term: () => this.node.term,
    });
    const { hub } = this;
    const onLeaseGranted = (ttl: number): void => observer?.leaseGranted(ttl);
    this.machine = new StateMachine({ store, lessor, hub, headers, onLeaseGranted });
    const { alarms, members } = this.machine;
    this.peers = new PeerList(members, memberId, this.transport);
    const cluster = new ReplicatedClusterView(clusterId, memberId, this.machine);
    const timeoutMs = limits.requestTimeoutMs(electionMs);
    this.queue = new ProposalQueue(env, timeoutMs);
    this.readIndex = new ReadIndex(env, timeoutMs);
    this.leadership = new LeadershipTracker({
      env,
      log,
      memberId,
      node: this.node,
      lessor,
      electionMs,
      onLead: () => this.publisher.decideClusterVersion(),
    });
    const { node, transport, machine } = this;
    const shared = { env, log, observer, wal, node, transport, store, lessor, hub, machine };
    const onMembersChanged = this.peers.publish;
    this.applier = new EntryApplier({
      ...shared,
      queue: this.queue,
      skippedIndexes: options.skippedIndexes,
      slow: new SlowApplyLog(options),
      onMembersChanged,
    });
    this.driver = new RaftDriver({
      ...shared,
      proposals: this.queue,
      reads: this.readIndex,
      applier: this.applier,
      events: this.events,
      tickMs: options.heartbeatMs,
      advanceTicks: options.advanceElection ? limits.advanceTicks(options) : 0,
    });
    const usedBytes = (): number => store.backend.sizeBytes();
    this.quota = new QuotaGate({ log, memberId, quotaBytes, usedBytes, alarms });
    this.proposals = new ProposalGate({
      queue: this.queue,
      driver: this.driver,
      quota: this.quota,
      timeoutMs,
      maxRequestBytes: options.maxRequestBytes,
      maxQueuedBytes: limits.MAX_UNCOMMITTED_BYTES,
    });
    this.reads = new ReadGate(store, new SlicedWork(env), (done) => this.driver.linearizable(done));
    this.roles = {
      env,
      headers,
      proposals: this.proposals,
      reads: this.reads,
      leadership: this.leadership,
      cluster,
      alarms,
      quota: this.quota,
      peers: this.transport,
      lessor,
      hub,
    };
    this.publisher = new Publisher({
      env,
      log,
      memberId,
      name: options.name,
      clientUrls: options.clientUrls,
      proposals: this.proposals,
      leadership: this.leadership,
      cluster,
      onPublished: options.onPublished,
    });
    this.revoker = new LeaseRevoker(this.roles, { checkpoint: options.leaseCheckpoint });
    this.snapshots = createSnapshots({
      ...shared,
      dirs: recovered.dirs,
      openEngine: options.openEngine,
      snapshotCount: options.snapshotCount,
      snapshotCatchupEntries: options.snapshotCatchupEntries,
      reads: this.reads,
      installed: (meta) => this.driver.snapshotInstalled(meta),
      onMembersChanged,
    });
    registerMembershipRequests(this.requests, cluster);
    registerLeaseRequests(this.requests, this.roles);
  }

  private readonly events: DriverEvents = {
    onSoftState: (state) => this.leadership.onSoftState(state),
    onSnapshot: (meta) => this.snapshots.install(meta),
    onSendSnapshot: (m) => this.snapshots.send(m),
    onApplied: (index, bytes) => this.snapshots.onApplied(index, bytes),
    onLateHeartbeat: (lateMs) => {
      if (this.leadership.isLeader) reportLateHeartbeat(this.options, this.peers.size, lateMs);
    },
  };

  /** Begins to accept peers and to take part. */
  start(done: (error: Error | null) => void): void {
    const handler = peerHandler({
      log: this.options.log,
      node: this.node,
      driver: this.driver,
      snapshots: this.snapshots,
      requests: this.requests,
      memberId: this.memberId,
      onRemoved: this.options.onRemoved,
    });
    this.transport.start(handler, (error) => {
      if (error !== null) return done(error);
      this.peers.publish();
      this.driver.start();
      this.revoker.start();
      this.publisher.publishAttributes();
      done(null);
    });
  }

  /** Hands leadership over if a member can take it, then closes everything in order. */
  stop(done: () => void): void {
    if (this.isStopping) return done();
    this.isStopping = true;
    this.proposals.stop();
    this.reads.stop();
    this.publisher.stop();
    this.hub.close();
    const { env, node, driver, memberId } = this;
    const { log, electionMs, heartbeatMs } = this.options;
    handOver({ env, log, node, driver, memberId, electionMs, heartbeatMs }, () =>
      this.closeAll(done),
    );
  }

  private closeAll(done: () => void): void {
    this.revoker.stop();
    this.driver.stop();
    this.applier.stop();
    this.transport.close(() => {
      this.snapshots.stop(() => {
        this.wal.close(() => {
          const { backend } = this.store;
          backend.flush();
          backend.sync(() => backend.close(() => done()));
        });
      });
    });
  }

  get backend(): Backend {
    return this.store.backend;
  }

  /** A received image is replacing the state. */
  get isRestoring(): boolean {
    return this.reads.isClosed;
  }
}
