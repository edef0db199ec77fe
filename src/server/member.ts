import type { Env, Timer } from '../env/env.js';
import {
  decodeConfChangeEntry,
  decodeConfStateRecord,
  encodeClusterVersionCommand,
  encodeConfStateRecord,
  encodeMemberAttributesCommand,
  encodeMembersReply,
} from '../gen/peer.js';
import { encodeAlarmRequest } from '../gen/rpc.js';
import { invariant } from '../invariant.js';
import { Backend, Bucket } from '../mvcc/backend.js';
import { Lessor } from '../mvcc/lessor.js';
import { Store, type CompactionPace } from '../mvcc/store.js';
import type { Engine, EngineFactory } from '../mvcc/types.js';
import { WatchHub } from '../mvcc/watch-hub.js';
import { RawNode } from '../raft/raw-node.js';
import {
  NONE,
  Role,
  type ConfChange,
  type ConfChangeType,
  type ConfState,
  type Entry,
  type MemberId,
  type Message,
  type RaftInitialState,
  type RaftStatus,
  type SoftState,
} from '../raft/types.js';
import type { RpcError } from '../rpc/service.js';
import { readIdentity } from '../wal/identity.js';
import { Wal } from '../wal/wal.js';
import type { WalIdentity, WalRecovery } from '../wal/types.js';
import { AlarmType } from './apply/alarms.js';
import { Members } from './apply/members.js';
import { StateMachine } from './apply/state-machine.js';
import { DataDir } from './data-dir.js';
import { errors } from './errors.js';
import { HeaderEncoder } from './header.js';
import type { Logger } from './logger.js';
import {
  CommandKind,
  type HeaderFields,
  type MemberApi,
  type ReplyCallback,
} from './member-api.js';
import {
  PeerRequest,
  type PeerHandler,
  type PeerTransport,
  type SnapshotSink,
} from './peer/types.js';
import { ENVELOPE_BYTES, Proposals } from './proposals.js';
import { addedBytes, mostAddedBytes } from './quota.js';
import { RaftDriver, type Applier, type DriverEvents } from './raft-driver.js';
import { ReadIndex } from './read-index.js';
import { LeaseRevoker } from './lease-revoker.js';
import { handleLeasePeerRequest } from './services/lease.js';
import { SnapshotKeeper, type SnapshotOutcome } from './snapshots.js';
import { ETCD_CLUSTER_VERSION, ETCD_VERSION } from './config/version.js';

/**
 * One member of a cluster: opens what is on disk, joins consensus core, log, state machine, peers and leases into a
 * running whole, and offers it to the services as a MemberApi.
 *
 * It does no networking with clients of its own, and everything non-deterministic reaches it through `env`, the engine
 * factory and the peer transport, so that the simulator runs this very class.
 */

export interface BootstrapMember {
  readonly id: MemberId;
  readonly name: string;
  readonly peerURLs: readonly string[];
}

/** The cluster a member without data forms. */
export interface Bootstrap {
  readonly memberId: MemberId;
  readonly clusterId: bigint;
  readonly members: readonly BootstrapMember[];
}

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
  readonly compaction: CompactionPace;
  readonly openEngine: EngineFactory;
  readonly createTransport: (identity: {
    readonly clusterId: bigint;
    readonly memberId: MemberId;
    readonly incarnation: number;
  }) => PeerTransport;
  readonly onWalSync?: (seconds: number) => void;
  readonly onWalWrite?: (bytes: number) => void;
  readonly onBackendCommit?: (seconds: number) => void;
  /** Applies that take longer are logged and reported; none if absent. */
  readonly warningApplyMs?: number;
  readonly onApplySlow?: () => void;
  readonly onSnapshotSent?: SnapshotOutcome;
  readonly onSnapshotReceived?: SnapshotOutcome;
  readonly onRemoved?: () => void;
}

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
/** Stands for the bootstrap itself, so that the first leader's term is 2, as etcd's is. */
const BOOTSTRAP_TERM = 1;
/** Room an entry's envelope and framing may add to a request that is exactly at the limit. */
const ENTRY_OVERHEAD_BYTES = 1024;

type OpenCallback = (error: Error | null, member: Member | null) => void;

