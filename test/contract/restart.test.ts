import { expect } from 'chai';
import { EtcdClient } from '../../src/client/client.js';

import {
  etcdProgram,
  skipWithout,
  startCluster,
  versionOf,
  type TestCluster,
} from '../support/servers.js';
import { bytes, prefixEnd, refusal } from './support/targets.js';
import { WatchStream } from './support/watch.js';

/** A member's state after its process was killed, or asked to end, and started again. */

const LEASE = 77n;

describe('a member started again', () => {
  let clusters: TestCluster[] = [];
  let failed = false;

  before(async function () {
    if (versionOf(etcdProgram(), '--version') === null) skipWithout(this, 'etcd to compare with');
    clusters = await Promise.all(
      (['mainstay', 'etcd'] as const).map((kind) => startCluster({ kind, size: 1 })),
    );
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(() => Promise.all(clusters.map((cluster) => cluster.stop(failed))));

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    it(`has everything after ${signal}`, async () => {
      await Promise.all(clusters.map((cluster) => restart(cluster, signal)));
    });
  }
});

async function restart(cluster: TestCluster, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  const server = cluster.member(0);
  const client = new EtcdClient(server.endpoint);
  const prefix = `${signal}/`;
  const lease = LEASE + BigInt(prefix.charCodeAt(3));
  await client.lease.grant({ ID: lease, TTL: 500 });
  const first =
    (await client.kv.put({ key: bytes(`${prefix}a`), value: bytes('1') })).header?.revision ?? 0;
  for (let i = 0; i < 50; i++) {
    await client.kv.put({ key: bytes(`${prefix}${i % 7}`), value: bytes(String(i)), lease });
  }
  await client.kv.compact({ revision: first + 3 });
  await client.kv.deleteRange({ key: bytes(`${prefix}a`) });
  const range = { key: bytes(prefix), rangeEnd: prefixEnd(prefix) };
  const before = await client.kv.range(range);
  const hash = await client.maintenance.hashKv(0);

  await server.kill(signal);
  server.start();
  await server.healthy();

  const after = await client.kv.range(range);
  expect(after.kvs).to.deep.equal(before.kvs);
  expect(after.header?.revision).to.equal(before.header?.revision);
  expect(after.header?.memberId).to.equal(before.header?.memberId);
  expect(after.header?.clusterId).to.equal(before.header?.clusterId);
  expect(after.header?.raftTerm).to.be.greaterThan(before.header?.raftTerm ?? 0);
  expect((await client.maintenance.hashKv(0)).hash).to.equal(hash.hash);
  const left = await client.lease.timeToLive({ ID: lease, keys: true });
  expect(left.grantedTTL).to.equal(500);
  expect(left.TTL).to.be.at.least(490);
  expect(left.keys).to.have.length(7);
  const tooOld = client.kv.range({ ...range, revision: first });
  expect(await refusal(tooOld)).to.contain('has been compacted');
  const watch = new WatchStream(client);
  await watch.create({ ...range, startRevision: first + 3 });
  // Puts from the third on, and the delete.
  expect(await watch.events(49)).to.have.length(49);
  watch.close();
  client.close();
}
