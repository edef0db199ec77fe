import type { Env, Timer } from '../../base/env/env.js';
import {
  decodeConfChangeEntry,
  encodeClusterVersionCommand,
  encodeConfStateRecord,
  encodeMemberAttributesCommand,
  encodeMembersReply,
} from '../../gen/peer.js';
import { encodeAlarmRequest } from '../../gen/rpc.js';
import { Backend, Bucket } from '../../storage/backend.js';
import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import type { Engine } from '../../storage/engine.js';
import { WatchHub } from '../../watch/hub.js';
import { RawNode } from '../../raft/raw-node.js';
import {
  NONE,
  Role,
  type ConfChange,
  type ConfChangeType,
  type ConfState,
  type Entry,
  type MemberId,
  type Message,
  type RaftStatus,
  type SoftState,
} from '../../raft/types.js';
import type { RpcError } from '../../rpc/service.js';
import type { Wal } from '../../wal/wal.js';
import { AlarmType } from '../upkeep/alarms.js';
import { StateMachine } from '../apply/state-machine.js';
import { errors } from '../contract/errors.js';
import { HeaderEncoder } from '../contract/header.js';
import type { Logger } from '../../base/observe/logger.js';
import {
  CommandKind,
  type HeaderFields,
  type MemberApi,
  type ReplyCallback,
} from '../contract/member-api.js';
import {
  PeerRequest,
  type PeerHandler,
  type PeerTransport,
  type SnapshotSink,
} from '../peer/types.js';
import type { MemberOptions } from '../contract/member-options.js';
import { ENVELOPE_BYTES, Proposals } from './proposals.js';
import { initialState, loadBucket, loadLeases, recover, type RecoveredMember } from './recover.js';
import { addedBytes, mostAddedBytes } from '../upkeep/quota.js';
import { RaftDriver, type Applier, type DriverEvents } from './driver.js';
import { ReadIndex } from './read-index.js';
import { LeaseRevoker } from '../lease/revoker.js';
import { handleLeasePeerRequest } from '../services/lease.js';
import { SlicedWork } from '../../base/slices/sliced-work.js';
import { SnapshotKeeper } from '../snapshot/keeper.js';
import { ETCD_CLUSTER_VERSION, ETCD_VERSION } from '../../base/flags/version.js';

/**
 * One member of a cluster: opens what is on disk, joins consensus core, log, state machine, peers and leases into a
 * running whole, and offers it to the services as a MemberApi.
 *
 * It does no networking with clients of its own, and everything non-deterministic reaches it through `env`, the engine
 * factory and the peer transport, so that the simulator runs this very class.
 */

const REQUEST_TIMEOUT_BASE_MS = 5000;
const MAX_INFLIGHT_MESSAGES = 512;
const MAX_INFLIGHT_BYTES = 64 * 1024 * 1024;
const MAX_UNCOMMITTED_BYTES = 256 * 1024 * 1024;
const MAX_COMMITTED_BYTES_PER_READY = 1024 * 1024;
const PUBLISH_RETRY_MS = 1000;
/** How long an applied change may wait for others before the backend gets them, and for how many bytes. */
const FLUSH_DELAY_MS = 5;
const FLUSH_BYTES = 128 * 1024;
const HEARD_WITHIN_TICKS = 3;

export class Member implements MemberApi {
  readonly env: Env;
  readonly memberId: MemberId;
  readonly clusterId: bigint;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  readonly slices: SlicedWork;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
  readonly machine: StateMachine;
  readonly transport: PeerTransport;
  readonly wal: Wal;
  readonly node: RawNode;
  leaderChanges = 0;

  private readonly options: MemberOptions;
  private readonly log: Logger;
  private backendNow: Backend;
  private readonly headerEncoder: HeaderEncoder;
  private readonly proposals: Proposals;
  private readonly reads: ReadIndex;
  private readonly driver: RaftDriver;
  private readonly revoker: LeaseRevoker;
  private readonly snapshots: SnapshotKeeper;
  private leaderlessSince: number | undefined;
  /** The alarm about the quota is on its way. */
  private raisingNoSpace = false;
  private lastLeader: MemberId = NONE;
  private lastTermApplied = 0;
  private stopping = false;
  private flushTimer: Timer | null = null;
  private whenLed: (() => void)[] = [];
  /** True while a received image replaces the state: nothing may be read then. */
  private restoring = false;
  private afterRestore: (() => void)[] = [];

