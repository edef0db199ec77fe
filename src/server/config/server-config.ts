import { parseAutoCompaction } from './compaction-retention.js';
import type { AutoCompaction } from './compaction-retention.js';
import { FEATURE_GATES, GATE_NAMES, isGateName, parseFeatureGates } from './feature-gates.js';
import type { FeatureGates, GateName } from './feature-gates.js';
import type { SERVED_FLAGS } from './flags-served.js';
import type { Settings, ValuesOf } from '../../base/flags/settings.js';
import { StartupError } from '../../base/flags/startup-error.js';
import { isBindable, normalUrl, parseServerUrl } from '../../base/flags/url.js';
import type { ServerUrl } from '../../base/flags/url.js';

/** All settings of a member's start, checked and in one shape for every source. */
export interface ServerConfig {
  readonly name: string;
  readonly dataDir: string;
  /** Directory of the log; undefined means inside `dataDir`. */
  readonly walDir: string | undefined;
  readonly listenPeerUrls: readonly ServerUrl[];
  readonly listenClientUrls: readonly ServerUrl[];
  readonly listenMetricsUrls: readonly ServerUrl[];
  readonly advertisePeerUrls: readonly string[];
  readonly advertiseClientUrls: readonly string[];
  readonly cluster: InitialCluster;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly initialElectionTickAdvance: boolean;
  readonly preVote: boolean;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  /** Infinity when there is no limit. */
  readonly quotaBytes: number;
  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  readonly keepaliveMinTimeMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly watchProgressIntervalMs: number;
  readonly autoCompaction: AutoCompaction;
  readonly compactionBatchLimit: number;
  readonly compactionSleepMs: number;
  readonly warningApplyMs: number;
  readonly warningUnaryRequestMs: number;
  readonly metrics: 'basic' | 'extensive';
  /** Allowed origins; empty or holding `*` allows all. */
  readonly cors: readonly string[];
  /** Allowed host names; empty or holding `*` allows all. */
  readonly hostWhitelist: readonly string[];
  readonly log: LogConfig;
  readonly featureGates: FeatureGates;
  readonly rpcTransport: 'http2' | 'grpc-js';
  readonly unsafeNoFsync: boolean;
  /** Indexes of log entries that are passed over. */
  readonly unsafeSkipEntries: readonly number[];
}

/** Settings that only matter to a member without data; bootstrap.ts checks it then. */
export interface InitialCluster {
  readonly state: 'new' | 'existing';
  readonly token: string;
  readonly members: readonly { readonly name: string; readonly peerUrls: readonly string[] }[];
}

export interface LogConfig {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'panic' | 'fatal';
  readonly format: 'auto' | 'json' | 'console';
  readonly outputs: readonly string[];
}

/** One value for every served flag, typed by its row in the table. */
type ServedValues = ValuesOf<typeof SERVED_FLAGS>;

const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;
const SUGGESTED_QUOTA_BYTES = 8 * 1024 ** 3;
const SUGGESTED_REQUEST_BYTES = 10 * 1024 ** 2;
const MAX_ELECTION_MS = 50_000;
const TICKS_PER_ELECTION_MIN = 5;

/**
 * Checks the settings against each other and gives them their final shape.
 *
 * Throws: StartupError for the first thing that is wrong.
 */
