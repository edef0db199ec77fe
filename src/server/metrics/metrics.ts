/**
 * The counters of a member that no other part keeps. Everything on a request's path is a plain
 * number in a plain object, so that counting costs a few nanoseconds. The families-*.ts turn the
 * numbers into text at a scrape.
 *
 * Observes the transports and the member; counts that a part keeps itself are read through a
 * MemberSample instead.
 */
import { doublingBounds, Histogram } from '../../base/observe/histogram.js';
import type { FinishedCompaction } from '../../mvcc/observer.js';
import type { Status, TransportObserver } from '../../rpc/service.js';
import type { CommandKind } from '../contract/command.js';
import type { MemberObserver } from '../contract/member-observer.js';
import { operationName } from './command-text.js';
import {
  CheckCounters,
  ClientRequests,
  MethodCounters,
  OperationDurations,
  PeerCounters,
  type MethodLabels,
} from './counters.js';

const DISK_BOUNDS_SECONDS = doublingBounds(0.001, 14);
const RECLAIM_BOUNDS_SECONDS = doublingBounds(0.1, 13);
const SAVE_BOUNDS_SECONDS = doublingBounds(0.1, 10);
const IMAGE_BOUNDS_SECONDS = doublingBounds(0.01, 17);
const HASH_BOUNDS_SECONDS = doublingBounds(0.01, 15);
const INDEX_PAUSE_BOUNDS_MS = doublingBounds(0.5, 14);
const ROWS_PAUSE_BOUNDS_MS = doublingBounds(1, 13);
const COMPACTION_BOUNDS_MS = doublingBounds(100, 14);
const LEASE_TTL_BOUNDS_SECONDS = doublingBounds(1, 24);

export interface MetricsOptions {
  /** Every method of every service, served or not, so that all series exist from the start. */
  readonly methods: readonly MethodLabels[];
  /** Adds latency histograms per method. */
  readonly isExtensive: boolean;
  readonly features?: readonly FeatureState[];
  /** Milliseconds since the epoch. */
  readonly wallMs?: () => number;
}

export interface FeatureState {
  readonly name: string;
  readonly stage: string;
  readonly isEnabled: boolean;
}

export class MemberMetrics implements TransportObserver, MemberObserver {
  readonly methods: readonly MethodCounters[];
  readonly isExtensive: boolean;
  readonly features: readonly FeatureState[];
  readonly peers = new Map<bigint, PeerCounters>();
  /** Checks that ran at least once. */
  readonly checks = new Map<string, CheckCounters>();
  readonly clientRequests = new ClientRequests();
  readonly walWrite = new Histogram(DISK_BOUNDS_SECONDS);
  readonly walFsync = new Histogram(DISK_BOUNDS_SECONDS);
  readonly backendCommit = new Histogram(DISK_BOUNDS_SECONDS);
  /** Streams of the whole image to another member. */
  readonly imageSend = new Histogram(IMAGE_BOUNDS_SECONDS);
  /** A received image from its first byte until it is durable, and the syncing at its end. */
  readonly imageSave = new Histogram(SAVE_BOUNDS_SECONDS);
  readonly imageSync = new Histogram(DISK_BOUNDS_SECONDS);
  /** Syncs of the image before the log lets go of old entries. */
  readonly markerSync = new Histogram(DISK_BOUNDS_SECONDS);
  readonly reclaimDuration = new Histogram(RECLAIM_BOUNDS_SECONDS);
  /** Under way. */
  reclaims = 0;
  readonly hashKv = new Histogram(HASH_BOUNDS_SECONDS);
  readonly applyDurations = new OperationDurations();
  readonly ranges = new OperationDurations();
  readonly leaseTtl = new Histogram(LEASE_TTL_BOUNDS_SECONDS);
  readonly compaction = {
    indexPauseMs: new Histogram(INDEX_PAUSE_BOUNDS_MS),
    rowsPauseMs: new Histogram(ROWS_PAUSE_BOUNDS_MS),
    totalMs: new Histogram(COMPACTION_BOUNDS_MS),
    rowsRemoved: 0,
    /** Milliseconds since the epoch; 0 before the first. */
    lastEndMs: 0,
  };
  lateHeartbeats = 0;
  walWrittenBytes = 0;
  clientSentBytes = 0;
  clientReceivedBytes = 0;
  slowApplies = 0;
  healthSuccesses = 0;
  healthFailures = 0;
  /** Requests for the page itself. */
  readonly scrapes = { inFlight: 0, ok: 0, failed: 0 };
  private readonly wallMs: () => number;
  private readonly byPath = new Map<string, MethodCounters>();

