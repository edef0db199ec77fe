import { expect } from 'chai';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { EtcdClient } from '../../../../src/client/client.js';
import { Compactor } from '../../../../src/cluster/apiserver/bootstrap/compactor.js';
import { startCluster, type TestCluster } from '../../../support/servers.js';

const KEY = Buffer.from('k');

describe('Compactor', () => {
  let store: TestCluster;
  let client: EtcdClient;

  before(async () => {
    store = await startCluster({ kind: 'mainstay', size: 1 });
    client = new EtcdClient(store.member(0).endpoint);
  });

  after(async () => {
    client.close();
    await store.stop();
  });

  const compactor = (): Compactor => {
    const env = {
      monoMs: () => 0,
      wallMs: () => 0,
      after: () => ({ cancel: () => undefined }),
      randomU32: () => 0,
    };
    return new Compactor({ client, env, log: silentLogger });
  };

  const write = async (): Promise<number> =>
    (await client.kv.put({ key: KEY, value: Buffer.from('v') })).header?.revision ?? 0;

  const isHeld = async (revision: number): Promise<boolean> => {
    try {
      await client.kv.range({ key: KEY, revision });
      return true;
    } catch {
      return false;
    }
  };

  it('drops what was old at the round before, whichever server is first, and nothing newer', async () => {
    const servers = [compactor(), compactor()];
    let marks = servers.map(() => ({ version: 0, revision: 0 }));
    const written: number[] = [];
    for (let round = 0; round < 5; round++) {
      // Right after the round before: a whole round old when this one compacts.
      written.push(await write());
      const next = [];
      for (const [i, server] of servers.entries()) {
        next.push(await server.round(marks[i] ?? { version: 0, revision: 0 }));
      }
      marks = next;
      const held = await Promise.all(written.map(isHeld));
      expect(held, `round ${round}`).to.deep.equal(written.map((_, i) => i === round));
    }
  });

  it('goes on when a server joins, and when another dies', async () => {
    const first = compactor();
    let mark = { version: 0, revision: 0 };
    mark = await first.round(mark);
    const late = compactor();
    let lateMark = await late.round({ version: 0, revision: 0 });
    const before = await write();
    mark = await first.round(mark);
    lateMark = await late.round(lateMark);
    // The first one is gone from here on.
    await write();
    lateMark = await late.round(lateMark);
    await write();
    await late.round(lateMark);
    expect(await isHeld(before)).to.equal(false);
    expect(mark.version).to.be.greaterThan(0);
  });
});