export class Member implements MemberApi {
  readonly env: Env;
  readonly memberId: MemberId;
  readonly clusterId: bigint;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
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
  static open(options: MemberOptions, done: OpenCallback): void {
    const { env, bootstrap } = options;
    const dirs = new DataDir(env.disk, options.dataDir, options.walDir);
    const opened: { backend: Backend | null } = { backend: null };
    const fail = (error: Error): void => {
      if (opened.backend !== null) opened.backend.close(() => done(error, null));
      else done(error, null);
    };
    try {
      dirs.create();
    } catch (error) {
      return fail(error as Error);
    }
    openBackend(options, dirs.currentDb, (error, backend) => {
      if (backend === null) return fail(error ?? new Error('the backend did not open'));
      opened.backend = backend;
      // A log knows whose it is; what the flags say counts only before there is one.
      const identity = readIdentity(env.disk, dirs.walDir) ?? bootstrap;
      if (identity === undefined)
        return fail(new Error(`no segment of the log in ${dirs.walDir} has a readable header`));
      if (
        bootstrap !== undefined &&
        (identity.clusterId !== bootstrap.clusterId || identity.memberId !== bootstrap.memberId)
      ) {
        options.log.warn(
          'the data directory belongs to another member or cluster than the initial-* flags describe; the flags are ignored',
          {
            'member-id': identity.memberId,
            'cluster-id': identity.clusterId,
          },
        );
      }
      const walOptions = {
        dir: dirs.walDir,
        identity: { clusterId: identity.clusterId, memberId: identity.memberId },
        segmentBytes: options.segmentBytes,
        maxEntryBytes: options.maxRequestBytes + ENTRY_OVERHEAD_BYTES,
        witnessIndex: backend.appliedIndex,
        noFsync: options.noFsync,
        ...(options.onWalSync === undefined ? {} : { onSync: options.onWalSync }),
        ...(options.onWalWrite === undefined ? {} : { onWrite: options.onWalWrite }),
      };
      if (!Wal.exists(env, dirs.walDir)) {
        if (backend.appliedIndex > 0) {
          return fail(
            new Error(
              `the state in ${dirs.currentDb} ends at log index ${backend.appliedIndex}, but there is no log in ${dirs.walDir}: ` +
                'point --wal-dir at the log of this member; without its log a member has forgotten its promises and must not take part',
            ),
          );
        }
        writeBootstrapState(backend, bootstrap?.members ?? []);
        backend.sync((syncError) => {
          if (syncError !== null) return fail(syncError);
          try {
            const wal = Wal.create(env, walOptions);
            load(wal, null, backend, identity);
          } catch (walError) {
            fail(walError as Error);
          }
        });
        return;
      }
      let wal: Wal;
      let recovery: WalRecovery;
      try {
        ({ wal, recovery } = Wal.open(env, walOptions));
      } catch (walError) {
        return fail(walError as Error);
      }
      const marker = recovery.snapshot.index;
      if (marker > backend.appliedIndex && dirs.isStaged(marker)) {
        // The crash came between the log's marker and the switch to the received image.
        dirs.switchTo(marker);
        backend.close(() => {
          opened.backend = null;
          openBackend(options, dirs.currentDb, (switchError, switched) => {
            if (switched === null) {
              return fail(switchError ?? new Error('the backend did not open'));
            }
            opened.backend = switched;
            load(wal, recovery, switched, identity);
          });
        });
        return;
      }
      load(wal, recovery, backend, identity);
    });

    function load(
      wal: Wal,
      recovery: WalRecovery | null,
      backend: Backend,
      identity: WalIdentity,
    ): void {
      dirs.removeStale();
      const firstNeeded = backend.appliedIndex + 1;
      const firstHeld = recovery?.entries[0]?.index ?? firstNeeded;
      if (
        recovery !== null &&
        (firstHeld > firstNeeded || recovery.snapshot.index > backend.appliedIndex)
      ) {
        return fail(
          new Error(
            `the state in ${dirs.currentDb} ends at log index ${backend.appliedIndex}, but the log begins at ${firstHeld} with a marker at ${recovery.snapshot.index}: ` +
              'the directory was replaced or lost; restore the whole data directory of this member from one backup',
          ),
        );
      }
      const lessor = new Lessor({ minTtlSec: Math.ceil((1.5 * options.electionMs) / 1000) });
      loadLeases(backend, lessor, (leaseError) => {
        if (leaseError !== null) return fail(leaseError);
        Store.open(
          {
            backend,
            env,
            onLease: (key, lease) => lessor.attach(key, lease),
            compaction: options.compaction,
          },
          (storeError, store) => {
            if (store === null) return fail(storeError ?? new Error('the store did not open'));
            let member: Member;
            try {
              member = new Member(options, identity, dirs, wal, recovery, backend, store, lessor);
            } catch (constructError) {
              return fail(constructError as Error);
            }
            member.loadReplicatedLists((listError) => {
              if (listError !== null) fail(listError);
              else done(null, member);
            });
          },
        );
      });
    }
  }