export function buildServerConfig(settings: Settings<ServedValues>): {
  config: ServerConfig;
  warnings: readonly string[];
} {
  const v = settings.values;
  const warnings: string[] = [];
  checkUrls(v, settings.explicit);
  checkTimes(v);
  const config: ServerConfig = {
    name: v.name,
    dataDir: v['data-dir'] === '' ? `${v.name}.etcd` : v['data-dir'],
    walDir: v['wal-dir'] === '' ? undefined : v['wal-dir'],
    listenPeerUrls: v['listen-peer-urls'],
    listenClientUrls: v['listen-client-urls'],
    listenMetricsUrls: v['listen-metrics-urls'],
    advertisePeerUrls: v['initial-advertise-peer-urls'].map((url) => url.text),
    advertiseClientUrls: v['advertise-client-urls'].map((url) => url.text),
    cluster: initialCluster(v),
    heartbeatMs: v['heartbeat-interval'],
    electionMs: v['election-timeout'],
    initialElectionTickAdvance: v['initial-election-tick-advance'],
    preVote: v['pre-vote'],
    snapshotCount: atLeastOne(v, 'snapshot-count'),
    snapshotCatchupEntries: v['snapshot-catchup-entries'],
    quotaBytes: quotaBytes(v['quota-backend-bytes'], warnings),
    maxTxnOps: v['max-txn-ops'],
    maxRequestBytes: atLeastOne(v, 'max-request-bytes'),
    maxConcurrentStreams: v['max-concurrent-streams'],
    keepaliveMinTimeMs: v['grpc-keepalive-min-time'],
    keepaliveIntervalMs: v['grpc-keepalive-interval'],
    keepaliveTimeoutMs: v['grpc-keepalive-timeout'],
    watchProgressIntervalMs: v['watch-progress-notify-interval'],
    autoCompaction: orRefuse(
      () => parseAutoCompaction(v['auto-compaction-mode'], v['auto-compaction-retention']),
      'use --auto-compaction-mode=periodic with a time such as 30m or 8 (hours), or --auto-compaction-mode=revision with a number',
    ),
    compactionBatchLimit: atLeastOne(v, 'compaction-batch-limit'),
    compactionSleepMs: v['compaction-sleep-interval'],
    warningApplyMs: v['warning-apply-duration'],
    warningUnaryRequestMs: v['warning-unary-request-duration'],
    metrics: v.metrics,
    cors: v.cors,
    hostWhitelist: v['host-whitelist'],
    log: { level: v['log-level'], format: v['log-format'], outputs: v['log-outputs'] },
    featureGates: featureGates(settings, warnings),
    rpcTransport: v['rpc-transport'],
    unsafeNoFsync: v['unsafe-no-fsync'],
    unsafeSkipEntries: v['unsafe-skip-entries'].map(entryIndex),
  };
  if (config.name === 'default' && !settings.explicit.has('name')) {
    warnings.push('--name is not set: every member of a cluster needs a name of its own');
  }
  if (config.maxRequestBytes > SUGGESTED_REQUEST_BYTES) {
    warnings.push(`--max-request-bytes (${config.maxRequestBytes}) is above the suggested 10 MiB`);
  }
  if (config.unsafeNoFsync) {
    warnings.push('--unsafe-no-fsync: acknowledged writes can be lost when the machine fails');
  }
  if (config.unsafeSkipEntries.length > 0) {
    warnings.push(
      '--unsafe-skip-entries: members that pass over different entries hold different data',
    );
  }
  return { config, warnings };
}

function checkUrls(v: ServedValues, explicit: ReadonlySet<string>): void {
  const listen = ['listen-peer-urls', 'listen-client-urls', 'listen-metrics-urls'] as const;
  for (const flag of listen) {
    if (v[flag].length === 0 && flag !== 'listen-metrics-urls') {
      throw new StartupError(`--${flag} is empty`, `give --${flag} at least one URL`);
    }
    for (const url of v[flag]) {
      refuseTls(url, flag);
      if (url.scheme === 'http' && !isBindable(url.host)) {
        throw new StartupError(
          `expected IP in URL for binding (${url.text})`,
          `use an IP address, localhost or 0.0.0.0 in --${flag}, and host names in the advertised URLs`,
        );
      }
    }
  }
  for (const flag of ['initial-advertise-peer-urls', 'advertise-client-urls'] as const) {
    if (v[flag].length === 0) {
      throw new StartupError(`--${flag} is empty`, `give --${flag} at least one URL`);
    }
    for (const url of v[flag]) refuseTls(url, flag);
  }
  if (explicit.has('listen-client-urls') && !explicit.has('advertise-client-urls')) {
    throw new StartupError(
      '--advertise-client-urls is required when --listen-client-urls is set explicitly',
      'add --advertise-client-urls with the addresses that clients should dial',
    );
  }
}

function entryIndex(text: string): number {
  const index = Number(text);
  if (/^[1-9][0-9]*$/.test(text) && Number.isSafeInteger(index)) return index;
  throw new StartupError(
    `"${text}" in --unsafe-skip-entries is not the index of a log entry`,
    'give the indexes that the refusing member named, separated by commas',
  );
}

function refuseTls(url: ServerUrl, flag: string): void {
  if (url.scheme !== 'https' && url.scheme !== 'unixs') return;
  throw new StartupError(
    `${url.text} in --${flag} needs TLS, which this release does not have yet`,
    `use http:// in --${flag}`,
  );
}

function checkTimes(v: ServedValues): void {
  const heartbeatMs = v['heartbeat-interval'];
  const electionMs = v['election-timeout'];
  if (heartbeatMs === 0) {
    throw new StartupError(
      '--heartbeat-interval must be >0 (set to 0ms)',
      'use about the round-trip time between members, such as 100',
    );
  }
  if (electionMs === 0) {
    throw new StartupError(
      '--election-timeout must be >0 (set to 0ms)',
      'use at least five times the heartbeat interval, such as 1000',
    );
  }
  if (TICKS_PER_ELECTION_MIN * heartbeatMs > electionMs) {
    throw new StartupError(
      `--election-timeout[${electionMs}ms] should be at least as 5 times as --heartbeat-interval[${heartbeatMs}ms]`,
      `set --election-timeout to ${TICKS_PER_ELECTION_MIN * heartbeatMs} or more, or shorten --heartbeat-interval`,
    );
  }
  if (electionMs > MAX_ELECTION_MS) {
    throw new StartupError(
      `--election-timeout[${electionMs}ms] is too long, and should be set less than ${MAX_ELECTION_MS}ms`,
      'lower --election-timeout',
    );
  }
  const durations = [
    'grpc-keepalive-min-time',
    'grpc-keepalive-interval',
    'grpc-keepalive-timeout',
    'watch-progress-notify-interval',
    'compaction-sleep-interval',
    'warning-apply-duration',
    'warning-unary-request-duration',
  ] as const;
  for (const flag of durations) {
    if (v[flag] < 0) throw new StartupError(`--${flag} is negative`, `set --${flag} to 0 or more`);
  }
}

