import { availableParallelism, cpus } from 'node:os';
import { formatDurationMs } from '../../base/go-duration.js';
import { ETCD_VERSION, goArchitecture, mainstayVersion } from '../../base/flags/version.js';
import type { LogFields } from '../../base/observe/logger.js';
import { FEATURE_GATES, GATE_NAMES } from './feature-gates.js';
import type { ServerConfig } from './server-config.js';

/**
 * The configuration a member runs with, from all sources: the fields of etcd's line "starting an
 * etcd server" (embed/etcd.go) as far as they exist here, then our own.
 *
 * `isInitialized` is true for a member with data, for which the initial-* settings do not matter.
 */
export function effectiveConfig(config: ServerConfig, isInitialized: boolean): LogFields {
  return {
    ...programFields(),
    'member-initialized': isInitialized,
    name: config.name,
    'data-dir': config.dataDir,
    'wal-dir': config.walDir ?? '',
    'wal-dir-dedicated': config.walDir ?? '',
    'member-dir': `${config.dataDir}/member`,
    'heartbeat-interval': formatDurationMs(config.heartbeatMs),
    'election-timeout': formatDurationMs(config.electionMs),
    'initial-election-tick-advance': config.initialElectionTickAdvance,
    'snapshot-count': config.snapshotCount,
    'snapshot-catchup-entries': config.snapshotCatchupEntries,
    'initial-advertise-peer-urls': config.advertisePeerUrls,
    'listen-peer-urls': config.listenPeerUrls.map((url) => url.text),
    'advertise-client-urls': config.advertiseClientUrls,
    'listen-client-urls': config.listenClientUrls.map((url) => url.text),
    'listen-metrics-urls': config.listenMetricsUrls.map((url) => url.text),
    cors: config.cors,
    'host-whitelist': config.hostWhitelist,
    'initial-cluster': initialClusterText(config),
    'initial-cluster-state': config.cluster.state,
    'initial-cluster-token': config.cluster.token,
    'quota-backend-bytes': Number.isFinite(config.quotaBytes) ? config.quotaBytes : -1,
    'max-request-bytes': config.maxRequestBytes,
    'max-concurrent-streams': config.maxConcurrentStreams,
    'pre-vote': config.preVote,
    'feature-gates': featureGatesText(config),
    ...compactionFields(config),
    ...ownFields(config),
  };
}

function programFields(): LogFields {
  return {
    'etcd-version': ETCD_VERSION,
    'git-sha': `mainstay-${mainstayVersion()}`,
    'node-version': process.versions.node,
    'go-os': process.platform,
    'go-arch': goArchitecture(),
    'max-cpu-set': availableParallelism(),
    'max-cpu-available': cpus().length,
    pid: process.pid,
  };
}

function compactionFields({ autoCompaction }: ServerConfig): LogFields {
  const retentionMs = autoCompaction.mode === 'periodic' ? autoCompaction.retentionMs : 0;
  return {
    'auto-compaction-mode': autoCompaction.mode === 'revision' ? 'revision' : 'periodic',
    'auto-compaction-retention':
      autoCompaction.mode === 'revision'
        ? autoCompaction.retentionRevisions
        : formatDurationMs(retentionMs),
    'auto-compaction-interval': formatDurationMs(retentionMs),
  };
}

function ownFields(config: ServerConfig): LogFields {
  return {
    'max-txn-ops': config.maxTxnOps,
    'compaction-batch-limit': config.compactionBatchLimit,
    'compaction-sleep-interval': formatDurationMs(config.compactionSleepMs),
    'watch-progress-notify-interval': formatDurationMs(config.watchProgressIntervalMs),
    'grpc-keepalive-min-time': formatDurationMs(config.keepaliveMinTimeMs),
    'grpc-keepalive-interval': formatDurationMs(config.keepaliveIntervalMs),
    'grpc-keepalive-timeout': formatDurationMs(config.keepaliveTimeoutMs),
    'warning-apply-duration': formatDurationMs(config.warningApplyMs),
    'warning-unary-request-duration': formatDurationMs(config.warningUnaryRequestMs),
    metrics: config.metrics,
    'log-level': config.log.level,
    'log-outputs': config.log.outputs,
    'rpc-transport': config.rpcTransport,
    'unsafe-no-fsync': config.unsafeNoFsync,
  };
}

function initialClusterText({ cluster }: ServerConfig): string {
  return cluster.members
    .flatMap(({ name, peerUrls }) => peerUrls.map((url) => `${name}=${url}`))
    .join(',');
}

/** The gates that are not at their default, as one would write them. */
function featureGatesText({ featureGates }: ServerConfig): string {
  return GATE_NAMES.filter((name) => featureGates[name] !== FEATURE_GATES[name].default)
    .map((name) => `${name}=${featureGates[name]}`)
    .sort()
    .join(',');
}
