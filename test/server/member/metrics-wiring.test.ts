import { expect } from 'chai';
import { allMethods } from '../../../src/gen/services.js';
import { Backend, Bucket } from '../../../src/storage/backend.js';
import { silentLogger, type LogFields, type Logger } from '../../../src/base/observe/logger.js';
import { MetricsPage } from '../../../src/server/metrics/page.js';
import { MemberMetrics } from '../../../src/server/metrics/metrics.js';
import { SlowCallLog } from '../../../src/server/metrics/slow-calls.js';
import { SteppedEnv } from '../../mvcc/stepped-env.js';
import { memberSample } from '../../support/member-sample.js';
import { MemoryEngine } from '../../support/memory-engine.js';

describe('what a member reports to its metrics', () => {
  it('tells of slow unary calls, and of no others', () => {
    const slow: string[] = [];
    const metrics = new MemberMetrics({
      methods: allMethods,
      isExtensive: false,
      slowUnarySeconds: 0.3,
      onSlowUnary: (path, code, seconds) => slow.push(`${path} ${code} ${seconds}`),
    });
    metrics.handled('/etcdserverpb.KV/Put', 0, 0.3);
    metrics.handled('/etcdserverpb.KV/Put', 14, 0.4);
    metrics.handled('/etcdserverpb.Watch/Watch', 0, 1000);
    metrics.handled('/no/Such', 0, 1000);
    expect(slow).to.deep.equal(['/etcdserverpb.KV/Put 14 0.4']);
  });

  it('logs slow calls, and only how many when there are many', () => {
    const env = new SteppedEnv(1);
    const lines: LogFields[] = [];
    const log: Logger = { ...silentLogger, warn: (_msg, fields) => lines.push(fields ?? {}) };
    const { onSlowCall } = new SlowCallLog(env.clock, log);
    for (let i = 0; i < 3; i++) onSlowCall('/p', 0, 0.5);
    env.after(100, () => onSlowCall('/p', 14, 0.7));
    env.settle();
    expect(lines).to.deep.equal([
      { path: '/p', 'grpc-code': 0, 'time spent': '500ms' },
      { path: '/p', 'grpc-code': 14, 'time spent': '700ms', 'others-not-logged': 2 },
    ]);
  });

  it('times each batch the engine takes', () => {
    const env = new SteppedEnv(1);
    const seconds: number[] = [];
    const backend = new Backend({
      engine: new MemoryEngine(env),
      env,
      onCommit: (s) => seconds.push(s),
    });
    backend.put(Bucket.alarm, Uint8Array.of(1), Uint8Array.of(2));
    backend.flush();
    env.settle();
    expect(seconds).to.have.length(1);
    backend.flush();
    env.settle();
    expect(seconds).to.have.length(1);
  });

  it('shows operations, ended leases and snapshots under the names dashboards know', async () => {
    const metrics = new MemberMetrics({ methods: allMethods, isExtensive: false });
    metrics.onSnapshotSent(0xan, true);
    metrics.onSnapshotSent(0xan, false);
    metrics.onSnapshotSent(0xan, false);
    metrics.onSnapshotReceived(0xbn, true);
    metrics.onSnapshotReceived(0xbn, false);
    const page = await new MetricsPage(metrics, memberSample).text();
    for (const line of [
      'etcd_mvcc_put_total 16',
      'etcd_mvcc_delete_total 17',
      'etcd_mvcc_range_total 18',
      'etcd_mvcc_txn_total 19',
      'etcd_debugging_mvcc_total_put_size_in_bytes 20',
      'etcd_debugging_server_lease_expired_total 15',
      'etcd_network_snapshot_send_success{To="a"} 1',
      'etcd_network_snapshot_send_failures{To="a"} 2',
      'etcd_network_snapshot_receive_success{From="b"} 1',
      'etcd_network_snapshot_receive_failures{From="b"} 1',
    ]) {
      expect(page.split('\n')).to.include(line);
    }
  });
});
