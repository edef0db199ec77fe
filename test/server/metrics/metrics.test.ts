import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { allMethods } from '../../../src/gen/services.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { LazyMetricsPage } from '../../../src/server/metrics/lazy-page.js';
import { MemberMetrics } from '../../../src/server/metrics/metrics.js';
import { MetricsPage } from '../../../src/server/metrics/page.js';
import { ETCD_FAMILIES } from '../../support/etcd-families.js';
import { lint, parseExposition, seriesOf, type Exceptions } from '../../support/exposition.js';
import { memberSample } from '../../support/member-sample.js';

const PUT = '/etcdserverpb.KV/Put';
const PUT_LABELS = 'grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"';

/** The number behind one series of a page. */
function value(page: string, series: string): number {
  const line = page.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  if (line === undefined) throw new Error(`no series ${series}`);
  return Number(line.slice(series.length + 1));
}

function expectSeries(page: string, expected: readonly (readonly [string, number])[]): void {
  for (const [series, number] of expected) expect(value(page, series), series).equal(number);
}

/** Names in the table of absent metrics in docs/COMPATIBILITY.md, but the Go runtime's. */
function absentByManual(): string[] {
  const path = join(import.meta.dirname, '../../../docs/COMPATIBILITY.md');
  const [, after = ''] = readFileSync(path, 'utf8').split('| absent | reason |\n');
  const table = after.slice(0, after.indexOf('\n\n'));
  return [...table.matchAll(/^\| `(\w+)` \|/gm)].map((row) => row[1] ?? '');
}

