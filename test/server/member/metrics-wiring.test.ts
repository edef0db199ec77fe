import { expect } from 'chai';
import { loggerTo } from '../../../src/base/observe/logger.js';
import {
  encodeCompactionRequest,
  encodeLeaseGrantRequest,
  encodePutRequest,
} from '../../../src/gen/rpc.js';
import { allMethods } from '../../../src/gen/services.js';
import { message, MessageType } from '../../../src/raft/types.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { MemberFacts } from '../../../src/server/http/member-facts.js';
import { MemberMetrics } from '../../../src/server/metrics/metrics.js';
import { MetricsPage } from '../../../src/server/metrics/page.js';
import type { MemberOptions } from '../../../src/server/member/options.js';
import { parseExposition, seriesOf } from '../../support/exposition.js';
import { Machine, MemberBench } from './member-bench.js';

/** A member of one with everything it reports. */
class Observed {
  readonly machine = new Machine();
  readonly metrics = new MemberMetrics({
    methods: allMethods,
    isExtensive: false,
    wallMs: () => 5000,
  });
  readonly messages: Record<string, unknown>[] = [];
  readonly bench: MemberBench;

  constructor(options: Partial<MemberOptions> = {}, voters = 1) {
    const sink = {
      write: (line: string): void => {
        this.messages.push(JSON.parse(line) as Record<string, unknown>);
      },
      writeSync: () => undefined,
      reopen: () => undefined,
      flushSync: () => undefined,
    };
    this.bench = new MemberBench(this.machine, voters, {
      observer: this.metrics,
      log: loggerTo([sink], 'info'),
      ...options,
    });
    this.machine.env.advance(3000);
  }

  propose(kind: CommandKind, request: Uint8Array): void {
    let isApplied = false;
    this.bench.running.roles.proposals.propose(kind, request, (error) => {
      expect(error).equal(null);
      isApplied = true;
    });
    this.machine.env.advance(1000);
    expect(isApplied).equal(true);
  }

  put(key: string, value = 'secret'): void {
    const request = encodePutRequest({ key: Buffer.from(key), value: Buffer.from(value) });
    this.propose(CommandKind.put, request);
  }

  async series(): Promise<Map<string, number>> {
    const facts = new MemberFacts(this.bench.running);
    const page = new MetricsPage(this.metrics, () => facts.sample());
    const families = parseExposition(await page.text());
    page.close();
    const samples = [...families.values()].flatMap((family) => family.samples);
    return new Map(samples.map((sample) => [seriesOf(sample), sample.value]));
  }

  lines(msg: string): Record<string, unknown>[] {
    return this.messages.filter((line) => line['msg'] === msg);
  }
}

