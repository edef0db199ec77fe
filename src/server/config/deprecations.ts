/**
 * Warnings about names that etcd 3.6 has deprecated, in its words (etcdmain/config.go of 3.6.16): operators and log
 * alarms match on them. Most follow one of two patterns; the rest is written out.
 */

/** Older names whose warning has "in v3.6" and quotes the successor. */
const QUOTED = [
  'corrupt-check-time',
  'compaction-batch-limit',
  'watch-progress-notify-interval',
  'warning-apply-duration',
  'bootstrap-defrag-threshold-megabytes',
  'memory-mlock',
  'snapshot-catchup-entries',
  'downgrade-check-time',
] as const;

/** Older names whose warning has "in 3.6" and does not quote the successor. */
const PLAIN = [
  'enable-distributed-tracing',
  'distributed-tracing-address',
  'distributed-tracing-service-name',
  'distributed-tracing-instance-id',
  'distributed-tracing-sampling-rate',
] as const;

const until = (flag: string, release: string, end: string, successor: string): string =>
  `--${flag} is deprecated in ${release} and will be decommissioned in ${end}. Use ${successor} instead.`;

/** The complete warning for each deprecated name. */
export const DEPRECATIONS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    QUOTED.map((name) => [
      `experimental-${name}`,
      until(`experimental-${name}`, 'v3.6', 'v3.7', `'--${name}'`),
    ]),
  ),
  ...Object.fromEntries(
    PLAIN.map((name) => [
      `experimental-${name}`,
      until(`experimental-${name}`, '3.6', '3.7', `--${name}`),
    ]),
  ),
  'experimental-compaction-sleep-interval': until(
    'experimental-compaction-sleep-interval',
    'v3.6',
    'v3.7',
    "'compaction-sleep-interval'",
  ),
  'experimental-compact-hash-check-enabled': until(
    'experimental-compact-hash-check-enabled',
    '3.6',
    '3.7',
    "'--feature-gates=CompactHashCheck=true'",
  ),
  'experimental-compact-hash-check-time': until(
    'experimental-compact-hash-check-time',
    '3.6',
    '3.7',
    "'--compact-hash-check-time'",
  ),
  'experimental-txn-mode-write-with-shared-buffer': until(
    'experimental-txn-mode-write-with-shared-buffer',
    'v3.6',
    'v3.7',
    "'--feature-gates=TxnModeWriteWithSharedBuffer=true'",
  ),
  'experimental-warning-unary-request-duration':
    '--experimental-warning-unary-request-duration is deprecated, and will be decommissioned in v3.7. ' +
    'Use --warning-unary-request-duration instead.',
  'max-snapshots': '--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.',
  'v2-deprecation':
    '--v2-deprecation is deprecated and scheduled for removal in v3.8. ' +
    'The default value is enforced, ignoring user input.',
};
