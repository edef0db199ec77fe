/**
 * What a member counts about itself. Everything on a request's path is a plain number in a plain object, so that
 * counting costs a few nanoseconds; metrics-page.ts turns the numbers into Prometheus text when it is asked to.
 *
 * Serves as the transports' observer. The member's other parts call the `on...` methods or count in the
 * public fields; what a part already counts itself is read through a MemberSample instead.
 */
import type { Status, TransportObserver } from '../../rpc/service.js';

/** Identifies a method in metric labels. */
export interface MethodLabels {
  readonly path: string;
  readonly service: string;
  readonly method: string;
  readonly type: 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';
}

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
  /** 0 when there is no quota. */
  readonly quotaBytes: number;
  readonly dbSizeBytes: number;
  readonly dbSizeInUseBytes: number;
  /** Undefined until the cluster has decided on one. */
  readonly clusterVersion: string | undefined;
  readonly currentRevision: number;
  readonly compactRevision: number;
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

/** Counts observations per bucket. Invariant: total = sum of counts. */
export class PlainHistogram {
  /** Ascending upper bounds, inclusive; a last bucket without bound follows them. */
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  total = 0;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] ?? 0)) i++;
    counts[i] = (counts[i] ?? 0) + 1;
    this.total++;
    this.sum += value;
  }
}

/** `count` bounds, each twice the one before. */
export function doublingBounds(first: number, count: number): number[] {
  const bounds: number[] = [];
  for (let i = 0; i < count; i++) bounds.push(first * 2 ** i);
  return bounds;
}

const DISK_BOUNDS_SECONDS = doublingBounds(0.001, 14);
const ROUND_TRIP_BOUNDS_SECONDS = doublingBounds(0.0001, 16);
const HANDLING_BOUNDS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** grpc-status has the values 0 to 16. */
const STATUS_CODES = 17;

/** Counters of one RPC method. */
export class MethodCounters {
  readonly labels: MethodLabels;
  started = 0;
  received = 0;
  sent = 0;
  readonly handled = new Float64Array(STATUS_CODES);
  /** Only with `--metrics=extensive`. */
  readonly seconds: PlainHistogram | undefined;

  constructor(labels: MethodLabels, isExtensive: boolean) {
    this.labels = labels;
    this.seconds = isExtensive ? new PlainHistogram(HANDLING_BOUNDS_SECONDS) : undefined;
  }
}

/** Counters of the traffic with one other member. */
export class PeerCounters {
  sentBytes = 0;
  receivedBytes = 0;
  sentFailures = 0;
  receivedFailures = 0;
  isConnected = false;
  disconnects = 0;
  snapshotsSent = 0;
  snapshotSendFailures = 0;
  snapshotsReceived = 0;
  snapshotReceiveFailures = 0;
  readonly roundTrip = new PlainHistogram(ROUND_TRIP_BOUNDS_SECONDS);
}

/** Results of one check behind /livez or /readyz. */
export class CheckCounters {
  readonly probe: string;
  readonly name: string;
  successes = 0;
  errors = 0;
  /** Whether the latest run succeeded. */
  isOk = false;

  constructor(probe: string, name: string) {
    this.probe = probe;
    this.name = name;
  }
}

export interface MetricsOptions {
  /** Every method of every service, served or not, so that all series exist from the start. */
  readonly methods: readonly MethodLabels[];
  /** Adds latency histograms per method. */
  readonly isExtensive: boolean;
  /** Unary calls that take longer are reported to `onSlowUnary`; none if absent. */
  readonly slowUnarySeconds?: number;
  readonly onSlowUnary?: (path: string, code: Status, seconds: number) => void;
}

export class MemberMetrics implements TransportObserver {
  readonly methods: readonly MethodCounters[];
  readonly peers = new Map<bigint, PeerCounters>();
  /** Checks that ran at least once. */
  readonly checks = new Map<string, CheckCounters>();
  readonly walFsync = new PlainHistogram(DISK_BOUNDS_SECONDS);
  readonly backendCommit = new PlainHistogram(DISK_BOUNDS_SECONDS);
  walWrittenBytes = 0;
  clientSentBytes = 0;
  clientReceivedBytes = 0;
  slowApplies = 0;
  healthSuccesses = 0;
  healthFailures = 0;
  private readonly byPath = new Map<string, MethodCounters>();
  private readonly slowUnarySeconds: number;
  private readonly onSlowUnary: MetricsOptions['onSlowUnary'];

  constructor(options: MetricsOptions) {
    this.slowUnarySeconds = options.slowUnarySeconds ?? Infinity;
    this.onSlowUnary = options.onSlowUnary;
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
    if (seconds > this.slowUnarySeconds && counters.labels.type === 'unary') {
      this.onSlowUnary?.(path, code, seconds);
    }
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

  // The rest of the member. Arrow fields, so that they can be handed out as callbacks.

  readonly onWalSync = (seconds: number): void => {
    this.walFsync.observe(seconds);
  };

  readonly onWalWrite = (bytes: number): void => {
    this.walWrittenBytes += bytes;
  };

  readonly onBackendCommit = (seconds: number): void => {
    this.backendCommit.observe(seconds);
  };

  readonly onApplySlow = (): void => {
    this.slowApplies++;
  };

  readonly onSnapshotSent = (to: bigint, isOk: boolean): void => {
    if (isOk) this.peer(to).snapshotsSent++;
    else this.peer(to).snapshotSendFailures++;
  };

  readonly onSnapshotReceived = (from: bigint, isOk: boolean): void => {
    if (isOk) this.peer(from).snapshotsReceived++;
    else this.peer(from).snapshotReceiveFailures++;
  };

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
