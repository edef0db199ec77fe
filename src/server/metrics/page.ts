/**
 * The text behind /metrics, with etcd's metric names, so that its dashboards and alerts work unchanged.
 * Numbers are read when a scrape asks for them; between scrapes nothing here runs.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { ETCD_VERSION } from '../../base/flags/version.js';
import { idText } from '../config/ids.js';
import type {
  MemberMetrics,
  MemberSample,
  MethodCounters,
  PeerCounters,
  PlainHistogram,
} from './metrics.js';

/** Appends a metric's lines. */
type Write = (out: string[], sample: MemberSample) => void;

/** A metric: its two comment lines, and what writes the others. */
interface Family {
  readonly head: string;
  readonly write: Write;
}

/** Names of grpc-status values in labels, by number, as Go spells them. */
const CODE_NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
] as const;

/**
 * One member's page. A thousand and more lines are written per scrape, so everything before a line's number is
 * prepared once, and prom-client only adds what it knows about the process.
 */
export class MetricsPage {
  readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';
  private readonly families: Family[] = [];
  private readonly process = new Registry();
  private readonly metrics: MemberMetrics;
  private readonly sample: () => MemberSample;

  /** `sample` is called once for every scrape. */
  constructor(metrics: MemberMetrics, sample: () => MemberSample) {
    this.metrics = metrics;
    this.sample = sample;
    this.addServer();
    this.addStore();
    this.addDisk();
    this.addClients();
    this.addMethods();
    this.addPeers();
    this.addProcess();
  }

  /** The page as a scraper gets it. */
  async text(): Promise<string> {
    const sample = this.sample();
    const out: string[] = [];
    for (const { head, write } of this.families) {
      out.push(head);
      write(out, sample);
    }
    return `${out.join('\n')}\n${await this.process.metrics()}`;
  }

  private addServer(): void {
    const m = this.metrics;
    this.gauge('etcd_server_has_leader', 'Whether this member knows a leader.', (s) =>
      Number(s.hasLeader),
    );
    this.gauge('etcd_server_is_leader', 'Whether this member is the leader.', (s) =>
      Number(s.isLeader),
    );
    this.gauge('etcd_server_is_learner', 'Whether this member does not vote.', (s) =>
      Number(s.isLearner),
    );
    this.counter(
      'etcd_server_leader_changes_seen_total',
      'Changes of leader seen.',
      (s) => s.leaderChanges,
    );
    this.gauge(
      'etcd_server_proposals_committed_total',
      'Last committed log index.',
      (s) => s.committedIndex,
    );
    this.gauge(
      'etcd_server_proposals_applied_total',
      'Last applied log index.',
      (s) => s.appliedIndex,
    );
    this.gauge(
      'etcd_server_proposals_pending',
      'Proposals waiting to be committed.',
      (s) => s.proposalsPending,
    );
    this.counter(
      'etcd_server_proposals_failed_total',
      'Proposals that failed.',
      (s) => s.proposalsFailed,
    );
    this.gauge(
      'etcd_server_quota_backend_bytes',
      'Size at which writes are refused.',
      (s) => s.quotaBytes,
    );
    this.counter(
      'etcd_server_slow_apply_total',
      'Requests that took long to apply.',
      () => m.slowApplies,
    );
    this.counter(
      'etcd_server_slow_read_indexes_total',
      'Slow confirmations of leadership for reads.',
      (s) => s.slowReadIndexes,
    );
    this.counter(
      'etcd_server_read_indexes_failed_total',
      'Failed confirmations of leadership for reads.',
      (s) => s.readIndexesFailed,
    );
    this.counter(
      'etcd_server_health_success',
      'Health checks that succeeded.',
      () => m.healthSuccesses,
    );
    this.counter(
      'etcd_server_health_failures',
      'Health checks that failed.',
      () => m.healthFailures,
    );
    this.add('etcd_server_id', 'gauge', 'The id of this member, as a label.', (out, s) =>
      out.push(`etcd_server_id{server_id="${idText(s.memberId)}"} 1`),
    );
    this.add(
      'etcd_server_version',
      'gauge',
      'The etcd version this member conforms to, as a label.',
      (out) => out.push(`etcd_server_version{server_version="${ETCD_VERSION}"} 1`),
    );
    this.add('etcd_server_go_version', 'gauge', 'The runtime, as a label.', (out) =>
      out.push(`etcd_server_go_version{server_go_version="node ${process.versions.node}"} 1`),
    );
    this.add('etcd_cluster_version', 'gauge', "The cluster's version, as a label.", (out, s) => {
      if (s.clusterVersion === undefined) return;
      const minor = s.clusterVersion.split('.').slice(0, 2).join('.');
      out.push(`etcd_cluster_version{cluster_version="${minor}"} 1`);
    });
    const check = 'etcd_server_healthcheck';
    this.add(check, 'gauge', 'Latest result of a check of /livez or /readyz.', (out) => {
      for (const { probe, name, isOk } of m.checks.values()) {
        out.push(`${check}{name="${name}",type="${probe}"} ${Number(isOk)}`);
      }
    });
    const checks = 'etcd_server_healthchecks_total';
    this.add(checks, 'counter', 'Results of the checks of /livez and /readyz.', (out) => {
      for (const { probe, name, successes, errors } of m.checks.values()) {
        out.push(`${checks}{name="${name}",status="success",type="${probe}"} ${successes}`);
        out.push(`${checks}{name="${name}",status="error",type="${probe}"} ${errors}`);
      }
    });
    const alarms = 'etcd_debugging_server_alarms';
    this.add(alarms, 'gauge', 'Raised alarms.', (out, s) => {
      for (const { memberId, type } of s.alarms) {
        out.push(`${alarms}{server_id="${idText(memberId)}",alarm_type="${type}"} 1`);
      }
    });
  }