  /** Opens or creates the member's state. `done` gets an error with cause and next step when it cannot start. */
  static open(
    options: MemberOptions,
    done: (error: Error | null, member: Member | null) => void,
  ): void {
    recover(options, (error, recovered) => {
      if (recovered === null) return done(error, null);
      const member = new Member(options, recovered);
      member.loadReplicatedLists((listError) => {
        if (listError === null) done(null, member);
        else recovered.backend.close(() => done(listError, null));
      });
    });
  }

  private constructor(options: MemberOptions, recovered: RecoveredMember) {
    const { identity, dirs, wal, log, backend, store, lessor } = recovered;
    const { env } = options;
    this.options = options;
    this.env = env;
    this.log = options.log;
    this.memberId = identity.memberId;
    this.clusterId = identity.clusterId;
    this.store = store;
    this.lessor = lessor;
    this.backendNow = backend;
    this.wal = wal;
    this.electionMs = options.electionMs;
    this.requestTimeoutMs = REQUEST_TIMEOUT_BASE_MS + 2 * options.electionMs;
    this.leaderlessSince = env.clock.monoMs();
    this.hub = new WatchHub({ env, source: store });
    this.slices = new SlicedWork(env);
    this.headerEncoder = new HeaderEncoder(this.clusterId, this.memberId);
    this.machine = new StateMachine({
      backend,
      store,
      lessor,
      hub: this.hub,
      header: this.headerEncoder,
    });
    const incarnation = env.randomU32();
    this.node = new RawNode(
      {
        id: this.memberId,
        electionTicks: Math.max(1, Math.round(options.electionMs / options.heartbeatMs)),
        heartbeatTicks: 1,
        preVote: options.preVote,
        checkQuorum: true,
        maxAppendBytes: options.maxAppendBytes,
        maxInflightMessages: MAX_INFLIGHT_MESSAGES,
        maxInflightBytes: MAX_INFLIGHT_BYTES,
        maxUncommittedBytes: MAX_UNCOMMITTED_BYTES,
        maxCommittedBytesPerReady: MAX_COMMITTED_BYTES_PER_READY,
        incarnation,
        random: (n) => env.randomU32() % n,
      },
      initialState(log, backend),
    );
    this.transport = options.createTransport({
      clusterId: this.clusterId,
      memberId: this.memberId,
      incarnation,
    });
    this.proposals = new Proposals(env, this.requestTimeoutMs);
    this.reads = new ReadIndex(env, this.requestTimeoutMs);
    this.driver = new RaftDriver({
      env,
      node: this.node,
      wal,
      transport: this.transport,
      proposals: this.proposals,
      reads: this.reads,
      applier: this.applier,
      events: this.events,
      tickMs: options.heartbeatMs,
      slowApplyMs: options.warningApplyMs ?? Infinity,
      // Time enough is left to hear from a leader that exists.
      advanceTicks: options.advanceElection
        ? Math.max(0, Math.round(options.electionMs / options.heartbeatMs) - HEARD_WITHIN_TICKS)
        : 0,
    });
    this.revoker = new LeaseRevoker(this, { checkpoint: options.leaseCheckpoint });
    this.snapshots = new SnapshotKeeper({
      env,
      log: this.log,
      dirs,
      wal,
      node: this.node,
      transport: this.transport,
      openEngine: options.openEngine,
      snapshotCount: options.snapshotCount,
      catchupEntries: options.snapshotCatchupEntries,
      backend: () => this.backendNow,
      install: (engine, done) => this.installImage(engine, done),
      installed: (meta) => this.driver.snapshotInstalled(meta),
      onSent: options.onSnapshotSent,
      onReceived: options.onSnapshotReceived,
    });
  }

  private loadReplicatedLists(done: (error: Error | null) => void): void {
    const { machine, backendNow: backend } = this;
    machine.alarms.clear();
    machine.members.clear();
    machine.loadClusterVersion();
    loadBucket(
      backend,
      Bucket.alarm,
      (key) => machine.alarms.load(key),
      (alarmError) => {
        if (alarmError !== null) return done(alarmError);
        loadBucket(
          backend,
          Bucket.members,
          (_key, value) => machine.members.load(value),
          (memberError) => {
            if (memberError !== null) return done(memberError);
            loadBucket(
              backend,
              Bucket.membersRemoved,
              (key) => machine.members.loadRemoved(key),
              done,
            );
          },
        );
      },
    );
  }

