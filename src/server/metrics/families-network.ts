/** Metrics of the traffic with clients and other members. Names, types and labels are etcd's. */
import { labelText, type MetricType } from '../../base/observe/exposition.js';
import { idText } from '../../base/bytes/id-text.js';
import type { MethodCounters, PeerCounters, SnapshotCounters } from './counters.js';
import { counter, gauge, type MemberFamily } from './scrape.js';

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
const CODE_LABELS = CODE_NAMES.map((code) => labelText({ grpc_code: code }));

/** A family with a sample for each other member. */
function perPeer(
  name: string,
  type: Exclude<MetricType, 'histogram'>,
  label: 'To' | 'From' | 'Remote',
  help: string,
  read: (counters: PeerCounters) => number,
): MemberFamily {
  return {
    name,
    type,
    help,
    write: (out, { metrics, member }) => {
      const local = label === 'Remote' ? { Local: idText(member.memberId) } : {};
      for (const [id, counters] of metrics.peers)
        out.sample(labelText({ ...local, [label]: idText(id) }), read(counters));
    },
  };
}

/** The families of snapshots in one direction. */
function snapshots(
  direction: 'send' | 'receive',
  label: 'To' | 'From',
  what: string,
  read: (counters: PeerCounters) => SnapshotCounters,
): MemberFamily[] {
  const prefix = `etcd_network_snapshot_${direction}`;
  return [
    perPeer(`${prefix}_success`, 'counter', label, `${what} that arrived whole.`, (p) => {
      return read(p).successes;
    }),
    perPeer(`${prefix}_failures`, 'counter', label, `${what} that did not arrive whole.`, (p) => {
      return read(p).failures;
    }),
    perPeer(`${prefix}_inflights_total`, 'gauge', label, `${what} under way.`, (p) => {
      return read(p).inFlight;
    }),
    {
      name: `${prefix}_total_duration_seconds`,
      type: 'histogram',
      help: `Durations of ${what.toLowerCase()} that arrived whole.`,
      write: (out, { metrics }) => {
        for (const [id, counters] of metrics.peers)
          out.histogram(labelText({ [label]: idText(id) }), read(counters).seconds);
      },
    },
  ];
}

const PEERS: readonly MemberFamily[] = [
  perPeer('etcd_network_peer_sent_bytes_total', 'counter', 'To', 'Bytes sent to a member.', (p) => {
    return p.sentBytes;
  }),
  perPeer(
    'etcd_network_peer_received_bytes_total',
    'counter',
    'From',
    'Bytes received from a member.',
    (p) => p.receivedBytes,
  ),
  perPeer(
    'etcd_network_peer_sent_failures_total',
    'counter',
    'To',
    'Failures to send to a member.',
    (p) => p.sentFailures,
  ),
  perPeer(
    'etcd_network_peer_received_failures_total',
    'counter',
    'From',
    'Failures to receive from a member.',
    (p) => p.receivedFailures,
  ),
  perPeer('etcd_network_active_peers', 'gauge', 'Remote', '1 if a member is connected.', (p) =>
    Number(p.isConnected),
  ),
  perPeer(
    'etcd_network_disconnected_peers_total',
    'counter',
    'Remote',
    'Lost connections to a member.',
    (p) => p.disconnects,
  ),
  {
    name: 'etcd_network_known_peers',
    type: 'gauge',
    help: 'Members of the cluster, this one included.',
    write: (out, { member }) => {
      const local = idText(member.memberId);
      for (const id of member.members)
        out.sample(labelText({ Local: local, Remote: idText(id) }), 1);
    },
  },
  {
    name: 'etcd_network_peer_round_trip_time_seconds',
    type: 'histogram',
    help: 'Round trips to a member.',
    write: (out, { metrics }) => {
      for (const [id, { roundTrip }] of metrics.peers)
        out.histogram(labelText({ To: idText(id) }), roundTrip);
    },
  },
  ...snapshots('send', 'To', 'Snapshots to a member', (p) => p.snapshotsSent),
  ...snapshots('receive', 'From', 'Snapshots from a member', (p) => p.snapshotsReceived),
];

/** A family with a sample for each method. */
function perMethod(
  name: string,
  help: string,
  read: (counters: MethodCounters) => number,
): MemberFamily {
  return {
    name,
    type: 'counter',
    help,
    write: (out, { metrics }) => {
      for (const counters of metrics.methods) out.sample(counters.labelText, read(counters));
    },
  };
}

const METHODS: readonly MemberFamily[] = [
  perMethod('grpc_server_started_total', 'Calls started.', (counters) => counters.started),
  perMethod('grpc_server_msg_received_total', 'Messages received.', (counters) => {
    return counters.received;
  }),
  perMethod('grpc_server_msg_sent_total', 'Messages sent.', (counters) => counters.sent),
  {
    name: 'grpc_server_handled_total',
    type: 'counter',
    help: 'Calls ended.',
    write: (out, { metrics }) => {
      for (const { handled, labelText: labels } of metrics.methods) {
        CODE_LABELS.forEach((code, number) => {
          out.sample(`${code},${labels}`, handled[number] ?? 0);
        });
      }
    },
  },
];

/** Only with `--metrics=extensive`: 14 lines a method. */
const METHOD_DURATIONS: MemberFamily = {
  name: 'grpc_server_handling_seconds',
  type: 'histogram',
  help: 'Durations of calls.',
  write: (out, { metrics }) => {
    for (const counters of metrics.methods) {
      const { seconds } = counters;
      if (seconds !== undefined) out.histogram(counters.labelText, seconds);
    }
  },
};

const CLIENTS: readonly MemberFamily[] = [
  counter(
    'etcd_network_client_grpc_sent_bytes_total',
    'Bytes of messages sent to clients.',
    ({ metrics }) => metrics.clientSentBytes,
  ),
  counter(
    'etcd_network_client_grpc_received_bytes_total',
    'Bytes of messages received from clients.',
    ({ metrics }) => metrics.clientReceivedBytes,
  ),
  gauge(
    'promhttp_metric_handler_requests_in_flight',
    'Scrapes under way.',
    ({ metrics }) => metrics.scrapes.inFlight,
  ),
  {
    name: 'promhttp_metric_handler_requests_total',
    type: 'counter',
    help: 'Scrapes answered, by HTTP status.',
    write: (out, { metrics }) => {
      out.sample(labelText({ code: '200' }), metrics.scrapes.ok);
      out.sample(labelText({ code: '500' }), metrics.scrapes.failed);
    },
  },
];

/** `isExtensive` adds a histogram for each method. */
export function networkFamilies(isExtensive: boolean): readonly MemberFamily[] {
  const durations = isExtensive ? [METHOD_DURATIONS] : [];
  return [...PEERS, ...CLIENTS, ...METHODS, ...durations];
}
