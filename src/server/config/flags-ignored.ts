import type { FlagSpec, FlagType } from '../../base/flags/spec.js';

const NO_MEMBERSHIP = 'has no effect until members can be added and removed at run time';
const NO_BBOLT = 'has no effect: it tunes a storage engine that mainstay does not use';
const NO_TRACING = 'has no effect: distributed tracing is not part of this release';
const NO_CHECKS = 'has no effect: comparing data between members is not part of this release';

/** Boolean flags of etcd before 3.6 that became feature gates. */
const GATE_FLAGS: Readonly<Record<string, string>> = {
  'experimental-initial-corrupt-check': 'InitialCorruptCheck',
  'experimental-compact-hash-check-enabled': 'CompactHashCheck',
  'experimental-enable-lease-checkpoint': 'LeaseCheckpoint',
  'experimental-enable-lease-checkpoint-persist': 'LeaseCheckpointPersist',
  'experimental-stop-grpc-service-on-defrag': 'StopGRPCServiceOnDefrag',
  'experimental-txn-mode-write-with-shared-buffer': 'TxnModeWriteWithSharedBuffer',
};

/** Names that etcd itself has ignored since its first version. */
const LEGACY_NAMES = [
  'cluster-active-size',
  'cluster-remove-delay',
  'cluster-sync-interval',
  'config',
  'force',
  'max-result-buffer',
  'max-retry-attempts',
  'peer-heartbeat-interval',
  'peer-election-timeout',
  'retry-interval',
  'snapshot',
  'v',
  'vv',
] as const;