  /** Starts listening to peers and taking part. `done` reports a peer port that cannot be used. */
  start(done: (error: Error | null) => void): void {
    this.transport.start(this.peerHandler, (error) => {
      if (error !== null) return done(error);
      this.updatePeers();
      this.driver.start();
      this.revoker.start();
      this.publish();
      done(null);
    });
  }

  /** Runs `callback` once this member knows a leader. */
  onceLed(callback: () => void): void {
    if (this.node.leader !== NONE) callback();
    else this.whenLed.push(callback);
  }

  /** Hands leadership over if there is somebody to take it, then closes everything in order. */
  stop(done: () => void): void {
    if (this.stopping) return done();
    this.stopping = true;
    this.hub.close();
    this.handOver(() => {
      this.revoker.stop();
      this.driver.stop();
      this.transport.close(() => {
        this.wal.close(() => {
          this.backendNow.flush();
          this.backendNow.sync(() => this.backendNow.close(() => done()));
        });
      });
    });
  }

  private handOver(done: () => void): void {
    const heir = this.node.role === Role.leader ? this.mostCaughtUpVoter() : undefined;
    if (heir === undefined) return done();
    const deadline = this.env.clock.monoMs() + this.electionMs;
    this.log.info('handing leadership over before stopping', { to: heir });
    this.node.transferLeader(heir);
    this.driver.schedule();
    const poll = (): void => {
      if (this.node.role !== Role.leader || this.env.clock.monoMs() >= deadline) done();
      else this.env.after(this.options.heartbeatMs / 10, poll);
    };
    poll();
  }

  private mostCaughtUpVoter(): MemberId | undefined {
    let best: MemberId | undefined;
    let bestMatch = -1;
    for (const [id, p] of this.node.status().progress) {
      if (id === this.memberId || p.isLearner || !p.recentActive || p.match <= bestMatch) continue;
      best = id;
      bestMatch = p.match;
    }
    return best;
  }

  // ---- MemberApi ----

  get isLeader(): boolean {
    return this.node.role === Role.leader;
  }

  get isLearner(): boolean {
    return this.machine.members.get(this.memberId)?.isLearner ?? false;
  }

  get leaderId(): MemberId {
    return this.node.leader;
  }

  get term(): number {
    return this.node.term;
  }

  get committedIndex(): number {
    return this.node.commitIndex;
  }

  get appliedIndex(): number {
    return this.node.appliedIndex;
  }

  get leaderlessSinceMs(): number | undefined {
    return this.leaderlessSince;
  }

  get backend(): Backend {
    return this.backendNow;
  }

  get quotaBytes(): number {
    return this.options.quotaBytes;
  }

  get proposalStats(): { readonly pending: number; readonly failed: number } {
    return { pending: this.proposals.pending, failed: this.proposals.failed };
  }

  /** Leases this member proposed to revoke because their time was up. */
  get leasesExpired(): number {
    return this.revoker.expiredTotal;
  }

  get readStats(): { readonly slow: number; readonly failed: number } {
    return { slow: this.reads.slow, failed: this.reads.failed };
  }

  raftStatus(): RaftStatus {
    return this.node.status();
  }

  header(revision: number = this.store.currentRevision): HeaderFields {
    return {
      clusterId: this.clusterId,
      memberId: this.memberId,
      revision,
      raftTerm: this.node.term,
    };
  }

  headerField(revision: number): Uint8Array {
    return this.headerEncoder.field(revision, this.node.term);
  }

  propose(kind: CommandKind, request: Uint8Array, done: ReplyCallback): void {
    if (this.stopping) return done(errors.stopped, null);
    if (request.length + ENVELOPE_BYTES > this.options.maxRequestBytes) {
      return done(errors.requestTooLarge, null);
    }
    if (this.driver.overloaded || this.proposals.bytesQueued > MAX_UNCOMMITTED_BYTES) {
      return done(errors.tooManyRequests, null);
    }
    if (this.isOverQuota(kind, request)) {
      this.raiseNoSpace();
      return done(errors.noSpace, null);
    }
    this.proposals.add(kind, request, done);
    this.driver.schedule();
  }

  private isOverQuota(kind: CommandKind, request: Uint8Array): boolean {
    const most = mostAddedBytes(kind, request.length);
    const room = this.options.quotaBytes - this.backendNow.sizeBytes();
    if (most === 0 || most < room) return false;
    const added = addedBytes(kind, request);
    return added > 0 && added >= room;
  }

