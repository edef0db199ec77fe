import { expect } from 'chai';
import type { Event } from '../../../../src/gen/kube-core-v1.js';
import { EventLeases } from '../../../../src/cluster/apiserver/storage/event-leases.js';
import type { EtcdClient } from '../../../../src/client/client.js';
import { send } from '../../../support/api-requests.js';
import { namespaceOf, OneStore } from '../../../support/one-store.js';
import { VirtualTime } from '../../../support/virtual-time.js';

describe('leases of events', () => {
  it('are shared by writes of a minute, and by a thousand at most', async () => {
    const time = new VirtualTime();
    const granted: number[] = [];
    let fails = false;
    const client = {
      lease: {
        grant: ({ TTL }: { readonly TTL: number }) => {
          if (fails) return Promise.reject(new Error('away'));
          granted.push(TTL);
          return Promise.resolve({ ID: BigInt(granted.length) });
        },
      },
    } as unknown as EtcdClient;
    const leases = new EventLeases(client, time);
    expect(await Promise.all([leases.leaseFor(3600), leases.leaseFor(3600)])).to.deep.equal([
      1n,
      1n,
    ]);
    await time.advance(60_000);
    expect(await leases.leaseFor(3600)).to.equal(1n);
    await time.advance(1);
    expect(await leases.leaseFor(3600)).to.equal(2n);
    for (let i = 1; i < 1000; i++) expect(await leases.leaseFor(3600)).to.equal(2n);
    expect(await leases.leaseFor(3600)).to.equal(3n);
    expect(granted, 'each lives for as long as the last write of its minute asks').to.deep.equal([
      3660, 3660, 3660,
    ]);
    await time.advance(61_000);
    fails = true;
    const failed = await leases.leaseFor(3600).catch((error: unknown) => String(error));
    expect(failed).to.equal('Error: away');
    fails = false;
    expect(await leases.leaseFor(3600)).to.equal(4n);
  });

  it('hold the events in the store, and nothing else', async () => {
    const one = await OneStore.start();
    try {
      const api = await one.server();
      const path = await namespaceOf(api, 'd');
      const event = (name: string): Event => ({
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name },
        involvedObject: { kind: 'Pod', name: 'p', namespace: 'd' },
        reason: 'r',
        message: 'm',
        type: 'Normal',
      });
      for (const name of ['a', 'b']) {
        const { status } = await send(api, 'POST', `${path}/events`, { body: event(name) });
        expect(status).to.equal(201);
      }
      const prefix = Buffer.from('/registry/');
      const { kvs } = await api.store.kv.range({
        key: prefix,
        rangeEnd: Buffer.from('/registry0'),
      });
      const held = kvs.filter(({ lease }) => BigInt(lease) !== 0n);
      expect(held.map(({ key }) => Buffer.from(key).toString())).to.deep.equal([
        '/registry/events/d/a',
        '/registry/events/d/b',
      ]);
      expect(new Set(held.map(({ lease }) => lease)).size).to.equal(1);
      const [{ lease } = { lease: 0n }] = held;
      const { TTL } = await api.store.lease.timeToLive({ ID: lease });
      expect(Number(TTL)).to.be.within(3600, 3660);
      await api.store.lease.revoke(BigInt(lease));
      expect((await send(api, 'GET', `${path}/events`)).body)
        .to.have.property('items')
        .deep.equal([]);
    } finally {
      await one.stop();
    }
  });
});