  private addStore(): void {
    this.gauge(
      'etcd_mvcc_db_total_size_in_bytes',
      'Size of the store on disk.',
      (s) => s.dbSizeBytes,
    );
    this.gauge(
      'etcd_mvcc_db_total_size_in_use_in_bytes',
      'Size of the data in the store.',
      (s) => s.dbSizeInUseBytes,
    );
    this.gauge('etcd_debugging_mvcc_keys_total', 'Keys in the store.', (s) => s.keysTotal);
    this.gauge(
      'etcd_debugging_mvcc_current_revision',
      'Newest revision.',
      (s) => s.currentRevision,
    );
    this.gauge(
      'etcd_debugging_mvcc_compact_revision',
      'Revision of the last compaction.',
      (s) => s.compactRevision,
    );
    this.gauge('etcd_debugging_mvcc_watcher_total', 'Watches.', (s) => s.watchers);
    this.gauge(
      'etcd_debugging_mvcc_watch_stream_total',
      'Streams that carry watches.',
      (s) => s.watchStreams,
    );
    this.gauge(
      'etcd_debugging_mvcc_slow_watcher_total',
      'Watches that are catching up.',
      (s) => s.slowWatchers,
    );
    this.gauge(
      'etcd_debugging_mvcc_pending_events_total',
      'Events not yet sent.',
      (s) => s.pendingEvents,
    );
    this.counter('etcd_mvcc_put_total', 'Puts applied.', (s) => s.puts);
    this.counter('etcd_mvcc_delete_total', 'Deletes applied.', (s) => s.deletes);
    this.counter('etcd_mvcc_range_total', 'Ranges read.', (s) => s.ranges);
    this.counter(
      'etcd_mvcc_txn_total',
      'Transactions of more than one operation applied.',
      (s) => s.txns,
    );
    this.gauge(
      'etcd_debugging_mvcc_total_put_size_in_bytes',
      'Bytes of keys and values put.',
      (s) => s.putBytes,
    );
    this.counter('etcd_debugging_mvcc_events_total', 'Events sent.', (s) => s.eventsSent);
    this.counter('etcd_debugging_lease_granted_total', 'Leases granted.', (s) => s.leasesGranted);
    this.counter('etcd_debugging_lease_revoked_total', 'Leases revoked.', (s) => s.leasesRevoked);
    this.counter(
      'etcd_debugging_lease_renewed_total',
      'Renewals of leases.',
      (s) => s.leasesRenewed,
    );
    this.counter(
      'etcd_debugging_server_lease_expired_total',
      'Leases revoked because their time was up.',
      (s) => s.leasesExpired,
    );
  }