  private constructor(
    options: MemberOptions,
    identity: WalIdentity,
    dirs: DataDir,
    wal: Wal,
    recovery: WalRecovery | null,
    backend: Backend,
    store: Store,
    lessor: Lessor,
  ) {
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
      initialState(recovery, backend),
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

function openBackend(
  options: MemberOptions,
  dir: string,
  done: (error: Error | null, backend: Backend | null) => void,
): void {
  options.openEngine(dir, (error, engine) => {
    if (engine === null) return done(error, null);
    done(null, new Backend({ engine, env: options.env, onCommit: options.onBackendCommit }));
  });
}

/** The state every member of a new cluster begins with; the same on all of them. */
function writeBootstrapState(backend: Backend, members: readonly BootstrapMember[]): void {
  const list = new Members();
  for (const m of members) {
    list.set(backend, {
      ID: m.id,
      name: m.name,
      peerURLs: [...m.peerURLs],
      clientURLs: [],
      isLearner: false,
    });
  }
  const voters = members.map((m) => m.id).sort((a, b) => (a < b ? -1 : 1));
  backend.setConfState(encodeConfStateRecord({ voters, learners: [] }));
  backend.setApplied(0, 0);
  backend.flush();
}

function loadLeases(backend: Backend, lessor: Lessor, done: (error: Error | null) => void): void {
  loadBucket(backend, Bucket.lease, (_key, value) => lessor.loadRow(value), done);
}

/** Hands every row of a bucket to `load`. */
function loadBucket(
  backend: Backend,
  bucket: Bucket,
  load: (key: Uint8Array, value: Uint8Array) => void,
  done: (error: Error | null) => void,
): void {
  backend.forEach(
    bucket,
    (key, value) => {
      load(key, value);
      return true;
    },
    done,
  );
}

function mutableConfState(c: ConfState): { voters: bigint[]; learners: bigint[] } {
  return { voters: [...c.voters], learners: [...c.learners] };
}

/** Where the core continues: right after what the image holds, with the log that was recovered. */
function initialState(recovery: WalRecovery | null, backend: Backend): RaftInitialState {
  const stored = backend.confState;
  invariant(stored.length > 0, 'the backend holds no membership');
  const confState = decodeConfStateRecord(stored);
  const applied = backend.appliedIndex;
  if (recovery === null) {
    return {
      hardState: { term: BOOTSTRAP_TERM, vote: NONE, commit: 0 },
      confState,
      compactedIndex: 0,
      compactedTerm: 0,
      entries: [],
      applied,
    };
  }
  const { snapshot, entries } = recovery;
  const first = entries[0];
  const hardState = {
    term: Math.max(recovery.hardState.term, BOOTSTRAP_TERM),
    vote: recovery.hardState.vote,
    commit: Math.max(recovery.hardState.commit, applied),
  };
  if (first === undefined || first.index === 1 || first.index === snapshot.index + 1) {
    const fromStart = first === undefined ? snapshot.index === 0 : first.index === 1;
    return {
      hardState,
      confState,
      compactedIndex: fromStart ? 0 : snapshot.index,
      compactedTerm: fromStart ? 0 : snapshot.term,
      entries,
      applied,
    };
  }
  // The log reaches back before its marker: its first entry serves as the point whose term is known.
  return {
    hardState,
    confState,
    compactedIndex: first.index,
    compactedTerm: first.term,
    entries: entries.slice(1),
    applied,
  };
}