describe('the metrics of a member', () => {
  it('count its work', async () => {
    const observed = new Observed();
    for (const key of ['a', 'b', 'a']) observed.put(key);
    observed.propose(CommandKind.leaseGrant, encodeLeaseGrantRequest({ ID: 7n, TTL: 60 }));
    const series = await observed.series();
    const apply = (op: string): number | undefined =>
      series.get(
        `etcd_server_apply_duration_seconds_count{op="${op}",success="true",version="v3"}`,
      );
    expect(apply('Put')).equal(3);
    expect(apply('LeaseGrant')).equal(1);
    expect(apply('ClusterMemberAttrSet')).equal(1);
    expect(apply('ClusterVersionSet')).equal(1);
    expect(series.get('etcd_debugging_lease_ttl_total_sum')).equal(60);
    expect(series.get('etcd_debugging_mvcc_keys_total')).equal(2);
    expect(series.get('etcd_mvcc_put_total')).equal(3);
    const writes = series.get('etcd_disk_wal_write_duration_seconds_count');
    expect(writes).greaterThan(4);
    expect(series.get('etcd_disk_wal_fsync_duration_seconds_count')).equal(writes);
    expect(series.get('etcd_disk_wal_write_bytes_total')).greaterThan(100);
    expect(series.get('etcd_disk_backend_commit_duration_seconds_count')).greaterThan(3);
    expect(series.get('etcd_network_known_peers{Local="1",Remote="1"}')).equal(1);
    expect(series.get('etcd_server_snapshot_apply_in_progress_total')).equal(0);
  });

  it('follows a compaction, and logs its end with the fields of etcd', async () => {
    const observed = new Observed();
    for (let i = 0; i < 5; i++) observed.put('a');
    const { store } = observed.bench.running;
    const revision = store.currentRevision;
    observed.propose(CommandKind.compact, encodeCompactionRequest({ revision }));
    const series = await observed.series();
    const prefix = 'etcd_debugging_mvcc';
    expect(series.get(`${prefix}_db_compaction_keys_total`)).equal(4);
    expect(series.get(`${prefix}_db_compaction_last`)).equal(5);
    const milliseconds = 'duration_milliseconds_count';
    expect(series.get(`${prefix}_index_compaction_pause_${milliseconds}`)).greaterThan(0);
    expect(series.get(`${prefix}_db_compaction_pause_${milliseconds}`)).greaterThan(0);
    expect(series.get(`${prefix}_db_compaction_total_${milliseconds}`)).equal(1);
    expect(series.get('etcd_disk_backend_defrag_duration_seconds_count')).equal(1);
    expect(series.get('etcd_disk_defrag_inflight')).equal(0);
    const [line] = observed.lines('finished scheduled compaction');
    expect(line).include({ level: 'info', 'compact-revision': revision, 'removed-revisions': 4 });
    expect(line?.['took']).match(/^\d+(\.\d+)?(µs|ms|s)$/);
    expect(line?.['current-db-size-bytes']).equal(store.backend.sizeBytes());
    expect(line?.['current-db-size']).match(/^\d+(\.\d)? k?B$/);
    expect(line?.['current-db-size-in-use-bytes']).greaterThan(0);
    expect(line?.['current-db-size-in-use']).match(/^\d+(\.\d)? k?B$/);
  });

  it('times the hash of the store', async () => {
    const observed = new Observed();
    observed.put('a');
    observed.bench.running.store.hashKV(0, () => undefined);
    observed.machine.env.advance(1000);
    observed.bench.running.store.hashKV(1000, () => undefined);
    const series = await observed.series();
    expect(series.get('etcd_mvcc_hash_rev_duration_seconds_count')).equal(1);
  });

  it('counts reads that keep their revision readable', async () => {
    const observed = new Observed();
    const { store } = observed.bench.running;
    const releases = [1, 1, 1].map((revision) => store.pin(revision));
    expect((await observed.series()).get('etcd_mvcc_db_open_read_transactions')).equal(3);
    for (const release of releases) release();
    expect((await observed.series()).get('etcd_mvcc_db_open_read_transactions')).equal(0);
  });

  it('times the sync of the image before the log lets go of entries', async () => {
    const observed = new Observed({ snapshotCount: 3 });
    for (let i = 0; i < 4; i++) observed.put('a');
    expect((await observed.series()).get('etcd_snap_fsync_duration_seconds_count')).greaterThan(0);
  });

  it('counts and logs heartbeats of a leader that leave late', async () => {
    const observed = new Observed({ preVote: false }, 3);
    const { bench, machine } = observed;
    const request = bench.sent.findLast((m) => m.type === MessageType.vote);
    const answer = message(MessageType.voteResponse, 1n, { from: 2n, term: request?.term ?? 0 });
    bench.handler?.onMessages(2n, [answer]);
    machine.env.settle();
    expect(bench.running.leadership.isLeader).equal(true);
    const msg =
      'leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk';
    machine.env.advance(200);
    expect(observed.lines(msg)).deep.equal([]);
    machine.env.nowMs += 350;
    machine.env.settle();
    const [line] = observed.lines(msg);
    expect(line).include({
      level: 'warn',
      peers: 2,
      'heartbeat-interval': '100ms',
      'expected-duration': '200ms',
    });
    const late = (await observed.series()).get('etcd_server_heartbeat_send_failures_total');
    expect(late).equal(2);
  });

  it("logs its leader and its attributes with etcd's lines", () => {
    const observed = new Observed();
    const { leadership, memberId, clusterId } = observed.bench.running;
    expect(
      observed.lines(
        `raft.node: ${memberId.toString(16)} elected leader 1 at term ${leadership.term}`,
      ),
    ).have.length(1);
    const [line, ...others] = observed.lines('published local member to cluster through raft');
    expect(others).deep.equal([]);
    expect(line).include({
      'local-member-id': '1',
      'local-member-attributes': '{Name:m1 ClientURLs:[http://m1:2379]}',
      'cluster-id': clusterId.toString(16),
      'publish-timeout': '7s',
    });
  });

  it('logs a command that takes long to apply, without values', async () => {
    const observed = new Observed({ warningApplyMs: 100 });
    observed.put('a');
    expect(observed.lines('apply request took too long')).deep.equal([]);
    const { store } = observed.bench.running;
    const begin = store.begin.bind(store);
    store.begin = () => {
      observed.machine.env.nowMs += 150;
      return begin();
    };
    observed.put('k');
    const [line, ...others] = observed.lines('apply request took too long');
    expect(others).deep.equal([]);
    expect(line).include({
      level: 'warn',
      took: '150ms',
      'expected-duration': '100ms',
      prefix: '',
      request: 'put:<key:"k" value_size:6>',
      index: observed.bench.running.leadership.appliedIndex,
    });
    expect(line?.['response']).match(/^size:\d+$/);
    expect((await observed.series()).get('etcd_server_slow_apply_total')).equal(1);
  });
});