/** Flags that tune what mainstay does not have, and older spellings of feature gates: accepted, with a warning. */
export const IGNORED_FLAGS: readonly FlagSpec[] = [
  {
    name: 'strict-reconfig-check',
    type: 'bool',
    default: 'true',
    group: 'Clustering',
    effect: 'ignored',
    note: NO_MEMBERSHIP,
    doc: 'Refuse changes of membership that would cost the quorum.',
  },
  {
    name: 'max-learners',
    type: 'int',
    default: '1',
    group: 'Clustering',
    effect: 'ignored',
    note: NO_MEMBERSHIP,
    aliases: ['experimental-max-learners'],
    doc: 'Largest number of non-voting members.',
  },
  {
    name: 'enable-grpc-gateway',
    type: 'bool',
    default: 'false',
    group: 'Accepted for compatibility',
    effect: 'ignored',
    note: 'has no effect: the JSON gateway under /v3 is not part of this release',
    doc: 'Serve the API as JSON over HTTP.',
  },
  ignored('logger', 'string', 'zap', 'has no effect: there is one logger', 'Name of the logger.'),
  ignored(
    'max-snapshots',
    'uint',
    '5',
    'has no effect: mainstay keeps no snapshot files apart from the store',
    'Snapshot files to keep.',
  ),
  ignored(
    'max-wals',
    'uint',
    '5',
    'has no effect: the log keeps exactly the files it needs',
    'Log files to keep.',
  ),
  ignored('memory-mlock', 'bool', 'false', NO_BBOLT, 'Lock the store in memory.', [
    'experimental-memory-mlock',
  ]),
  ignored(
    'backend-bbolt-freelist-type',
    'string',
    'map',
    NO_BBOLT,
    "Kind of free list in etcd's store.",
  ),
  ignored(
    'backend-batch-interval',
    'duration',
    '0s',
    NO_BBOLT,
    "Longest wait for a commit of etcd's store.",
  ),
  ignored('backend-batch-limit', 'int', '0', NO_BBOLT, "Most writes in a commit of etcd's store."),
  ignored(
    'bootstrap-defrag-threshold-megabytes',
    'uint',
    '0',
    NO_BBOLT,
    'Space to gain that makes a start defragment.',
    ['experimental-bootstrap-defrag-threshold-megabytes'],
  ),
  ignored(
    'socket-reuse-port',
    'bool',
    'false',
    'has no effect: Node.js gives no access to this socket option',
    'Share ports with other processes.',
    [],
    'socket-options.reuse-port',
  ),
  ignored(
    'socket-reuse-address',
    'bool',
    'false',
    'has no effect: Node.js sets this socket option itself',
    'Reuse addresses in TIME_WAIT.',
    [],
    'socket-options.reuse-address',
  ),
  ignored(
    'raft-read-timeout',
    'duration',
    '5s',
    "has no effect: mainstay's peer protocol has timeouts of its own",
    'Read timeout between peers.',
    [],
    null,
  ),
  ignored(
    'raft-write-timeout',
    'duration',
    '5s',
    "has no effect: mainstay's peer protocol has timeouts of its own",
    'Write timeout between peers.',
    [],
    null,
  ),
  ignored(
    'corrupt-check-time',
    'duration',
    '0s',
    NO_CHECKS,
    'Time between two comparisons of data.',
    ['experimental-corrupt-check-time'],
  ),
  ignored(
    'compact-hash-check-time',
    'duration',
    '1m',
    NO_CHECKS,
    'Time between two comparisons of compacted data.',
    ['experimental-compact-hash-check-time'],
  ),
  ignored(
    'downgrade-check-time',
    'duration',
    '5s',
    'has no effect: there is no older release to go back to',
    'Time between two looks at a downgrade.',
    ['experimental-downgrade-check-time'],
  ),
  ignored(
    'v2-deprecation',
    'string',
    'write-only',
    'has no effect: there is no version 2 store',
    'Stage of the removal of the version 2 store.',
  ),
  ignored(
    'discovery-fallback',
    'string',
    'exit',
    'has no effect without discovery',
    'What follows when discovery fails.',
  ),
  ignored(
    'discovery-dial-timeout',
    'duration',
    '2s',
    'has no effect without discovery',
    'Wait for a connection to the registry.',
    [],
    'discovery-config.client.dial-timeout',
  ),
  ignored(
    'discovery-request-timeout',
    'duration',
    '5s',
    'has no effect without discovery',
    'Wait for an answer of the registry.',
    [],
    'discovery-config.client.request-timeout',
  ),
  ignored(
    'discovery-keepalive-time',
    'duration',
    '2s',
    'has no effect without discovery',
    'Time between pings to the registry.',
    [],
    'discovery-config.client.keepalive-time',
  ),
  ignored(
    'discovery-keepalive-timeout',
    'duration',
    '6s',
    'has no effect without discovery',
    'Wait for the answer to a ping.',
    [],
    'discovery-config.client.keepalive-timeout',
  ),
  ignored(
    'discovery-insecure-transport',
    'bool',
    'true',
    'has no effect without discovery',
    'Talk to the registry without TLS.',
    [],
    'discovery-config.client.secure.insecure-transport',
  ),
  ignored(
    'discovery-insecure-skip-tls-verify',
    'bool',
    'false',
    'has no effect without discovery',
    'Trust any certificate of the registry.',
    [],
    'discovery-config.client.secure.insecure-skip-tls-verify',
  ),
  ignored(
    'enable-log-rotation',
    'bool',
    'false',
    'has no effect: rotate log files with a tool such as logrotate',
    'Rotate log files.',
  ),
  ignored(
    'log-rotation-config-json',
    'string',
    '',
    'has no effect: rotate log files with a tool such as logrotate',
    'Settings for it.',
  ),
  ignored(
    'enable-pprof',
    'bool',
    'false',
    'has no effect: profiles of a Go program do not exist here',
    'Serve profiles.',
  ),
  ignored('enable-distributed-tracing', 'bool', 'false', NO_TRACING, 'Send traces.', [
    'experimental-enable-distributed-tracing',
  ]),
  ignored(
    'distributed-tracing-address',
    'string',
    'localhost:4317',
    NO_TRACING,
    'Where traces go.',
    ['experimental-distributed-tracing-address'],
  ),
  ignored(
    'distributed-tracing-service-name',
    'string',
    'etcd',
    NO_TRACING,
    'Service name in traces.',
    ['experimental-distributed-tracing-service-name'],
  ),
  ignored('distributed-tracing-instance-id', 'string', '', NO_TRACING, 'Instance id in traces.', [
    'experimental-distributed-tracing-instance-id',
  ]),
  ignored(
    'distributed-tracing-sampling-rate',
    'int',
    '0',
    NO_TRACING,
    'Share of requests to trace.',
    ['experimental-distributed-tracing-sampling-rate'],
  ),
  ...Object.entries(GATE_FLAGS).map(([name, gate]) => gateFlag(name, gate)),
  ...LEGACY_NAMES.map((name) => legacy(name)),
];

function ignored(
  name: string,
  type: FlagType,
  defaultText: string,
  note: string,
  doc: string,
  aliases: readonly string[] = [],
  fileKey: string | null = name,
): FlagSpec {
  return {
    name,
    type,
    default: defaultText,
    group: 'Accepted for compatibility',
    effect: 'ignored',
    note,
    doc,
    aliases,
    fileKey,
  };
}

function gateFlag(name: string, gate: string): FlagSpec {
  return {
    name,
    type: 'bool',
    default: 'false',
    group: 'Accepted for compatibility',
    effect: 'served',
    gate,
    doc: `Older spelling of --feature-gates=${gate}=true.`,
  };
}

function legacy(name: string): FlagSpec {
  return {
    name,
    type: 'legacy',
    default: '',
    group: 'Accepted for compatibility',
    effect: 'ignored',
    note: 'has no effect: it belongs to releases of etcd before 3.0',
    doc: 'From etcd before 3.0.',
  };
}