  private addDisk(): void {
    const m = this.metrics;
    this.histogram(
      'etcd_disk_wal_fsync_duration_seconds',
      'Waits for the log to reach the disk.',
      m.walFsync,
    );
    this.histogram(
      'etcd_disk_backend_commit_duration_seconds',
      'Durations of commits to the store.',
      m.backendCommit,
    );
    this.gauge(
      'etcd_disk_wal_write_bytes_total',
      'Bytes written to the log.',
      () => m.walWrittenBytes,
    );
  }

  private addClients(): void {
    const m = this.metrics;
    this.counter(
      'etcd_network_client_grpc_sent_bytes_total',
      'Bytes of messages sent to clients.',
      () => m.clientSentBytes,
    );
    this.counter(
      'etcd_network_client_grpc_received_bytes_total',
      'Bytes of messages received from clients.',
      () => m.clientReceivedBytes,
    );
  }

  private addMethods(): void {
    const { methods } = this.metrics;
    const labels = methods.map(
      ({ labels: { service, method, type } }) =>
        `grpc_method="${method}",grpc_service="${service}",grpc_type="${type}"`,
    );
    const count = (
      name: string,
      help: string,
      read: (counters: MethodCounters) => number,
    ): void => {
      const prefixes = labels.map((text) => `${name}{${text}} `);
      this.add(name, 'counter', help, (out) => {
        methods.forEach((counters, i) => out.push(`${prefixes[i] ?? ''}${read(counters)}`));
      });
    };
    count('grpc_server_started_total', 'Calls started.', (counters) => counters.started);
    count('grpc_server_msg_received_total', 'Messages received.', (counters) => counters.received);
    count('grpc_server_msg_sent_total', 'Messages sent.', (counters) => counters.sent);
    const handled = 'grpc_server_handled_total';
    const byCode = labels.map((text) =>
      CODE_NAMES.map((code) => `${handled}{grpc_code="${code}",${text}} `),
    );
    this.add(handled, 'counter', 'Calls ended.', (out) => {
      methods.forEach((counters, i) => {
        const prefixes = byCode[i] ?? [];
        prefixes.forEach((prefix, code) => out.push(`${prefix}${counters.handled[code] ?? 0}`));
      });
    });
    const seconds = 'grpc_server_handling_seconds';
    const histograms = methods.flatMap((counters, i) =>
      counters.seconds === undefined
        ? []
        : [
            {
              source: counters.seconds,
              prefixes: histogramPrefixes(seconds, counters.seconds, `${labels[i] ?? ''},`),
            },
          ],
    );
    if (histograms.length === 0) return;
    this.add(seconds, 'histogram', 'Durations of calls.', (out) => {
      for (const { source, prefixes } of histograms) writeHistogram(out, prefixes, source);
    });
  }

