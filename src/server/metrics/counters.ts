/** Counters with labels, as plain fields: what counts them runs on the path of requests. */
import { labelText } from '../../base/observe/exposition.js';
import { doublingBounds, Histogram } from '../../base/observe/histogram.js';

/** Identifies a method in metric labels. */
export interface MethodLabels {
  readonly path: string;
  readonly service: string;
  readonly method: string;
  readonly type: 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';
}

const HANDLING_BOUNDS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const ROUND_TRIP_BOUNDS_SECONDS = doublingBounds(0.0001, 16);
const SNAPSHOT_BOUNDS_SECONDS = doublingBounds(0.1, 10);
const OPERATION_BOUNDS_SECONDS = doublingBounds(0.0001, 20);
/** grpc-status has the values 0 to 16. */
const STATUS_CODES = 17;
/** Client API versions counted one by one: a client may send any text. */
const MAX_CLIENT_VERSIONS = 64;
const FURTHER_VERSIONS = 'other';

/** Counters of one RPC method. */
export class MethodCounters {
  readonly labels: MethodLabels;
  /** The labels as text: a page has twenty lines and more of each method. */
  readonly labelText: string;
  started = 0;
  received = 0;
  sent = 0;
  readonly handled = new Float64Array(STATUS_CODES);
  /** Only with `--metrics=extensive`. */
  readonly seconds: Histogram | undefined;

  constructor(labels: MethodLabels, isExtensive: boolean) {
    this.labels = labels;
    this.labelText = labelText({
      grpc_method: labels.method,
      grpc_service: labels.service,
      grpc_type: labels.type,
    });
    this.seconds = isExtensive ? new Histogram(HANDLING_BOUNDS_SECONDS) : undefined;
  }
}

/** Snapshots in one direction between this member and another. */
export class SnapshotCounters {
  successes = 0;
  failures = 0;
  inFlight = 0;
  readonly seconds = new Histogram(SNAPSHOT_BOUNDS_SECONDS);

  begin(): void {
    this.inFlight++;
  }

  /** Etcd, too, takes the time of successful transfers only. */
  end(isOk: boolean, seconds: number): void {
    this.inFlight--;
    if (!isOk) {
      this.failures++;
      return;
    }
    this.successes++;
    this.seconds.observe(seconds);
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
  readonly snapshotsSent = new SnapshotCounters();
  readonly snapshotsReceived = new SnapshotCounters();
  readonly roundTrip = new Histogram(ROUND_TRIP_BOUNDS_SECONDS);
}

/** Results of one check behind /livez or /readyz. */
export class CheckCounters {
  readonly probe: string;
  readonly name: string;
  successes = 0;
  errors = 0;
  /** True if the latest run succeeded. */
  isOk = false;

  constructor(probe: string, name: string) {
    this.probe = probe;
    this.name = name;
  }
}

/** Durations of operations by name and outcome; a series exists once it was observed. */
export class OperationDurations {
  readonly succeeded = new Map<string, Histogram>();
  readonly failed = new Map<string, Histogram>();

  observe(operation: string, isOk: boolean, seconds: number): void {
    const series = isOk ? this.succeeded : this.failed;
    let histogram = series.get(operation);
    if (histogram === undefined) {
      histogram = new Histogram(OPERATION_BOUNDS_SECONDS);
      series.set(operation, histogram);
    }
    histogram.observe(seconds);
  }
}

/** Calls by the version of the API that their client names. */
export class ClientRequests {
  private readonly unary = new Map<string, number>();
  private readonly stream = new Map<string, number>();

  count(type: 'unary' | 'stream', version: string): void {
    const counts = type === 'unary' ? this.unary : this.stream;
    const before = counts.get(version);
    if (before !== undefined || counts.size < MAX_CLIENT_VERSIONS)
      counts.set(version, (before ?? 0) + 1);
    else counts.set(FURTHER_VERSIONS, (counts.get(FURTHER_VERSIONS) ?? 0) + 1);
  }

  forEach(visit: (type: string, version: string, count: number) => void): void {
    for (const [version, count] of this.unary) visit('unary', version, count);
    for (const [version, count] of this.stream) visit('stream', version, count);
  }
}
