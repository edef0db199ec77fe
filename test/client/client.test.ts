import { expect } from 'chai';
import { ClientError, EtcdClient } from '../../src/client/client.js';
import {
  decodeRangeRequest,
  decodeWatchRequest,
  encodeRangeStreamResponse,
  encodeWatchResponse,
} from '../../src/gen/rpc.js';
import { RpcError, Status, type Method, type ServiceTable } from '../../src/rpc/service.js';
import { FakeMember } from '../support/fake-member.js';
import { authService } from '../../src/server/services/auth.js';
import { clusterService } from '../../src/server/services/cluster.js';
import { leaseService } from '../../src/server/services/lease.js';
import { maintenanceService } from '../../src/server/services/maintenance.js';
import { makeHttp2, startTransport, type Running } from '../rpc/support/transports.js';

const PUT = '/etcdserverpb.KV/Put';
const key = Buffer.from('k');

/** Answers every unary call with `error`, or with an empty response; notes what is called. */
function answering(called: string[], name: string, error: RpcError | null): ServiceTable {
  const method: Method = {
    kind: 'unary',
    handle: (_request, call) => {
      called.push(name);
      if (error === null) call.reply(new Uint8Array(0));
      else call.fail(error);
    },
  };
  return new Map([[PUT, method]]);
}