  constructor(options: MetricsOptions) {
    this.isExtensive = options.isExtensive;
    this.features = options.features ?? [];
    this.wallMs = options.wallMs ?? (() => 0);
    this.methods = options.methods.map((labels) => new MethodCounters(labels, options.isExtensive));
    for (const counters of this.methods) this.byPath.set(counters.labels.path, counters);
  }

  // TransportObserver. Paths that no service has are not counted: a client could invent them without end.

  started(path: string): void {
    const counters = this.byPath.get(path);
    if (counters !== undefined) counters.started++;
  }

  handled(path: string, code: Status, seconds: number): void {
    const counters = this.byPath.get(path);
    if (counters === undefined) return;
    counters.handled[code] = (counters.handled[code] ?? 0) + 1;
    counters.seconds?.observe(seconds);
  }

  messageReceived(path: string, bytes: number): void {
    this.clientReceivedBytes += bytes;
    const counters = this.byPath.get(path);
    if (counters !== undefined) counters.received++;
  }

  messageSent(path: string, bytes: number): void {
    this.clientSentBytes += bytes;
    const counters = this.byPath.get(path);
    if (counters !== undefined) counters.sent++;
  }

  // MemberObserver.

  walWriting(bytes: number): void {
    this.walWrittenBytes += bytes;
  }

  walWritten(seconds: number, isDurable: boolean): void {
    this.walWrite.observe(seconds);
    if (isDurable) this.walFsync.observe(seconds);
  }

  committed(seconds: number): void {
    this.backendCommit.observe(seconds);
  }

  reclaiming(): void {
    this.reclaims++;
  }

  reclaimed(seconds: number): void {
    this.reclaims--;
    this.reclaimDuration.observe(seconds);
  }

  applied(kind: CommandKind, isOk: boolean, seconds: number): void {
    this.applyDurations.observe(operationName(kind), isOk, seconds);
  }

  appliedSlowly(): void {
    this.slowApplies++;
  }

  heartbeatsLate(peers: number): void {
    this.lateHeartbeats += peers;
  }

  leaseGranted(ttlSeconds: number): void {
    this.leaseTtl.observe(ttlSeconds);
  }

  markerSynced(seconds: number): void {
    this.markerSync.observe(seconds);
  }

  snapshotSending(to: bigint): void {
    this.peer(to).snapshotsSent.begin();
  }

  snapshotSent(to: bigint, isOk: boolean, seconds: number): void {
    this.peer(to).snapshotsSent.end(isOk, seconds);
    if (isOk) this.imageSend.observe(seconds);
  }

  snapshotReceiving(from: bigint): void {
    this.peer(from).snapshotsReceived.begin();
  }

  snapshotSynced(seconds: number): void {
    this.imageSync.observe(seconds);
  }

  snapshotReceived(from: bigint, isOk: boolean, seconds: number): void {
    this.peer(from).snapshotsReceived.end(isOk, seconds);
    if (isOk) this.imageSave.observe(seconds);
  }

  indexSliced(ms: number): void {
    this.compaction.indexPauseMs.observe(ms);
  }

  rowsSliced(ms: number): void {
    this.compaction.rowsPauseMs.observe(ms);
  }

  compacted({ rowsRemoved, tookMs }: FinishedCompaction): void {
    this.compaction.totalMs.observe(tookMs);
    this.compaction.rowsRemoved += rowsRemoved;
    this.compaction.lastEndMs = this.wallMs();
  }

  /** For the services, as a callback. */
  readonly onRange = (isOk: boolean, seconds: number): void => {
    this.ranges.observe('Range', isOk, seconds);
  };

  hashed(ms: number): void {
    this.hashKv.observe(ms / 1000);
  }

  /** The counters of the traffic with member `id`, created when first asked for. */
  peer(id: bigint): PeerCounters {
    let counters = this.peers.get(id);
    if (counters === undefined) {
      counters = new PeerCounters();
      this.peers.set(id, counters);
    }
    return counters;
  }

  /** Counts one run of the check `name` behind `probe`. */
  healthCheck(probe: string, name: string, isOk: boolean): void {
    const key = `${probe}/${name}`;
    let counters = this.checks.get(key);
    if (counters === undefined) {
      counters = new CheckCounters(probe, name);
      this.checks.set(key, counters);
    }
    counters.isOk = isOk;
    if (isOk) counters.successes++;
    else counters.errors++;
  }
}
