/** Metrics of the member itself: consensus, health, identity. Names, types and labels are etcd's. */
import { labelText, type Samples } from '../../base/observe/exposition.js';
import { ETCD_VERSION } from '../../base/flags/version.js';
import { idText } from '../../base/bytes/id-text.js';
import type { OperationDurations } from './counters.js';
import { counter, gauge, type MemberFamily } from './scrape.js';

export const SERVER_FAMILIES: readonly MemberFamily[] = [
  gauge('etcd_server_has_leader', '1 if this member knows a leader.', ({ member }) =>
    Number(member.hasLeader),
  ),
  gauge('etcd_server_is_leader', '1 if this member is the leader.', ({ member }) =>
    Number(member.isLeader),
  ),
  gauge('etcd_server_is_learner', '1 if this member does not vote.', ({ member }) =>
    Number(member.isLearner),
  ),
  counter(
    'etcd_server_leader_changes_seen_total',
    'Changes of leader seen.',
    ({ member }) => member.leaderChanges,
  ),
  counter(
    'etcd_server_heartbeat_send_failures_total',
    'Heartbeats this leader sent more than one interval late.',
    ({ metrics }) => metrics.lateHeartbeats,
  ),
  gauge(
    'etcd_server_proposals_committed_total',
    'Last committed log index.',
    ({ member }) => member.committedIndex,
  ),
  gauge(
    'etcd_server_proposals_applied_total',
    'Last applied log index.',
    ({ member }) => member.appliedIndex,
  ),
  gauge(
    'etcd_server_proposals_pending',
    'Proposals waiting to be committed.',
    ({ member }) => member.proposalsPending,
  ),
  counter(
    'etcd_server_proposals_failed_total',
    'Proposals that failed.',
    ({ member }) => member.proposalsFailed,
  ),
  {
    name: 'etcd_server_apply_duration_seconds',
    type: 'histogram',
    help: 'Durations of applying one committed command.',
    write: (out, { metrics }) => {
      writeDurations(out, metrics.applyDurations, (op, success) => ({
        version: 'v3',
        op,
        success,
      }));
    },
  },
  counter(
    'etcd_server_slow_apply_total',
    'Requests that took long to apply.',
    ({ metrics }) => metrics.slowApplies,
  ),
  {
    name: 'etcd_server_range_duration_seconds',
    type: 'histogram',
    help: 'Durations of ranges, without the wait for their consistency.',
    write: (out, { metrics }) => {
      writeDurations(out, metrics.ranges, (_op, success) => ({ success }));
    },
  },
  counter(
    'etcd_server_slow_read_indexes_total',
    'Slow confirmations of leadership for reads.',
    ({ member }) => member.slowReadIndexes,
  ),
  counter(
    'etcd_server_read_indexes_failed_total',
    'Failed confirmations of leadership for reads.',
    ({ member }) => member.readIndexesFailed,
  ),
  gauge(
    'etcd_server_snapshot_apply_in_progress_total',
    '1 while a received snapshot replaces the state.',
    ({ member }) => Number(member.isRestoring),
  ),
  gauge(
    'etcd_server_quota_backend_bytes',
    'Size at which writes are refused.',
    ({ member }) => member.quotaBytes,
  ),
  {
    name: 'etcd_server_client_requests_total',
    type: 'counter',
    help: 'Calls by the API version their client names.',
    write: (out, { metrics }) => {
      metrics.clientRequests.forEach((type, version, count) => {
        out.sample(labelText({ client_api_version: version, type }), count);
      });
    },
  },
  counter(
    'etcd_server_health_success',
    'Requests for /health answered with true.',
    ({ metrics }) => metrics.healthSuccesses,
  ),
  counter(
    'etcd_server_health_failures',
    'Requests for /health answered with false.',
    ({ metrics }) => metrics.healthFailures,
  ),
  {
    name: 'etcd_server_healthcheck',
    type: 'gauge',
    help: 'Latest result of a check of /livez or /readyz.',
    write: (out, { metrics }) => {
      for (const { probe, name, isOk } of metrics.checks.values())
        out.sample(labelText({ name, type: probe }), Number(isOk));
    },
  },
  {
    name: 'etcd_server_healthchecks_total',
    type: 'counter',
    help: 'Results of the checks of /livez and /readyz.',
    write: (out, { metrics }) => {
      for (const { probe, name, successes, errors } of metrics.checks.values()) {
        out.sample(labelText({ name, status: 'error', type: probe }), errors);
        out.sample(labelText({ name, status: 'success', type: probe }), successes);
      }
    },
  },
  {
    name: 'etcd_server_id',
    type: 'gauge',
    help: 'The id of this member, as a label.',
    write: (out, { member }) => out.sample(labelText({ server_id: idText(member.memberId) }), 1),
  },
  {
    name: 'etcd_server_version',
    type: 'gauge',
    help: 'The etcd version this member conforms to, as a label.',
    write: (out) => out.sample(labelText({ server_version: ETCD_VERSION }), 1),
  },
  {
    name: 'etcd_server_go_version',
    type: 'gauge',
    help: 'The runtime, as a label.',
    write: (out) =>
      out.sample(labelText({ server_go_version: `node ${process.versions.node}` }), 1),
  },
  {
    name: 'etcd_server_feature_enabled',
    type: 'gauge',
    help: '1 if a feature gate is switched on.',
    write: (out, { metrics }) => {
      for (const { name, stage, isEnabled } of metrics.features)
        out.sample(labelText({ name, stage }), Number(isEnabled));
    },
  },
  {
    name: 'etcd_cluster_version',
    type: 'gauge',
    help: "The cluster's version, as a label.",
    write: (out, { member }) => {
      if (member.clusterVersion === undefined) return;
      const minor = member.clusterVersion.split('.').slice(0, 2).join('.');
      out.sample(labelText({ cluster_version: minor }), 1);
    },
  },
  {
    name: 'etcd_debugging_server_alarms',
    type: 'gauge',
    help: 'Raised alarms.',
    write: (out, { member }) => {
      for (const { memberId, type } of member.alarms)
        out.sample(labelText({ server_id: idText(memberId), alarm_type: type }), 1);
    },
  },
  gauge(
    'etcd_debugging_auth_revision',
    'Revision of the users and roles.',
    ({ member }) => member.authRevision,
  ),
];

function writeDurations(
  out: Samples,
  durations: OperationDurations,
  labels: (operation: string, success: 'true' | 'false') => Readonly<Record<string, string>>,
): void {
  for (const [op, series] of durations.succeeded)
    out.histogram(labelText(labels(op, 'true')), series);
  for (const [op, series] of durations.failed)
    out.histogram(labelText(labels(op, 'false')), series);
}
