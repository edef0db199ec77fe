import { expect } from 'chai';
import type { Endpoints } from '../../../../src/gen/kube-core-v1.js';
import type { EndpointSlice } from '../../../../src/gen/kube-discovery-v1.js';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { EtcdClient } from '../../../../src/client/client.js';
import { ApiEndpoints } from '../../../../src/cluster/apiserver/bootstrap/api-endpoints.js';
import { restClient } from '../../../../src/cluster/client/rest-client.js';
import { ENDPOINT_SLICES, ENDPOINTS } from '../../../../src/cluster/client/resource-types.js';
import { FakeApi } from '../../../support/fake-api/fake-api.js';
import { startCluster, type TestCluster } from '../../../support/servers.js';
import { until } from '../../../support/until.js';
import { VirtualTime } from '../../../support/virtual-time.js';

describe('endpoints of the API servers', () => {
  let store: TestCluster;
  let client: EtcdClient;
  let api: FakeApi;
  let time: VirtualTime;

  before(async () => {
    store = await startCluster({ kind: 'mainstay', size: 1 });
    client = new EtcdClient(store.member(0).endpoint);
  });

  after(async () => {
    client.close();
    await store.stop();
  });

  beforeEach(() => {
    time = new VirtualTime();
    api = new FakeApi(time);
  });

  const server = (address: string): ApiEndpoints => {
    const made = new ApiEndpoints({
      store: client,
      client: restClient(api),
      env: time,
      log: silentLogger,
      address,
      port: 6443,
    });
    made.start();
    return made;
  };

  const addresses = (): string[] => {
    const { subsets: [subset] = [] } = api.get<Endpoints>(ENDPOINTS, 'default', 'kubernetes') ?? {};
    return (subset?.addresses ?? []).map(({ ip }) => ip);
  };

  const slice = (): string[] => {
    const found = api.get<EndpointSlice>(ENDPOINT_SLICES, 'default', 'kubernetes');
    return (found?.endpoints ?? []).flatMap(({ addresses: own }) => own);
  };

  it('are those of all that live, and lose one that ended', async () => {
    const first = server('10.0.0.1');
    await until(() => addresses().length === 1);
    const second = server('10.0.0.2');
    await until(() => addresses().length === 2);
    expect(addresses()).to.deep.equal(['10.0.0.1', '10.0.0.2']);
    await until(() => slice().length === 2);
    await second.stop();
    await time.advance(10_000);
    await until(() => addresses().length === 1);
    expect(addresses()).to.deep.equal(['10.0.0.1']);
    await until(() => slice().length === 1);
    await first.stop();
    const { kvs } = await client.kv.range({
      key: Buffer.from('/registry/masterleases/'),
      rangeEnd: Buffer.from('/registry/masterleases0'),
    });
    expect(kvs).to.deep.equal([]);
  });

  it('lose one that died, when its lease has ended', async () => {
    const first = server('10.0.0.1');
    const died = server('10.0.0.2');
    await until(() => addresses().length === 2);
    const key = Buffer.from('/registry/masterleases/10.0.0.2');
    const { kvs } = await client.kv.range({ key });
    const lease = kvs[0]?.lease ?? 0n;
    const { TTL } = await client.lease.timeToLive({ ID: lease });
    expect(Number(TTL)).to.be.within(10, 15);
    // As the store does when the time is over: the clock of the dead one stands still.
    await client.lease.revoke(BigInt(lease));
    const again = new VirtualTime();
    const other = new ApiEndpoints({
      store: client,
      client: restClient(api),
      env: again,
      log: silentLogger,
      address: '10.0.0.1',
      port: 6443,
    });
    other.start();
    await until(() => addresses().length === 1);
    expect(addresses()).to.deep.equal(['10.0.0.1']);
    await Promise.all([first.stop(), other.stop(), died.stop()]);
  });
});
