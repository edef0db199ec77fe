import { once } from 'node:events';
import { expect } from 'chai';
import { Etcd3, EtcdLockFailedError, Range, type IKeyValue, type Watcher } from 'etcd3';
import { startCluster, until, type TestCluster } from '../support/servers.js';
import { SETUPS } from './setups.js';

/** The npm package etcd3, a foreign client, does its work against mainstay. */

for (const { name, size, flags } of SETUPS) {
  describe(`npm etcd3 against ${name}`, () => {
    let cluster: TestCluster | undefined;
    let client: Etcd3;
    let failed = false;

    before(async () => {
      cluster = await startCluster({ kind: 'mainstay', size, flags });
      client = new Etcd3({ hosts: cluster.endpoints.map((endpoint) => `http://${endpoint}`) });
    });

    afterEach(async function () {
      failed ||= this.currentTest?.state === 'failed';
      await client.delete().all();
    });

    after(async () => {
      client.close();
      await cluster?.stop(failed);
    });

    it('puts, gets and deletes', async () => {
      await client.put('a').value('1');
      await client.put('b').value(2);
      await client.put('c').value(Buffer.from([0, 255]));
      expect(await client.get('a').string()).to.equal('1');
      expect(await client.get('b').number()).to.equal(2);
      expect(await client.get('c').buffer()).to.deep.equal(Buffer.from([0, 255]));
      expect(await client.get('absent').string()).to.equal(null);
      expect(await client.getAll().keys()).to.deep.equal(['a', 'b', 'c']);
      expect(await client.getAll().prefix('b').strings()).to.deep.equal({ b: '2' });
      expect(await client.getAll().sort('Value', 'Descend').limit(1).keys()).to.deep.equal(['b']);
      expect(await client.getAll().count()).to.equal(3);
      const previous = await client.put('a').value('3').getPrevious();
      expect(previous.value.toString()).to.equal('1');
      const removed = await client.delete().range(new Range('a', 'c'));
      expect(removed.deleted).to.equal('2');
    });

    it('compares and sets', async () => {
      const create = (value: string): ReturnType<ReturnType<typeof client.if>['commit']> =>
        client
          .if('key', 'Create', '==', 0)
          .then(client.put('key').value(value))
          .else(client.get('key'))
          .commit();
      const results = await Promise.all(['one', 'two', 'three'].map(create));
      expect(results.filter((result) => result.succeeded)).to.have.length(1);
    });

    it('runs software transactions that conflict', async () => {
      await client.put('counter').value(0);
      const rounds = 10;
      await Promise.all(
        Array.from({ length: 3 }, async () => {
          for (let i = 0; i < rounds; i++) {
            await client.stm({ retries: 1000 }).transact(async (tx) => {
              const value = (await tx.get('counter').number()) ?? 0;
              await tx.put('counter').value(value + 1);
            });
          }
        }),
      );
      expect(await client.get('counter').number()).to.equal(3 * rounds);
    });

    it('watches, with previous pairs and from a revision', async () => {
      const watcher = await client.watch().prefix('w/').withPreviousKV().create();
      const seen: string[] = [];
      collect(watcher, seen);
      const first = await client.put('w/a').value('1');
      await client.put('elsewhere').value('x');
      await client.put('w/a').value('2');
      await client.delete().key('w/a');
      const wanted = ['put w/a=1', 'put w/a=2 was 1', 'delete w/a was 2'];
      await until('three events', () => (seen.length >= 3 ? true : null));
      expect(seen).to.deep.equal(wanted);
      const late = await client
        .watch()
        .prefix('w/')
        .withPreviousKV()
        .startRevision(first.header.revision)
        .create();
      const history: string[] = [];
      collect(late, history);
      await until('the history', () => (history.length >= 3 ? true : null));
      expect(history).to.deep.equal(wanted);
      await Promise.all([watcher.cancel(), late.cancel()]);
    });

    it('keeps a lease alive, and loses its keys with it', async () => {
      const lease = client.lease(2);
      await lease.put('leased').value('v');
      await once(lease, 'keepaliveSucceeded');
      expect(await client.get('leased').string()).to.equal('v');
      await lease.revoke();
      expect(await client.get('leased').string()).to.equal(null);
      const left = client.lease(2, { autoKeepAlive: false });
      await left.put('left').value('v');
      await until('the key is gone', async () =>
        (await client.get('left').string()) === null ? true : null,
      );
    });

    it('locks', async () => {
      const held = await client.lock('mutex').ttl(10).acquire();
      const error = await client
        .lock('mutex')
        .acquire()
        .catch((e: unknown) => e);
      expect(error).to.be.instanceOf(EtcdLockFailedError);
      await held.release();
      expect(await client.lock('mutex').do(() => 'done')).to.equal('done');
    });

    it('elects one leader after the other', async () => {
      const election = client.election('boss', 5);
      const observer = await election.observe();
      const first = election.campaign('first');
      await first.wait();
      const second = election.campaign('second');
      await until('the observer sees the first', () =>
        observer.leader() === 'first' ? true : null,
      );
      expect(await election.leader()).to.equal('first');
      await first.proclaim('renamed');
      await until('the new name', () => (observer.leader() === 'renamed' ? true : null));
      await first.resign();
      await second.wait();
      await until('the second', () => (observer.leader() === 'second' ? true : null));
      await observer.cancel();
      await second.resign();
    });
  });
}

function collect(watcher: Watcher, into: string[]): void {
  const was = (previous?: IKeyValue): string =>
    previous === undefined || previous === null ? '' : ` was ${previous.value.toString()}`;
  watcher.on('put', (kv, previous) => {
    into.push(`put ${kv.key.toString()}=${kv.value.toString()}${was(previous)}`);
  });
  watcher.on('delete', (kv, previous) => {
    into.push(`delete ${kv.key.toString()}${was(previous)}`);
  });
}
