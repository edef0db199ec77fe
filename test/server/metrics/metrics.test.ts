import { expect } from 'chai';
import { allMethods } from '../../../src/gen/services.js';
import { MetricsPage } from '../../../src/server/metrics/page.js';
import {
  MemberMetrics,
  PlainHistogram,
  doublingBounds,
} from '../../../src/server/metrics/metrics.js';
import { memberSample } from '../../support/member-sample.js';

const PUT = '/etcdserverpb.KV/Put';
const PUT_LABELS = 'grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"';

/** The number behind one series of a page. */
function value(page: string, series: string): number {
  const line = page.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  if (line === undefined) throw new Error(`no series ${series}`);
  return Number(line.slice(series.length + 1));
}

function setUp(isExtensive = false): { metrics: MemberMetrics; text: () => Promise<string> } {
  const metrics = new MemberMetrics({ methods: allMethods, isExtensive });
  const page = new MetricsPage(metrics, memberSample);
  return { metrics, text: () => page.text() };
}

describe('PlainHistogram', () => {
  it('counts a value in the first bucket whose bound it does not exceed', () => {
    const histogram = new PlainHistogram([1, 2, 4]);
    for (const observed of [0, 1, 1.5, 4, 5]) histogram.observe(observed);
    expect([...histogram.counts]).deep.equal([2, 1, 1, 1]);
    expect(histogram.total).equal(5);
    expect(histogram.sum).equal(11.5);
  });

  it('doubles its bounds', () => {
    expect(doublingBounds(0.001, 3)).deep.equal([0.001, 0.002, 0.004]);
  });
});

