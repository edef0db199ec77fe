import { expect } from 'chai';
import { EtcdClient } from '../../src/client/client.js';
import { decodeRangeResponse, encodePutRequest, encodeRangeRequest } from '../../src/gen/rpc.js';
import { startCluster, until, type TestCluster } from '../support/servers.js';
import { bytes } from './support/targets.js';

/** An entry longer than a frame between members, and than the requests a connection may hold by default. */
const VALUE_BYTES = 70 * 1024 * 1024;
const WITHIN = { timeoutMs: 60_000 };

describe('an entry of 70 MiB in a cluster of three whose flags allow it', () => {
  let cluster: TestCluster | undefined;
  let clients: EtcdClient[] = [];
  let failed = false;

  before(async () => {
    cluster = await startCluster({
      kind: 'mainstay',
      size: 3,
      flags: { 'max-request-bytes': '209715200' },
    });
    clients = cluster.endpoints.map((endpoint) => new EtcdClient(endpoint));
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    for (const client of clients) client.close();
    await cluster?.stop(failed);
  });

  async function put(client: EtcdClient, key: string, value: Uint8Array): Promise<void> {
    const request = encodePutRequest({ key: bytes(key), value });
    await client.unary('/etcdserverpb.KV/Put', request, WITHIN);
  }

  /** Length of the value that this very member has; -1 for none. */
  async function lengthAt(client: EtcdClient, key: string): Promise<number> {
    const request = encodeRangeRequest({ key: bytes(key), serializable: true });
    const reply = await client.unary('/etcdserverpb.KV/Range', request, WITHIN);
    return decodeRangeResponse(reply).kvs[0]?.value.length ?? -1;
  }

  async function isEverywhere(key: string, length: number): Promise<true | null> {
    const lengths = await Promise.all(clients.map((client) => lengthAt(client, key)));
    return lengths.every((seen) => seen === length) ? true : null;
  }

  it('reaches every member, and so do the writes behind it', async () => {
    const [first, second] = clients;
    if (first === undefined || second === undefined) throw new Error('three members were started');
    // A slow machine may answer that it timed out; what was logged is committed all the same.
    await put(first, 'long', new Uint8Array(VALUE_BYTES)).catch((error: unknown) => {
      expect(String(error)).to.match(/request timed out/);
    });
    await until('the entry is everywhere', () => isEverywhere('long', VALUE_BYTES), 120_000);
    await until('a write behind it', () =>
      put(second, 'short', bytes('behind it')).then(
        () => true,
        () => null,
      ),
    );
    await until('the next one is everywhere', () => isEverywhere('short', 9), 60_000);
  }).timeout(240_000);
});
