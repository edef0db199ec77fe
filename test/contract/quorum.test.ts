import { expect } from 'chai';
import { EtcdClient } from '../../src/client/client.js';
import {
  etcdProgram,
  skipWithout,
  startCluster,
  versionOf,
  type ServerKind,
  type TestCluster,
} from '../support/servers.js';
import { bytes, refusal } from './support/targets.js';
import { WatchStream } from './support/watch.js';

/** The one member left of three. */

const TIMED_OUT = [
  /^14 etcdserver: request timed out(, possibly due to .*)?$/,
  /^14 etcdserver: leader changed$/,
  /^4 context deadline exceeded$/,
];
/** The text of releases before 3.5 for the last of them. */
const TIMED_OUT_34 = /^2 context deadline exceeded$/;
const WITHIN = { timeoutMs: 15_000 };

describe('without a quorum', () => {
  let survivors: Survivor[] = [];
  let failed = false;

  before(async function () {
    if (versionOf(etcdProgram(), '--version') === null) skipWithout(this, 'etcd to compare with');
    survivors = await Promise.all((['mainstay', 'etcd'] as const).map(surviveAlone));
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    await Promise.all(
      survivors.map((survivor) => {
        survivor.client.close();
        return survivor.cluster.stop(failed);
      }),
    );
  });

  /** A test that must hold for both; they wait for their timeouts at the same time. */
  function both(title: string, run: (survivor: Survivor) => Promise<void>): void {
    it(title, () => Promise.all(survivors.map(run)));
  }

  both('ends a stream that insists on a leader', async ({ watch }) => {
    expect(await watch.end()).to.equal('14 etcdserver: no leader');
  });

  both('refuses calls that insist on a leader at once', async ({ client }) => {
    const metadata = { hasleader: 'true' };
    for (const serializable of [true, false]) {
      const call = client.kv.range({ key: bytes('k'), serializable }, { metadata });
      expect(await refusal(call)).to.equal('14 etcdserver: no leader');
    }
  });

  both('answers serializable reads, and says that there is no leader', async ({ client }) => {
    const reply = await client.kv.range({ key: bytes('k'), serializable: true });
    expect(reply.count).to.equal(1);
    const status = await client.maintenance.status();
    expect(status.leader).to.equal(0n);
    expect(status.errors).to.deep.equal(['etcdserver: no leader']);
  });

  both('gives up on writes and linearizable reads in the end', async ({ client, cluster }) => {
    const calls = [
      client.kv.put({ key: bytes('k') }, WITHIN),
      client.kv.range({ key: bytes('k') }, WITHIN),
      client.kv.txn({ success: [{ requestPut: { key: bytes('k') } }] }, WITHIN),
      client.lease.grant({ TTL: 60 }, WITHIN),
    ];
    const allowed = cluster.kind === 'etcd' ? [...TIMED_OUT, TIMED_OUT_34] : TIMED_OUT;
    for (const answer of await Promise.all(calls.map(refusal))) {
      expect(
        allowed.some((pattern) => pattern.test(answer)),
        answer,
      ).to.equal(true);
    }
  });
});

/** The one member left of three, with a stream that was opened before. */
interface Survivor {
  readonly cluster: TestCluster;
  readonly client: EtcdClient;
  readonly watch: WatchStream;
}

async function surviveAlone(kind: ServerKind): Promise<Survivor> {
  const cluster = await startCluster({ kind, size: 3 });
  const client = new EtcdClient(cluster.member(0).endpoint);
  await client.kv.put({ key: bytes('k'), value: bytes('v') });
  const watch = new WatchStream(client, { metadata: { hasleader: 'true' } });
  await watch.create({ key: bytes('k') });
  await Promise.all([cluster.member(1).kill(), cluster.member(2).kill()]);
  return { cluster, client, watch };
}