function atLeastOne(
  v: ServedValues,
  flag: 'snapshot-count' | 'max-request-bytes' | 'compaction-batch-limit',
): number {
  if (v[flag] < 1) throw new StartupError(`--${flag} must be at least 1`, `raise --${flag}`);
  return v[flag];
}

function quotaBytes(flagValue: number, warnings: string[]): number {
  if (flagValue === 0) return DEFAULT_QUOTA_BYTES;
  if (flagValue < 0) return Infinity;
  if (flagValue > SUGGESTED_QUOTA_BYTES) {
    warnings.push(`--quota-backend-bytes (${flagValue}) is above the suggested 8 GiB`);
  }
  return flagValue;
}

function initialCluster(v: ServedValues): InitialCluster {
  const text = v['initial-cluster'];
  const token = v['initial-cluster-token'];
  const state = v['initial-cluster-state'];
  if (text === '') {
    const peerUrls = v['initial-advertise-peer-urls'].map((url) => url.text);
    return { state, token, members: [{ name: v.name, peerUrls }] };
  }
  return { state, token, members: parseInitialCluster(text) };
}

/**
 * Reads `name=url,name=url`; a name given twice has two URLs.
 *
 * Throws: StartupError.
 */
function parseInitialCluster(text: string): InitialCluster['members'] {
  const byName = new Map<string, string[]>();
  const owners = new Map<string, string>();
  for (const item of text.split(',')) {
    const at = item.indexOf('=');
    const name = item.slice(0, Math.max(at, 0)).trim();
    const nextStep = 'write --initial-cluster as name1=http://host1:2380,name2=http://host2:2380';
    if (name === '') {
      throw new StartupError(`"${item}" in --initial-cluster has no name`, nextStep);
    }
    const url = orRefuse(() => parseServerUrl(item.slice(at + 1).trim()), nextStep);
    refuseTls(url, 'initial-cluster');
    const owner = owners.get(normalUrl(url));
    if (owner !== undefined) {
      throw new StartupError(
        `--initial-cluster gives ${url.text} to ${owner} and to ${name}`,
        'give every member an address of its own',
      );
    }
    owners.set(normalUrl(url), name);
    const urls = byName.get(name) ?? [];
    urls.push(url.text);
    byName.set(name, urls);
  }
  return [...byName].map(([name, urls]) => ({ name, peerUrls: urls.sort() }));
}

function featureGates(settings: Settings<ServedValues>, warnings: string[]): FeatureGates {
  const text = settings.values['feature-gates'];
  const given = orRefuse(
    () => parseFeatureGates(text),
    `known gates: ${GATE_NAMES.join(', ')}, AllAlpha, AllBeta`,
  );
  const gates = Object.fromEntries(
    GATE_NAMES.map((name) => [
      name,
      given.get(name) ?? settings.gates.get(name)?.value ?? FEATURE_GATES[name].default,
    ]),
  ) as Record<GateName, boolean>;
  for (const [name, { flag, value }] of settings.gates) {
    if (!text.includes(name) || !isGateName(name)) continue;
    const gate = `--feature-gates=${name}=${String(gates[name])}`;
    throw new StartupError(
      `cannot specify both flags: --${flag}=${String(value)} and ${gate} at the same time, please just use ${gate}`,
      `leave out --${flag}`,
    );
  }
  for (const name of GATE_NAMES) {
    if (gates[name] !== FEATURE_GATES[name].default && !FEATURE_GATES[name].isEffective) {
      warnings.push(`feature gate ${name} has no effect in this release`);
    }
  }
  if (gates.LeaseCheckpointPersist && !gates.LeaseCheckpoint) {
    throw new StartupError(
      'enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint',
      'add LeaseCheckpoint=true to --feature-gates',
    );
  }
  if (gates.LeaseCheckpoint && !gates.LeaseCheckpointPersist) {
    warnings.push(
      'Detected that checkpointing is enabled without persistence. Consider enabling feature gate LeaseCheckpointPersist',
    );
  }
  return gates;
}

function orRefuse<T>(parse: () => T, nextStep: string): T {
  try {
    return parse();
  } catch (cause) {
    throw new StartupError(cause instanceof Error ? cause.message : String(cause), nextStep, {
      cause,
    });
  }
}
