import { Agent } from 'node:http';
import { expect } from 'chai';
import { EtcdClient } from '../../src/client/client.js';
import {
  decodeAlarmResponse,
  encodeAlarmRequest,
  type AlarmRequestInit,
  type AlarmResponse,
} from '../../src/gen/rpc.js';
import {
  etcdProgram,
  skipWithout,
  startCluster,
  versionOf,
  type TestCluster,
} from '../support/servers.js';
import { httpAnswer } from './support/http.js';
import { bytes, refusal } from './support/targets.js';

/** A store that reached its quota: what it refuses, what it still does, and how it ends. */

const QUOTA_BYTES = 8 * 1024 * 1024;
const NO_SPACE = '8 etcdserver: mvcc: database space exceeded';
const ALARM_NO_SPACE = 1;
const ACTIVATE = 1;
const DEACTIVATE = 2;

describe('a store at its quota', () => {
  const etcd = versionOf(etcdProgram(), '--version');
  let clusters: TestCluster[] = [];
  let failed = false;

  before(async function () {
    if (etcd === null) skipWithout(this, 'etcd to compare with');
    const flags = { 'quota-backend-bytes': String(QUOTA_BYTES) };
    clusters = await Promise.all(
      (['mainstay', 'etcd'] as const).map((kind) => startCluster({ kind, size: 1, flags })),
    );
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(() => Promise.all(clusters.map((cluster) => cluster.stop(failed))));

  const both = (
    title: string,
    run: (cluster: TestCluster, client: EtcdClient) => Promise<void>,
  ): void => {
    it(title, async () => {
      await Promise.all(
        clusters.map(async (cluster) => {
          const client = new EtcdClient(cluster.member(0).endpoint);
          try {
            await run(cluster, client);
          } finally {
            client.close();
          }
        }),
      );
    });
  };

  both('refuses what would grow it, and raises an alarm', async (cluster, client) => {
    const value = Buffer.alloc(500_000, 'v');
    const port = cluster.member(0).clientPort;
    // On a connection that is open already: the question follows the refusal at once.
    const agent = new Agent({ keepAlive: true });
    expect((await httpAnswer({ port, path: '/health', agent })).status).to.equal(200);
    let answer = '';
    for (let i = 0; answer === '' && i < 200; i++) {
      const put = client.kv.put({ key: bytes(`k${i}`), value });
      answer = await put.then(
        () => '',
        () => refusal(put),
      );
    }
    const health = await httpAnswer({ port, path: '/health', agent });
    agent.destroy();
    expect(answer, cluster.kind).to.equal(NO_SPACE);
    expect(health.status, cluster.kind).to.equal(503);
    expect(JSON.parse(health.body)).to.include({ health: 'false' });
    const { header, alarms } = await alarm(client, {});
    expect(alarms).to.deep.equal([{ memberID: header?.memberId ?? alarms[0]?.memberID, alarm: 1 }]);
    const put = { key: bytes('small'), value: bytes('v') };
    expect(await refusal(client.kv.put(put))).to.equal(NO_SPACE);
    expect(await refusal(client.kv.txn({ success: [{ requestPut: put }] }))).to.equal(NO_SPACE);
    expect(await refusal(client.kv.txn({ failure: [{ requestPut: put }] }))).to.equal(NO_SPACE);
    // Releases before 3.6.14 let nested puts through.
    if (cluster.kind === 'mainstay') {
      const nested = { success: [{ requestTxn: { failure: [{ requestPut: put }] } }] };
      expect(await refusal(client.kv.txn(nested))).to.equal(NO_SPACE);
    }
    expect(await refusal(client.lease.grant({ TTL: 60 }))).to.equal(NO_SPACE);
    const excluded = await httpAnswer({ port, path: '/health?exclude=NOSPACE' });
    expect([excluded.status, excluded.body.includes('true')]).to.deep.equal([200, true]);
    // Etcd has this metric since 3.5.
    if (cluster.kind === 'mainstay' || (etcd?.minor ?? 0) > 4) {
      const metrics = (await httpAnswer({ port, path: '/metrics' })).body;
      expect(metrics).to.match(
        /^etcd_debugging_server_alarms\{alarm_type="NOSPACE",server_id="[0-9a-f]+"\} 1$/m,
      );
    }
    expect((await client.maintenance.status()).errors.join()).to.match(/alarm: ?NOSPACE/);
  });

  both('still reads, deletes and compacts', async (_cluster, client) => {
    const { header, count } = await client.kv.range({ key: bytes('k0') });
    expect(count).to.equal(1);
    const removed = await client.kv.deleteRange({ key: bytes('k0') });
    expect(removed.deleted).to.equal(1);
    const txn = await client.kv.txn({ success: [{ requestDeleteRange: { key: bytes('k1') } }] });
    expect(txn.header?.revision).to.equal((header?.revision ?? 0) + 2);
    await client.kv.compact({ revision: txn.header?.revision ?? 0 });
  });

  both('ends the alarm when it is told to', async (_cluster, client) => {
    const [raised] = (await alarm(client, {})).alarms;
    const memberID = raised?.memberID ?? 0n;
    const again = await alarm(client, { action: ACTIVATE, memberID, alarm: ALARM_NO_SPACE });
    expect(again.alarms).to.deep.equal([raised]);
    const ended = await alarm(client, { action: DEACTIVATE, memberID, alarm: ALARM_NO_SPACE });
    expect(ended.alarms).to.deep.equal([raised]);
    expect((await alarm(client, {})).alarms).to.deep.equal([]);
    const twice = await alarm(client, { action: DEACTIVATE, memberID, alarm: ALARM_NO_SPACE });
    expect(twice.alarms).to.deep.equal([]);
  });
});

async function alarm(client: EtcdClient, request: AlarmRequestInit): Promise<AlarmResponse> {
  return decodeAlarmResponse(
    await client.unary('/etcdserverpb.Maintenance/Alarm', encodeAlarmRequest(request)),
  );
}