describe('client', () => {
  const servers: Running[] = [];
  const clients: EtcdClient[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    for (const server of servers.splice(0)) await server.stop();
  });

  async function serve(table: ServiceTable): Promise<string> {
    const server = await startTransport(makeHttp2, { table });
    servers.push(server);
    return `127.0.0.1:${server.port}`;
  }

  function open(endpoints: string | readonly string[], timeoutMs = 10_000): EtcdClient {
    const client = new EtcdClient(endpoints, { timeoutMs });
    clients.push(client);
    return client;
  }

  async function failure(call: Promise<unknown>): Promise<ClientError> {
    try {
      await call;
    } catch (error) {
      if (error instanceof ClientError) return error;
      throw error;
    }
    throw new Error('the call did not fail');
  }

  it('hands the server’s code and text to the caller, and repeats nothing', async () => {
    const called: string[] = [];
    const refusal = new RpcError(Status.invalidArgument, 'etcdserver: key is not provided');
    const client = open(await serve(answering(called, 'only', refusal)));
    const error = await failure(client.kv.put({ key }));
    expect([error.code, error.message]).to.deep.equal([3, 'etcdserver: key is not provided']);
    expect(called).to.deep.equal(['only']);
  });

  it('goes to the next endpoint, in order and round, after a member that cannot answer', async () => {
    const called: string[] = [];
    const down = new RpcError(Status.unavailable, 'etcdserver: no leader');
    const first = await serve(answering(called, 'first', down));
    const second = await serve(answering(called, 'second', down));
    const third = await serve(answering(called, 'third', null));
    const client = open([first, second, third]);
    expect((await failure(client.kv.put({ key }))).code).to.equal(14);
    expect((await failure(client.kv.put({ key }))).code).to.equal(14);
    await client.kv.put({ key });
    await client.kv.put({ key });
    expect(called).to.deep.equal(['first', 'second', 'third', 'third']);
  });

  it('stays at an endpoint that refuses', async () => {
    const called: string[] = [];
    const refusal = new RpcError(Status.failedPrecondition, 'etcdserver: lease already exists');
    const first = await serve(answering(called, 'first', refusal));
    const second = await serve(answering(called, 'second', null));
    const client = open([first, second]);
    for (let i = 0; i < 2; i++) await failure(client.kv.put({ key }));
    expect(called).to.deep.equal(['first', 'first']);
  });

  it('moves on once for several calls that fail together', async () => {
    const called: string[] = [];
    const down = new RpcError(Status.unavailable, 'etcdserver: no leader');
    const first = await serve(answering(called, 'first', down));
    const second = await serve(answering(called, 'second', null));
    const client = open([first, second]);
    await Promise.all(Array.from({ length: 4 }, () => failure(client.kv.put({ key }))));
    await client.kv.put({ key });
    expect(called.at(-1)).to.equal('second');
  });

  it('gives up at the deadline', async () => {
    const silent: Method = { kind: 'unary', handle: () => undefined };
    const client = open(await serve(new Map([[PUT, silent]])));
    expect((await failure(client.kv.put({ key }, { timeoutMs: 50 }))).code).to.equal(4);
  });

  it('needs an endpoint', () => {
    expect(() => new EtcdClient([])).to.throw('at least one endpoint');
  });

  it('speaks to each service with its own types', async () => {
    const member = new FakeMember();
    member.lessor.grant(7n, 100);
    const { roles } = member;
    member.onPropose = ({ done }) => done(null, new Uint8Array(0));
    const client = open(
      await serve(
        new Map([
          ...authService(roles),
          ...clusterService(roles),
          ...leaseService(roles),
          ...maintenanceService(roles),
        ]),
      ),
    );
    expect((await client.auth.status()).authRevision).to.equal(1);
    expect((await client.cluster.memberList()).members).to.deep.equal([]);
    expect((await client.lease.leases()).leases.map(({ ID }) => ID)).to.deep.equal([7n]);
    await client.lease.grant({ ID: 8n, TTL: 5 });
    await client.lease.revoke(7n);
    await client.maintenance.alarm({ action: 0 });
    expect(member.proposed.length).to.equal(3);
  });

  it('reads a list from a stream to its end', async () => {
    const list: Method = {
      kind: 'stream',
      streamType: 'server_stream',
      handle: (call) => {
        call.onMessage((bytes) => {
          const { limit } = decodeRangeRequest(bytes);
          for (let count = 1; count <= limit; count++) {
            call.write(encodeRangeStreamResponse({ rangeResponse: { count } }));
          }
          call.end();
        });
      },
    };
    const client = open(await serve(new Map([['/etcdserverpb.KV/RangeStream', list]])));
    const counts: (number | undefined)[] = [];
    const error = await new Promise((resolve) => {
      client.kv.rangeStream(
        { key, limit: 3 },
        { message: ({ rangeResponse }) => counts.push(rangeResponse?.count), end: resolve },
      );
    });
    expect(error).to.equal(null);
    expect(counts).to.deep.equal([1, 2, 3]);
  });

  it('carries typed messages both ways on a stream, and reports its end once', async () => {
    const watch: Method = {
      kind: 'stream',
      streamType: 'bidi_stream',
      handle: (call) => {
        call.onMessage((bytes) => {
          const { createRequest } = decodeWatchRequest(bytes);
          if (createRequest === undefined) {
            call.fail(new RpcError(Status.unavailable, 'etcdserver: server stopped'));
          } else {
            const { watchId } = createRequest;
            call.write(encodeWatchResponse({ watchId, created: true }));
          }
        });
      },
    };
    const client = open(await serve(new Map([['/etcdserverpb.Watch/Watch', watch]])));
    const seen: bigint[] = [];
    const ends: (ClientError | null)[] = [];
    await new Promise<void>((resolve) => {
      const stream = client.watch.open({
        message: ({ watchId }) => {
          if (seen.push(watchId) === 2) stream.send({ progressRequest: {} });
        },
        end: (error) => {
          ends.push(error);
          resolve();
        },
      });
      stream.send({ createRequest: { key, watchId: 5n } });
      stream.send({ createRequest: { key, watchId: 6n } });
    });
    expect(seen).to.deep.equal([5n, 6n]);
    const cancelled = await new Promise<ClientError | null>((resolve) => {
      const stream = client.watch.open({ message: () => stream.cancel(), end: resolve });
      stream.send({ createRequest: { key } });
    });
    expect(ends.map((error) => error?.message)).to.deep.equal(['etcdserver: server stopped']);
    expect(cancelled).to.equal(null);
  });
});
