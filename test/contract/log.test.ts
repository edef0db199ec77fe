import { expect } from 'chai';
import { EtcdClient } from '../../src/client/client.js';
import {
  etcdProgram,
  startCluster,
  until,
  versionOf,
  type ServerKind,
  type TestCluster,
} from '../support/servers.js';
import { bytes } from './support/targets.js';

/** Lines of the log that operators and their tools look for, with their fields, beside an etcd of 3.6. */

type Line = Readonly<Record<string, unknown>>;

const etcd = versionOf(etcdProgram(), '--version');

/** The lines are those of etcd 3.6: an older one, as Debian packages it, is no peer for this comparison. */
const kinds: readonly ServerKind[] = (etcd?.minor ?? 0) < 6 ? ['mainstay'] : ['mainstay', 'etcd'];

for (const kind of kinds) {
  describe(`the log (${kind})`, () => {
    let cluster: TestCluster;
    let client: EtcdClient;

    before(async () => {
      const flags = { 'log-level': 'info', 'warning-unary-request-duration': '1ns' };
      cluster = await startCluster({ kind, size: 1, flags });
      client = new EtcdClient(cluster.member(0).endpoint);
    });
    after(async () => {
      client?.close();
      await cluster?.stop();
    });

    const lines = (msg: string): Line[] =>
      cluster
        .member(0)
        .log.split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Line)
        .filter((line) => line['msg'] === msg);

    /** The first line of this text that holds `fields`. */
    const found = (msg: string, fields: Line = {}): Promise<Line> =>
      until(`a line ${msg}`, () => {
        const match = lines(msg).find((line) =>
          Object.entries(fields).every(([name, value]) => line[name] === value),
        );
        return match ?? null;
      });

    /** Names of fields but those that every line has. */
    const names = (line: Line): string[] =>
      Object.keys(line)
        .filter((name) => !['level', 'ts', 'caller', 'msg', 'others-not-logged'].includes(name))
        .sort();

    it('logs where clients are served', async () => {
      const line = await found('serving client traffic insecurely; this is strongly discouraged!');
      expect(line).to.include({
        level: 'info',
        traffic: 'grpc+http',
        address: cluster.member(0).endpoint,
      });
      expect(lines('ready to serve client requests')).to.have.length(1);
    });

    it('logs slow calls, with their fields and without their values', async () => {
      const key = bytes('k');
      // One line in 100 ms is written here, so that each call is made until it has one.
      const asked = async (path: string, call: () => Promise<unknown>): Promise<Line> =>
        until(`stats of ${path}`, async () => {
          await call();
          return lines('request stats').find((line) => line['response type'] === path) ?? null;
        });
      const put = await asked('/etcdserverpb.KV/Put', () =>
        client.kv.put({ key, value: bytes('secret') }),
      );
      expect(put).to.include({
        level: 'warn',
        'request count': 1,
        'request size': 11,
        'response count': 0,
      });
      expect(names(put)).to.deep.equal([
        'remote',
        'request content',
        'request count',
        'request size',
        'response count',
        'response size',
        'response type',
        'start time',
        'time spent',
      ]);
      expect(String(put['request content']).trim()).to.equal('key:"k" value_size:6');
      expect(put['time spent']).to.match(/^[\d.]+(µs|ms|s)$/);
      expect(put['remote']).to.match(/^127\.0\.0\.1:\d+$/);
      expect(Date.parse(String(put['start time']))).to.be.closeTo(Date.now(), 60_000);
      const range = await asked('/etcdserverpb.KV/Range', () => client.kv.range({ key }));
      expect(range).to.include({ 'request count': 0 });
      const txn = await asked('/etcdserverpb.KV/Txn', () =>
        client.kv.txn({
          success: [{ requestRange: { key } }, { requestPut: { key, value: bytes('secret') } }],
        }),
      );
      expect(txn).to.include({ 'request count': 2, 'request size': 18, 'response count': 0 });
      const text = String(txn['request content']).replace(/ +/g, ' ').replace(/ >/g, '>').trim();
      expect(text).to.equal(
        'compare:<> success:<request_range:<key:"k">' +
          ' request_put:<key:"k" value_size:6>> failure:<>',
      );
      const keys = Array.from({ length: 100 }, (_, i) => bytes(`d${i}`));
      await client.kv.txn({
        success: keys.map((name) => ({ requestPut: { key: name, value: bytes('secret') } })),
      });
      const deleted = await asked('/etcdserverpb.KV/DeleteRange', () =>
        client.kv.deleteRange({ key: keys.pop() ?? key }),
      );
      expect(deleted).to.include({ 'request count': 0, 'response count': 1 });
      expect(cluster.member(0).log).to.not.contain('secret');
    });

    it('logs the end of a compaction', async () => {
      const key = bytes('c');
      await client.kv.put({ key, value: bytes('1') });
      const { header } = await client.kv.put({ key, value: bytes('2') });
      const revision = header?.revision ?? 0;
      await client.kv.compact({ revision, physical: true });
      const line = await found('finished scheduled compaction', { 'compact-revision': revision });
      expect(line['level']).to.equal('info');
      expect(line['took']).to.match(/^[\d.]+(µs|ms|s)$/);
      expect(names(line)).to.include.members([
        'compact-revision',
        'current-db-size',
        'current-db-size-bytes',
        'current-db-size-in-use',
        'current-db-size-in-use-bytes',
        'took',
      ]);
      expect(line['current-db-size']).to.match(/^[\d.]+ [kM]?B$/);
    });

    it('logs why the member is not healthy', async () => {
      const asked = await fetch(`http://${cluster.member(0).endpoint}/health`, { method: 'POST' });
      expect(asked.status).to.equal(405);
      expect(await found('/health error')).to.include({ level: 'warn', 'status-code': 405 });
    });
  });
}