  private raiseNoSpace(): void {
    if (this.machine.alarms.noSpace || this.raisingNoSpace) return;
    this.raisingNoSpace = true;
    this.log.warn('the backend is over its quota: raising the NOSPACE alarm', {
      'quota-size-bytes': this.options.quotaBytes,
    });
    const request = encodeAlarmRequest({
      action: 1,
      memberID: this.memberId,
      alarm: AlarmType.noSpace,
    });
    this.proposals.add(CommandKind.alarm, request, () => {
      // The refusal of the request that found the space used up is the answer; a lost alarm is raised by the next one.
      this.raisingNoSpace = false;
    });
    this.driver.schedule();
  }

  linearizable(done: (error: RpcError | null) => void): void {
    if (this.stopping) return done(errors.stopped);
    this.driver.linearizable((error) => {
      if (error === null) this.whenReadable(() => done(null));
      else done(error);
    });
  }

  whenReadable(done: () => void): void {
    if (this.restoring) this.afterRestore.push(done);
    else done();
  }

  peerRequest(
    to: MemberId,
    kind: PeerRequest,
    body: Uint8Array,
    timeoutMs: number,
    done: (error: Error | null, reply: Uint8Array | null) => void,
  ): void {
    this.transport.request(to, kind, body, timeoutMs, done);
  }

  // ---- apply ----

  /**
   * Hands what was applied to the backend, a little later: small changes then share a batch of the engine. Reads see
   * them at once, and the log holds them.
   */
  private flushSoon(): void {
    if (this.backendNow.pendingBytes >= FLUSH_BYTES) return this.backendNow.flush();
    this.flushTimer ??= this.env.after(FLUSH_DELAY_MS, this.flushNow);
  }

  private readonly flushNow = (): void => {
    this.flushTimer = null;
    if (!this.stopping) this.backendNow.flush();
  };

  private readonly applier: Applier = ((self: Member): Applier => ({
    applyEntry: (entry) => self.applyEntry(entry),
    applyConfChange: (entry) => self.applyConfChange(entry),
    endBatch: (index, term) => {
      self.backendNow.setApplied(index, term);
      self.flushSoon();
    },
    get backlogBytes() {
      return self.backendNow.pendingBytes;
    },
  }))(this);

  private applyEntry(entry: Entry): void {
    const { data } = entry;
    if (data.length < ENVELOPE_BYTES) {
      // A new leader's empty entry: every command of earlier terms that survived has been applied before it.
      this.termApplied(entry.term);
      return;
    }
    if (entry.term > this.lastTermApplied) this.termApplied(entry.term);
    const waiter = this.proposals.take(data);
    this.machine.term = this.node.term;
    const error = this.machine.apply(
      data[0] as CommandKind,
      data.subarray(ENVELOPE_BYTES),
      entry.term,
      waiter !== undefined,
    );
    waiter?.(error, error === null ? this.machine.reply : null);
  }

  private termApplied(term: number): void {
    this.lastTermApplied = term;
    this.proposals.termApplied(term);
  }

  private applyConfChange(entry: Entry): ConfState {
    const c = decodeConfChangeEntry(entry.data);
    const change: ConfChange = {
      type: c.type as ConfChangeType,
      memberId: c.memberId,
      context: c.context,
    };
    const confState = this.node.applyConfChange(change);
    this.machine.members.change(this.backendNow, change);
    this.backendNow.setConfState(encodeConfStateRecord(mutableConfState(confState)));
    this.updatePeers();
    return confState;
  }

  private updatePeers(): void {
    const others = this.machine.members.list().filter((m) => m.ID !== this.memberId);
    this.transport.setPeers(
      others.map((m) => ({ id: m.ID, urls: m.peerURLs })),
      this.machine.members.removedIds(),
    );
  }

  /** Replaces the state machine's image by a received one and rebuilds everything derived from it. */
  private installImage(engine: Engine, done: (error: Error | null) => void): void {
    this.restoring = true;
    this.hub.suspend();
    const old = this.backendNow;
    const backend = new Backend({
      engine,
      env: this.env,
      onCommit: this.options.onBackendCommit,
    });
    this.backendNow = backend;
    this.machine.replaceBackend(backend);
    this.lessor.clear();
    loadLeases(backend, this.lessor, (leaseError) => {
      if (leaseError !== null) return done(leaseError);
      this.store.restore(backend, (storeError) => {
        if (storeError !== null) return done(storeError);
        this.loadReplicatedLists((listError) => {
          if (listError !== null) return done(listError);
          this.hub.restore();
          this.updatePeers();
          this.restoring = false;
          const waiting = this.afterRestore;
          this.afterRestore = [];
          for (const callback of waiting) callback();
          old.close(() => done(null));
        });
      });
    });
  }

