import { join } from 'node:path';
import { credentials, loadPackageDefinition, type Client, type GrpcObject } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { expect } from 'chai';
import { startCluster, type TestCluster } from '../support/servers.js';
import { SETUPS } from './setups.js';

/** A client that has only the .proto files and a foreign codec: the wire contract without ours. */

const PROTO = join(import.meta.dirname, '../../proto');
const MAX_INT64 = '9223372036854775807';

type Reply = Record<string, unknown>;
type Unary = (request: object, done: (error: Error | null, reply: Reply) => void) => void;
interface Stream {
  write(message: object): void;
  end(): void;
  cancel(): void;
  on(event: 'data', listener: (message: Reply) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
}

for (const { name, size, flags } of SETUPS.filter((setup) => setup.size === 1)) {
  describe(`a client made from the .proto files against ${name}`, () => {
    let cluster: TestCluster | undefined;
    const clients: Client[] = [];
    const services = loadPackageDefinition(
      loadSync(
        ['rpc.proto', 'health.proto'].map((file) => join(PROTO, file)),
        {
          includeDirs: [PROTO],
          keepCase: true,
          longs: String,
          enums: String,
          defaults: true,
          oneofs: true,
        },
      ),
    );

    before(async () => {
      cluster = await startCluster({ kind: 'mainstay', size, flags });
    });

    after(async () => {
      for (const client of clients) client.close();
      await cluster?.stop();
    });

    function connect(path: string): Record<string, Unary> & Record<string, () => Stream> {
      let found: unknown = services;
      for (const part of path.split('.')) found = (found as GrpcObject)[part];
      const Service = found as new (
        address: string,
        c: ReturnType<typeof credentials.createInsecure>,
      ) => Client;
      const client = new Service(cluster?.member(0).endpoint ?? '', credentials.createInsecure());
      clients.push(client);
      return client as unknown as Record<string, Unary> & Record<string, () => Stream>;
    }

    function call(path: string, method: string, request: object): Promise<Reply> {
      const client = connect(path);
      return new Promise((resolve, reject) => {
        (client[method] as Unary).call(client, request, (error, reply) => {
          if (error === null) resolve(reply);
          else reject(error);
        });
      });
    }

    it('puts and reads, with the largest numbers for no bound', async () => {
      const put = await call('etcdserverpb.KV', 'Put', {
        key: Buffer.from('k'),
        value: Buffer.from('v'),
      });
      const header = put['header'] as Reply;
      expect(BigInt(header['cluster_id'] as string) > 0n).to.equal(true);
      const reply = await call('etcdserverpb.KV', 'Range', {
        key: Buffer.from('a'),
        range_end: Buffer.from([0]),
        limit: MAX_INT64,
        max_mod_revision: MAX_INT64,
        max_create_revision: MAX_INT64,
        min_mod_revision: '-9223372036854775808',
        sort_order: 'DESCEND',
        sort_target: 'KEY',
      });
      expect(reply['kvs']).to.deep.equal([
        {
          key: Buffer.from('k'),
          value: Buffer.from('v'),
          create_revision: header['revision'],
          mod_revision: header['revision'],
          version: '1',
          lease: '0',
        },
      ]);
      expect(reply['count']).to.equal('1');
    });

    it('runs a transaction in a transaction', async () => {
      const reply = await call('etcdserverpb.KV', 'Txn', {
        compare: [{ key: Buffer.from('t'), target: 'VERSION', result: 'EQUAL', version: '0' }],
        success: [
          { request_put: { key: Buffer.from('t'), value: Buffer.from('1') } },
          {
            request_txn: {
              success: [{ request_range: { key: Buffer.from('t') } }],
              failure: [{ request_delete_range: { key: Buffer.from('u') } }],
            },
          },
        ],
      });
      expect(reply['succeeded']).to.equal(true);
      const [first, second] = reply['responses'] as Reply[];
      expect(first?.['response']).to.equal('response_put');
      expect(second?.['response']).to.equal('response_txn');
    });

    it('keeps every bit of a lease id', async () => {
      for (const ID of [MAX_INT64, '-9223372036854775807', '9007199254740993']) {
        const granted = await call('etcdserverpb.Lease', 'LeaseGrant', { ID, TTL: '60' });
        expect(granted['ID']).to.equal(ID);
        const left = await call('etcdserverpb.Lease', 'LeaseTimeToLive', { ID });
        expect(left['grantedTTL']).to.equal('60');
        await call('etcdserverpb.Lease', 'LeaseRevoke', { ID });
      }
      const error = await call('etcdserverpb.Lease', 'LeaseGrant', { TTL: MAX_INT64 }).catch(
        String,
      );
      expect(error).to.contain('too large lease TTL');
    });

    it('watches', async () => {
      const stream = (connect('etcdserverpb.Watch')['Watch'] as () => Stream).call(
        clients.at(-1) as Client,
      );
      const answers: Reply[] = [];
      const all = new Promise<void>((resolve, reject) => {
        stream.on('error', reject);
        stream.on('data', (message) => {
          answers.push(message);
          if (answers.length === 1) {
            void call('etcdserverpb.KV', 'Put', { key: Buffer.from('w/1') });
          } else {
            resolve();
          }
        });
      });
      stream.write({
        create_request: {
          key: Buffer.from('w/'),
          range_end: Buffer.from('w0'),
          watch_id: MAX_INT64,
        },
      });
      await all;
      stream.on('error', () => undefined);
      stream.cancel();
      expect(answers[0]).to.include({ created: true, watch_id: MAX_INT64 });
      const events = answers[1]?.['events'] as Reply[];
      expect(events).to.have.length(1);
      expect(events[0]?.['type']).to.equal('PUT');
    });

    it('asks for status, members and health', async () => {
      const status = await call('etcdserverpb.Maintenance', 'Status', {});
      expect(status['version']).to.match(/^3[.]\d+[.]\d+$/);
      expect(status['leader']).to.equal((status['header'] as Reply)['member_id']);
      expect(BigInt(status['dbSize'] as string) > 0n).to.equal(true);
      const list = await call('etcdserverpb.Cluster', 'MemberList', { linearizable: true });
      expect((list['members'] as Reply[])[0]?.['name']).to.equal('n1');
      const health = await call('grpc.health.v1.Health', 'Check', {});
      expect(health['status']).to.equal('SERVING');
    });
  });
}