  private addPeers(): void {
    const { peers } = this.metrics;
    const perPeer = (
      name: string,
      type: 'gauge' | 'counter',
      help: string,
      label: 'To' | 'From' | 'Remote',
      read: (counters: PeerCounters) => number,
    ): void => {
      this.add(name, type, help, (out, sample) => {
        const local = label === 'Remote' ? `Local="${idText(sample.memberId)}",` : '';
        for (const [id, counters] of peers) {
          out.push(`${name}{${local}${label}="${idText(id)}"} ${read(counters)}`);
        }
      });
    };
    perPeer(
      'etcd_network_peer_sent_bytes_total',
      'counter',
      'Bytes sent to a member.',
      'To',
      (p) => p.sentBytes,
    );
    perPeer(
      'etcd_network_peer_received_bytes_total',
      'counter',
      'Bytes received from a member.',
      'From',
      (p) => p.receivedBytes,
    );
    perPeer(
      'etcd_network_peer_sent_failures_total',
      'counter',
      'Failures to send to a member.',
      'To',
      (p) => p.sentFailures,
    );
    perPeer(
      'etcd_network_peer_received_failures_total',
      'counter',
      'Failures to receive from a member.',
      'From',
      (p) => p.receivedFailures,
    );
    perPeer('etcd_network_active_peers', 'gauge', 'Whether a member is connected.', 'Remote', (p) =>
      Number(p.isConnected),
    );
    perPeer('etcd_network_known_peers', 'gauge', 'Other members.', 'Remote', () => 1);
    perPeer(
      'etcd_network_disconnected_peers_total',
      'counter',
      'Lost connections to a member.',
      'Remote',
      (p) => p.disconnects,
    );
    const snapshots = 'etcd_network_snapshot';
    perPeer(
      `${snapshots}_send_success`,
      'counter',
      'Snapshots a member took.',
      'To',
      (p) => p.snapshotsSent,
    );
    perPeer(
      `${snapshots}_send_failures`,
      'counter',
      'Snapshots a member did not get.',
      'To',
      (p) => p.snapshotSendFailures,
    );
    perPeer(
      `${snapshots}_receive_success`,
      'counter',
      'Snapshots taken from a member.',
      'From',
      (p) => p.snapshotsReceived,
    );
    perPeer(
      `${snapshots}_receive_failures`,
      'counter',
      'Snapshots of a member that did not arrive whole.',
      'From',
      (p) => p.snapshotReceiveFailures,
    );
    const roundTrip = 'etcd_network_peer_round_trip_time_seconds';
    this.add(roundTrip, 'histogram', 'Round trips to a member.', (out) => {
      for (const [id, counters] of peers) {
        const prefixes = histogramPrefixes(roundTrip, counters.roundTrip, `To="${idText(id)}",`);
        writeHistogram(out, prefixes, counters.roundTrip);
      }
    });
  }

  private addProcess(): void {
    // Memory, CPU, file descriptors, garbage collection, and the delay of the event loop.
    collectDefaultMetrics({ register: this.process });
    const limit = openFilesLimit();
    this.gauge('os_fd_limit', 'Largest number of open files.', () => limit);
    this.gauge('os_fd_used', 'Open files.', () => openFiles());
  }

  private gauge(name: string, help: string, read: (sample: MemberSample) => number): void {
    this.add(name, 'gauge', help, (out, sample) => out.push(`${name} ${read(sample)}`));
  }

  private counter(name: string, help: string, read: (sample: MemberSample) => number): void {
    this.add(name, 'counter', help, (out, sample) => out.push(`${name} ${read(sample)}`));
  }

  private histogram(name: string, help: string, source: PlainHistogram): void {
    const prefixes = histogramPrefixes(name, source, '');
    this.add(name, 'histogram', help, (out) => writeHistogram(out, prefixes, source));
  }

  private add(
    name: string,
    type: 'gauge' | 'counter' | 'histogram',
    help: string,
    write: Write,
  ): void {
    this.families.push({ head: `# HELP ${name} ${help}\n# TYPE ${name} ${type}`, write });
  }
}

/** What precedes each number of a histogram, in the order of `writeHistogram`. `labels` is empty or ends with a comma. */
function histogramPrefixes(name: string, source: PlainHistogram, labels: string): string[] {
  const own = labels === '' ? '' : `{${labels.slice(0, -1)}}`;
  return [
    ...source.bounds.map((bound) => `${name}_bucket{${labels}le="${bound}"} `),
    `${name}_bucket{${labels}le="+Inf"} `,
    `${name}_sum${own} `,
    `${name}_count${own} `,
  ];
}

function writeHistogram(out: string[], prefixes: readonly string[], source: PlainHistogram): void {
  const { bounds, counts } = source;
  let cumulative = 0;
  for (let i = 0; i <= bounds.length; i++) {
    cumulative += counts[i] ?? 0;
    out.push(`${prefixes[i] ?? ''}${cumulative}`);
  }
  out.push(`${prefixes[bounds.length + 1] ?? ''}${source.sum}`);
  out.push(`${prefixes[bounds.length + 2] ?? ''}${source.total}`);
}

/** The soft limit of open files; 0 where the system does not tell. */
function openFilesLimit(): number {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return Number(line?.[1] ?? 0);
  } catch {
    // Only Linux has this file.
    return 0;
  }
}

function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    // Only Linux has this directory.
    return 0;
  }
}