  private readonly events: DriverEvents = {
    onSoftState: (state) => this.onSoftState(state),
    onSnapshot: (meta) => this.snapshots.install(meta),
    onSendSnapshot: (m) => this.snapshots.send(m),
    onApplied: (index) => this.snapshots.onApplied(index),
    onSlowApply: (ms, entries) => this.onSlowApply(ms, entries),
  };

  /** The entries were not timed one by one: the largest is the likely cause. */
  private onSlowApply(ms: number, entries: readonly Entry[]): void {
    this.options.onApplySlow?.();
    let largest = entries[0];
    for (const entry of entries) {
      if (largest === undefined || entry.data.length > largest.data.length) largest = entry;
    }
    this.log.warn('apply request took too long', {
      took: `${Math.round(ms)}ms`,
      'expected-duration': `${this.options.warningApplyMs ?? 0}ms`,
      entries: entries.length,
      'first-index': entries[0]?.index,
      'largest-index': largest?.index,
      'largest-kind': largest?.data[0],
      'largest-bytes': largest?.data.length,
    });
  }

  private onSoftState(state: SoftState): void {
    const now = this.env.clock.monoMs();
    if (state.leader === NONE) {
      this.leaderlessSince ??= now;
    } else {
      if (state.leader !== this.lastLeader) this.leaderChanges++;
      this.leaderlessSince = undefined;
      const waiting = this.whenLed;
      this.whenLed = [];
      for (const callback of waiting) callback();
    }
    this.lastLeader = state.leader;
    if (state.role === Role.leader) {
      if (!this.lessor.isPrimary) {
        this.lessor.promote(now, this.electionMs);
        this.log.info('became leader', { term: this.node.term });
        this.decideClusterVersion();
      }
    } else if (this.lessor.isPrimary) {
      this.lessor.demote();
      this.log.info('no longer leader', { term: this.node.term, leader: state.leader });
    }
  }

  // ---- what a member says about itself through the log ----

  private publish(): void {
    const request = encodeMemberAttributesCommand({
      memberId: this.memberId,
      name: this.options.name,
      clientUrls: [...this.options.clientUrls],
    });
    const attempt = (): void => {
      if (this.stopping) return;
      this.propose(CommandKind.memberAttributes, request, (error) => {
        if (error !== null && !this.stopping) this.env.after(PUBLISH_RETRY_MS, attempt);
      });
    };
    attempt();
  }

  private decideClusterVersion(): void {
    if (this.machine.clusterVersion === ETCD_CLUSTER_VERSION) return;
    const request = encodeClusterVersionCommand({ version: ETCD_CLUSTER_VERSION });
    this.propose(CommandKind.clusterVersion, request, (error) => {
      if (error === null || this.stopping) return;
      this.log.warn('could not record the cluster version', { error: error.message });
      this.env.after(PUBLISH_RETRY_MS, () => {
        if (this.isLeader) this.decideClusterVersion();
      });
    });
  }

  // ---- peers ----

  private readonly peerHandler: PeerHandler = {
    onMessages: (_from, messages) => this.driver.onMessages(messages),
    onSnapshot: (_from, m: Message): SnapshotSink | null => this.snapshots.receive(m),
    onUnreachable: (id) => {
      this.node.reportUnreachable(id);
      this.driver.schedule();
    },
    onGone: (id) => {
      this.node.reportUnreachable(id);
      if (id === this.node.leader) {
        this.log.warn('the leader’s process is gone', { leader: id });
        this.node.forgetLeader();
      }
      this.driver.schedule();
    },
    onRemoved: () => {
      this.log.error('this member was removed from the cluster', { 'member-id': this.memberId });
      this.options.onRemoved?.();
    },
    onRequest: (_from, kind, body, reply) => {
      if (kind === PeerRequest.members) {
        reply(
          null,
          encodeMembersReply({ clusterId: this.clusterId, members: this.machine.members.list() }),
        );
      } else if (kind === PeerRequest.version) {
        reply(null, Buffer.from(ETCD_VERSION));
      } else if (kind === PeerRequest.leaseKeepAlive || kind === PeerRequest.leaseTimeToLive) {
        handleLeasePeerRequest(this, kind, body, reply);
      } else {
        reply(new Error(`unknown peer request ${kind}`), null);
      }
    },
  };
}

function mutableConfState(c: ConfState): { voters: bigint[]; learners: bigint[] } {
  return { voters: [...c.voters], learners: [...c.learners] };
}
