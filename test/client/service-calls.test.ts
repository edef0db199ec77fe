import { expect } from 'chai';
import type { ByteStream, Caller } from '../../src/client/channel.js';
import { authClient } from '../../src/client/auth.js';
import { clusterClient } from '../../src/client/cluster.js';
import { kvClient } from '../../src/client/kv.js';
import { leaseClient } from '../../src/client/lease.js';
import { maintenanceClient } from '../../src/client/maintenance.js';
import { ServiceCalls } from '../../src/client/service-calls.js';
import { watchClient } from '../../src/client/watch.js';
import { decodePutRequest, decodePutResponse, encodePutRequest } from '../../src/gen/rpc.js';
import { allMethods } from '../../src/gen/services.js';

/** Notes what is called, and answers with an empty message. */
class NotingCaller implements Caller {
  readonly calls: { readonly path: string; readonly type: string; readonly request: Uint8Array }[] =
    [];

  unary(path: string, request: Uint8Array): Promise<Uint8Array> {
    this.calls.push({ path, type: 'unary', request });
    return Promise.resolve(new Uint8Array(0));
  }

  stream(path: string): ByteStream {
    this.calls.push({ path, type: 'stream', request: new Uint8Array(0) });
    const stream = { on: () => stream, write: () => true, end: () => undefined };
    return stream as unknown as ByteStream;
  }

  close(): void {
    this.calls.length = 0;
  }
}

const key = Buffer.from('k');
const ignored = { message: () => undefined, end: () => undefined };

describe('methods of the client', () => {
  it('call the methods of the services that they are named after', async () => {
    const caller = new NotingCaller();
    const kv = kvClient(caller);
    const lease = leaseClient(caller);
    const maintenance = maintenanceClient(caller);
    await kv.range({ key });
    await kv.put({ key });
    await kv.deleteRange({ key });
    await kv.txn({});
    await kv.compact({ revision: 1 });
    kv.rangeStream({ key }, ignored);
    await lease.grant({ TTL: 1 });
    await lease.revoke(1n);
    await lease.timeToLive({ ID: 1n });
    await lease.leases();
    lease.keepAlive(ignored);
    watchClient(caller).open(ignored);
    await clusterClient(caller).memberList();
    await maintenance.status();
    await maintenance.alarm({});
    await maintenance.hashKv(0);
    await authClient(caller).status();
    const types = new Map(allMethods.map(({ path, type }) => [path, type]));
    for (const { path, type } of caller.calls) {
      const served = types.get(path);
      expect(served, path).not.to.equal(undefined);
      expect(served === 'unary' ? 'unary' : 'stream', path).to.equal(type);
    }
    expect(caller.calls.map(({ path }) => path.split('/')[2])).to.deep.equal([
      ...['Range', 'Put', 'DeleteRange', 'Txn', 'Compact', 'RangeStream'],
      ...['LeaseGrant', 'LeaseRevoke', 'LeaseTimeToLive', 'LeaseLeases', 'LeaseKeepAlive'],
      ...['Watch', 'MemberList', 'Status', 'Alarm', 'HashKV', 'AuthStatus'],
    ]);
  });

  it('encode the request, and decode the reply', async () => {
    const caller = new NotingCaller();
    const kv = new ServiceCalls(caller, 'etcdserverpb.KV');
    const put = kv.unary('Put', encodePutRequest, decodePutResponse);
    const response = await put({ key, lease: 7n });
    expect(decodePutRequest(caller.calls[0]?.request ?? key).lease).to.equal(7n);
    expect(response).to.deep.equal(decodePutResponse(new Uint8Array(0)));
  });

  it('reject when a request cannot be encoded, or a reply cannot be read', async () => {
    const failing = new ServiceCalls(new NotingCaller(), 'etcdserverpb.KV');
    const refuse = (): never => {
      throw new RangeError('out of range');
    };
    for (const call of [
      failing.unary('Put', refuse, decodePutResponse),
      failing.unary('Put', encodePutRequest, refuse),
    ]) {
      let error: unknown;
      await call({ key }).catch((reason: unknown) => (error = reason));
      expect(error).to.be.instanceOf(RangeError);
    }
  });
});