describe('MetricsPage', () => {
  it('has every method at zero from the start', async () => {
    const page = await setUp().text();
    for (const { service, method, type } of allMethods) {
      const labels = `grpc_method="${method}",grpc_service="${service}",grpc_type="${type}"`;
      expect(value(page, `grpc_server_started_total{${labels}}`)).equal(0);
      expect(value(page, `grpc_server_handled_total{grpc_code="OK",${labels}}`)).equal(0);
      expect(value(page, `grpc_server_handled_total{grpc_code="Unauthenticated",${labels}}`)).equal(
        0,
      );
    }
    expect(page).not.contain('grpc_server_handling_seconds');
  });

  it('counts what transports report', async () => {
    const { metrics, text } = setUp(true);
    metrics.started(PUT);
    metrics.started(PUT);
    metrics.messageReceived(PUT, 100);
    metrics.messageSent(PUT, 30);
    metrics.handled(PUT, 0, 0.02);
    metrics.handled(PUT, 14, 3);
    metrics.started('/invented/Method');
    const page = await text();
    expect(value(page, `grpc_server_started_total{${PUT_LABELS}}`)).equal(2);
    expect(value(page, `grpc_server_handled_total{grpc_code="OK",${PUT_LABELS}}`)).equal(1);
    expect(value(page, `grpc_server_handled_total{grpc_code="Unavailable",${PUT_LABELS}}`)).equal(
      1,
    );
    expect(value(page, `grpc_server_handling_seconds_bucket{${PUT_LABELS},le="0.025"}`)).equal(1);
    expect(value(page, `grpc_server_handling_seconds_bucket{${PUT_LABELS},le="+Inf"}`)).equal(2);
    expect(value(page, `grpc_server_handling_seconds_sum{${PUT_LABELS}}`)).equal(3.02);
    expect(value(page, 'etcd_network_client_grpc_received_bytes_total')).equal(100);
    expect(value(page, 'etcd_network_client_grpc_sent_bytes_total')).equal(30);
    expect(page).not.contain('invented');
  });

  it('shows disks and peers', async () => {
    const { metrics, text } = setUp();
    metrics.onWalSync(0.0015);
    metrics.onWalWrite(4096);
    metrics.onBackendCommit(0.1);
    const peer = metrics.peer(0xabcn);
    peer.sentBytes = 7;
    peer.isConnected = true;
    peer.roundTrip.observe(0.0001);
    const page = await text();
    const fsync = 'etcd_disk_wal_fsync_duration_seconds';
    expect(value(page, `${fsync}_bucket{le="0.001"}`)).equal(0);
    expect(value(page, `${fsync}_bucket{le="0.002"}`)).equal(1);
    expect(value(page, `${fsync}_bucket{le="8.192"}`)).equal(1);
    expect(value(page, `${fsync}_count`)).equal(1);
    expect(value(page, 'etcd_disk_backend_commit_duration_seconds_sum')).equal(0.1);
    expect(value(page, 'etcd_disk_wal_write_bytes_total')).equal(4096);
    expect(value(page, 'etcd_network_peer_sent_bytes_total{To="abc"}')).equal(7);
    expect(value(page, 'etcd_network_active_peers{Local="ff",Remote="abc"}')).equal(1);
    const roundTrip = 'etcd_network_peer_round_trip_time_seconds_bucket';
    expect(value(page, `${roundTrip}{To="abc",le="0.0001"}`)).equal(1);
  });

  it("shows the member's state", async () => {
    const page = await setUp().text();
    expect(value(page, 'etcd_server_has_leader')).equal(1);
    expect(value(page, 'etcd_server_is_leader')).equal(0);
    expect(value(page, 'etcd_server_proposals_applied_total')).equal(41);
    expect(value(page, 'etcd_server_id{server_id="ff"}')).equal(1);
    expect(value(page, 'etcd_cluster_version{cluster_version="3.6"}')).equal(1);
    expect(value(page, 'etcd_debugging_mvcc_current_revision')).equal(17);
    expect(value(page, 'etcd_debugging_server_alarms{server_id="a",alarm_type="NOSPACE"}')).equal(
      1,
    );
  });

  it('shows the process, its open files and the delay of its event loop', async () => {
    const page = await setUp().text();
    expect(value(page, 'process_resident_memory_bytes')).greaterThan(1e6);
    expect(value(page, 'process_start_time_seconds')).greaterThan(1e9);
    expect(value(page, 'os_fd_limit')).greaterThan(10);
    expect(page).contain('nodejs_eventloop_lag_p99_seconds');
  });

  it('is well-formed: one TYPE line per metric, before its series, none twice', async () => {
    const { metrics, text } = setUp(true);
    metrics.peer(1n);
    metrics.healthCheck('readyz', 'non_learner', true);
    const families = new Set<string>();
    const series = new Set<string>();
    let current = '';
    for (const line of (await text()).split('\n')) {
      if (line === '' || line.startsWith('# HELP ')) continue;
      if (line.startsWith('# TYPE ')) {
        current = line.split(' ')[2] ?? '';
        expect(families.has(current), line).equal(false);
        families.add(current);
        continue;
      }
      expect(line).match(
        /^[a-z_][a-z0-9_]*(\{([a-zA-Z_]+="[^"]*",?)+\})? (-?[0-9][0-9.e+-]*|Nan)$/,
      );
      const name = line.slice(0, line.lastIndexOf(' '));
      expect(name.startsWith(current), `${line} after ${current}`).equal(true);
      expect(series.has(name), line).equal(false);
      series.add(name);
    }
    expect(families.size).greaterThan(60);
  });

  it("has every metric that etcd's alerts and dashboard need", async () => {
    const page = await setUp().text();
    for (const name of [
      'etcd_server_has_leader',
      'etcd_server_leader_changes_seen_total',
      'etcd_server_is_leader',
      'etcd_server_is_learner',
      'etcd_server_id',
      'etcd_server_version',
      'etcd_cluster_version',
      'etcd_server_proposals_committed_total',
      'etcd_server_proposals_applied_total',
      'etcd_server_proposals_pending',
      'etcd_server_proposals_failed_total',
      'etcd_server_quota_backend_bytes',
      'etcd_mvcc_db_total_size_in_bytes',
      'etcd_mvcc_db_total_size_in_use_in_bytes',
      'etcd_disk_wal_fsync_duration_seconds',
      'etcd_disk_backend_commit_duration_seconds',
      'etcd_network_peer_round_trip_time_seconds',
      'etcd_network_peer_sent_failures_total',
      'etcd_network_peer_received_failures_total',
      'etcd_network_peer_sent_bytes_total',
      'etcd_network_peer_received_bytes_total',
      'etcd_network_client_grpc_sent_bytes_total',
      'etcd_network_client_grpc_received_bytes_total',
      'etcd_network_active_peers',
      'etcd_network_disconnected_peers_total',
      'etcd_network_known_peers',
      'grpc_server_started_total',
      'grpc_server_handled_total',
      'grpc_server_msg_received_total',
      'grpc_server_msg_sent_total',
      'process_resident_memory_bytes',
      'process_open_fds',
      'process_max_fds',
      'process_cpu_seconds_total',
      'process_start_time_seconds',
      'process_virtual_memory_bytes',
      'os_fd_used',
      'os_fd_limit',
    ]) {
      expect(page, name).match(new RegExp(`^# TYPE ${name} `, 'm'));
    }
  });
});