describe('MetricsPage', () => {
  const pages: MetricsPage[] = [];
  afterEach(() => {
    for (const page of pages.splice(0)) page.close();
  });

  function setUp(isExtensive = false): { metrics: MemberMetrics; text: () => Promise<string> } {
    const metrics = new MemberMetrics({
      methods: allMethods,
      isExtensive,
      wallMs: () => 1_700_000_000_500,
      features: [
        { name: 'LeaseCheckpoint', stage: 'ALPHA', isEnabled: false },
        { name: 'Other', stage: 'BETA', isEnabled: true },
      ],
    });
    const page = new MetricsPage(metrics, memberSample);
    pages.push(page);
    return { metrics, text: () => page.text() };
  }

  /** A page on which every family has at least one sample. */
  async function fullPage(): Promise<string> {
    const { metrics, text } = setUp(true);
    metrics.snapshotSending(0xan);
    metrics.healthCheck('readyz', 'non_learner', true);
    metrics.applied(CommandKind.put, true, 0.001);
    metrics.applied(CommandKind.put, false, 0.001);
    metrics.onRange(true, 0.001);
    metrics.clientRequests.count('unary', '3.6');
    return text();
  }

  /** Names etcd has chosen against the rules. */
  function etcdExceptions(): Exceptions {
    const named = (type: string): Set<string> =>
      new Set(ETCD_FAMILIES.filter((family) => family[1] === type).map(([name]) => name));
    return {
      gauges: named('gauge'),
      counters: named('counter'),
      histograms: named('histogram'),
    };
  }

  it('has every method at zero from the start', async () => {
    const page = await setUp().text();
    for (const { service, method, type } of allMethods) {
      const labels = `grpc_method="${method}",grpc_service="${service}",grpc_type="${type}"`;
      expectSeries(page, [
        [`grpc_server_started_total{${labels}}`, 0],
        [`grpc_server_handled_total{grpc_code="OK",${labels}}`, 0],
        [`grpc_server_handled_total{grpc_code="Unauthenticated",${labels}}`, 0],
      ]);
    }
    expect(page).not.contain('grpc_server_handling_seconds');
  });

  it('counts the reports of transports', async () => {
    const { metrics, text } = setUp(true);
    metrics.started(PUT);
    metrics.started(PUT);
    metrics.messageReceived(PUT, 100);
    metrics.messageSent(PUT, 30);
    metrics.handled(PUT, 0, 0.02);
    metrics.handled(PUT, 14, 3);
    metrics.started('/invented/Method');
    const page = await text();
    expectSeries(page, [
      [`grpc_server_started_total{${PUT_LABELS}}`, 2],
      [`grpc_server_handled_total{grpc_code="OK",${PUT_LABELS}}`, 1],
      [`grpc_server_handled_total{grpc_code="Unavailable",${PUT_LABELS}}`, 1],
      [`grpc_server_handling_seconds_bucket{${PUT_LABELS},le="0.025"}`, 1],
      [`grpc_server_handling_seconds_bucket{${PUT_LABELS},le="+Inf"}`, 2],
      [`grpc_server_handling_seconds_sum{${PUT_LABELS}}`, 3.02],
      ['etcd_network_client_grpc_received_bytes_total', 100],
      ['etcd_network_client_grpc_sent_bytes_total', 30],
    ]);
    expect(page).not.contain('invented');
  });

  it('shows disks and peers', async () => {
    const { metrics, text } = setUp();
    metrics.walWriting(4096);
    metrics.walWritten(0.0015, true);
    metrics.walWritten(0.5, false);
    metrics.committed(0.1);
    const peer = metrics.peer(0xabcn);
    peer.sentBytes = 7;
    peer.isConnected = true;
    peer.roundTrip.observe(0.0001);
    const page = await text();
    const fsync = 'etcd_disk_wal_fsync_duration_seconds';
    expectSeries(page, [
      [`${fsync}_bucket{le="0.001"}`, 0],
      [`${fsync}_bucket{le="0.002"}`, 1],
      [`${fsync}_bucket{le="8.192"}`, 1],
      [`${fsync}_count`, 1],
      ['etcd_disk_wal_write_duration_seconds_count', 2],
      ['etcd_disk_backend_commit_duration_seconds_sum', 0.1],
      ['etcd_disk_wal_write_bytes_total', 4096],
      ['etcd_network_peer_sent_bytes_total{To="abc"}', 7],
      ['etcd_network_active_peers{Local="ff",Remote="abc"}', 1],
      ['etcd_network_known_peers{Local="ff",Remote="b"}', 1],
      ['etcd_network_known_peers{Local="ff",Remote="ff"}', 1],
    ]);
    const roundTrip = 'etcd_network_peer_round_trip_time_seconds_bucket';
    expect(value(page, `${roundTrip}{To="abc",le="0.0001"}`)).equal(1);
  });

  it('follows snapshots from their beginning to their end', async () => {
    const { metrics, text } = setUp();
    metrics.snapshotSending(0xan);
    metrics.snapshotSending(0xan);
    metrics.snapshotSent(0xan, true, 0.15);
    metrics.snapshotReceiving(0xan);
    metrics.snapshotReceived(0xan, false, 7);
    metrics.snapshotReceiving(0xbn);
    metrics.snapshotSynced(0.002);
    metrics.snapshotReceived(0xbn, true, 3);
    const page = await text();
    const send = 'etcd_network_snapshot_send';
    expectSeries(page, [
      [`${send}_inflights_total{To="a"}`, 1],
      [`${send}_success{To="a"}`, 1],
      [`${send}_failures{To="a"}`, 0],
      [`${send}_total_duration_seconds_bucket{To="a",le="0.2"}`, 1],
    ]);
    const receive = 'etcd_network_snapshot_receive';
    expectSeries(page, [
      [`${receive}_failures{From="a"}`, 1],
      [`${receive}_inflights_total{From="a"}`, 0],
      [`${receive}_total_duration_seconds_count{From="a"}`, 0],
      [`${receive}_total_duration_seconds_sum{From="b"}`, 3],
      ['etcd_disk_backend_snapshot_duration_seconds_sum', 0.15],
      ['etcd_snap_db_save_total_duration_seconds_sum', 3],
      ['etcd_snap_db_fsync_duration_seconds_count', 1],
    ]);
  });

  it('follows work in the background', async () => {
    const { metrics, text } = setUp();
    metrics.reclaiming();
    metrics.reclaiming();
    metrics.reclaimed(0.3);
    metrics.indexSliced(0.4);
    metrics.rowsSliced(3);
    metrics.rowsSliced(3);
    const result = { revision: 7, rowsRemoved: 5, tookMs: 150, sizeBytes: 1, sizeInUseBytes: 1 };
    expect(value(await text(), 'etcd_debugging_mvcc_db_compaction_last')).equal(0);
    metrics.compacted(result);
    metrics.hashed(20);
    metrics.markerSynced(0.01);
    metrics.heartbeatsLate(2);
    metrics.leaseGranted(60);
    const page = await text();
    expectSeries(page, [
      ['etcd_disk_defrag_inflight', 1],
      ['etcd_disk_backend_defrag_duration_seconds_sum', 0.3],
      ['etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds_bucket{le="0.5"}', 1],
      ['etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds_bucket{le="2"}', 0],
      ['etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds_bucket{le="4"}', 2],
      ['etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_sum', 150],
      ['etcd_debugging_mvcc_db_compaction_keys_total', 5],
      ['etcd_debugging_mvcc_db_compaction_last', 1_700_000_000.5],
      ['etcd_mvcc_hash_rev_duration_seconds_sum', 0.02],
      ['etcd_snap_fsync_duration_seconds_count', 1],
      ['etcd_server_heartbeat_send_failures_total', 2],
      ['etcd_debugging_lease_ttl_total_bucket{le="32"}', 0],
      ['etcd_debugging_lease_ttl_total_bucket{le="64"}', 1],
    ]);
  });

  it('shows applies and ranges by their outcome', async () => {
    const { metrics, text } = setUp();
    metrics.applied(CommandKind.put, true, 0.00015);
    metrics.applied(CommandKind.put, false, 1);
    metrics.applied(CommandKind.leaseRevoke, true, 1);
    metrics.applied(CommandKind.leaseExpire, true, 1);
    metrics.onRange(true, 0.5);
    const page = await text();
    const apply = 'etcd_server_apply_duration_seconds';
    const labels = (success: boolean): string => `op="Put",success="${success}",version="v3"`;
    expectSeries(page, [
      [`${apply}_bucket{${labels(true)},le="0.0001"}`, 0],
      [`${apply}_bucket{${labels(true)},le="0.0002"}`, 1],
      [`${apply}_sum{${labels(false)}}`, 1],
    ]);
    const revoked = `${apply}_count{op="LeaseRevoke",success="true",version="v3"}`;
    expectSeries(page, [
      [revoked, 2],
      ['etcd_server_range_duration_seconds_count{success="true"}', 1],
    ]);
    expect(page).not.contain('etcd_server_range_duration_seconds_count{success="false"}');
  });

  it("counts calls by their clients' version, a bounded number of versions one by one", async () => {
    const { metrics, text } = setUp();
    const { clientRequests } = metrics;
    clientRequests.count('unary', '3.6');
    clientRequests.count('unary', '3.6');
    clientRequests.count('stream', 'a"b');
    for (let i = 0; i < 1000; i++) clientRequests.count('stream', `v${i}`);
    const page = await text();
    const total = 'etcd_server_client_requests_total';
    expectSeries(page, [
      [`${total}{client_api_version="3.6",type="unary"}`, 2],
      [`${total}{client_api_version="a\\"b",type="stream"}`, 1],
      [`${total}{client_api_version="other",type="stream"}`, 937],
    ]);
    expect(page.split('\n').filter((line) => line.startsWith(total)).length).equal(66);
  });

  it("shows the member's state", async () => {
    const page = await setUp().text();
    expectSeries(page, [
      ['etcd_server_has_leader', 1],
      ['etcd_server_is_leader', 0],
      ['etcd_server_proposals_applied_total', 41],
      ['etcd_server_id{server_id="ff"}', 1],
      ['etcd_cluster_version{cluster_version="3.6"}', 1],
      ['etcd_debugging_mvcc_current_revision', 17],
      ['etcd_mvcc_db_open_read_transactions', 21],
      ['etcd_debugging_auth_revision', 1],
      ['etcd_server_snapshot_apply_in_progress_total', 0],
      ['etcd_debugging_server_alarms{alarm_type="NOSPACE",server_id="a"}', 1],
    ]);
    const feature = 'etcd_server_feature_enabled';
    expectSeries(page, [
      [`${feature}{name="LeaseCheckpoint",stage="ALPHA"}`, 0],
      [`${feature}{name="Other",stage="BETA"}`, 1],
    ]);
  });

  it('keeps the format and the rules of promtool', async () => {
    const families = parseExposition(await fullPage());
    expect(lint(families, etcdExceptions())).deep.equal([]);
    const names = [...families.keys()];
    expect(names).deep.equal([...names].sort());
    for (const [name, { samples }] of families) expect(samples.length, name).greaterThan(0);
  });

  it('has every family of etcd with its type and labels, or the manual gives the reason', async () => {
    const families = parseExposition(await fullPage());
    const absent = ETCD_FAMILIES.map(([name]) => name).filter((name) => !families.has(name));
    expect(absent).deep.equal(absentByManual());
    for (const [name, type, labels] of ETCD_FAMILIES) {
      const family = families.get(name);
      if (family === undefined) continue;
      expect(family.type, name).equal(type);
      const ours = new Set(family.samples.flatMap((sample) => [...sample.labels.keys()]));
      ours.delete('le');
      expect([...ours].sort().join(' '), name).equal(labels);
    }
  });

  it('gives two scrapes in a row the same series', async () => {
    const { metrics, text } = setUp(true);
    metrics.peer(1n);
    const series = async (): Promise<string[]> =>
      [...parseExposition(await text()).values()]
        .filter(({ name }) => !name.startsWith('nodejs_'))
        .flatMap(({ samples }) => samples.map((sample) => seriesOf(sample)));
    expect(await series()).deep.equal(await series());
  });
});

describe('LazyMetricsPage', () => {
  it('makes one page at the first scrape, and samples at each', async () => {
    let samples = 0;
    const metrics = new MemberMetrics({ methods: allMethods, isExtensive: false });
    const page = new LazyMetricsPage(metrics, () => {
      samples++;
      return memberSample();
    });
    expect(samples).equal(0);
    const [first, second] = await Promise.all([page.text(), page.text()]);
    expect(first).contain('etcd_server_has_leader 1\n');
    expect(second).contain('nodejs_gc_duration_seconds_count{kind="major"}');
    expect(samples).equal(2);
    await page.close();
  });
});
