import { expect } from 'chai';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import {
  decodeLeaseKeepAliveResponse,
  encodeLeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  type LeaseRevokeResponse,
  type LeaseTimeToLiveResponse,
} from '../../src/gen/rpc.js';
import {
  bytes,
  describeForAll,
  freshPrefix,
  prefixEnd,
  refusal,
  text,
  type Target,
} from './support/targets.js';
import { eventText, WatchStream } from './support/watch.js';

/** etcdserverpb.Lease over the wire. */

const NOT_FOUND = '5 etcdserver: requested lease not found';

describeForAll('lease', (target: Target) => {
  let nextId = 0x1000n;
  const freshId = (): bigint => nextId++;

  const revoke = (ID: bigint): Promise<LeaseRevokeResponse> => target.client.lease.revoke(ID);

  const timeToLive = (ID: bigint, keys = false): Promise<LeaseTimeToLiveResponse> =>
    target.client.lease.timeToLive({ ID, keys });

  const leases = async (): Promise<bigint[]> =>
    (await target.client.lease.leases()).leases.map((lease) => lease.ID);

  const attach = (key: string, lease: bigint): Promise<unknown> =>
    target.client.kv.put({ key: bytes(key), value: bytes('v'), lease });

  it('grants the time asked for, within bounds', async () => {
    for (const [ttl, granted] of [
      [60, 60],
      [1, 2],
      [0, 2],
      [-7, 2],
      [9_000_000_000, 9_000_000_000],
    ] as const) {
      const reply = await target.client.lease.grant({ TTL: ttl });
      expect(reply.TTL, String(ttl)).to.equal(granted);
      expect(reply.ID > 0n).to.equal(true);
      expect(reply.header?.revision).to.be.greaterThan(0);
      await revoke(reply.ID);
    }
    for (const ttl of [9_000_000_001, Number.MAX_SAFE_INTEGER]) {
      expect(await refusal(target.client.lease.grant({ TTL: ttl }))).to.equal(
        '11 etcdserver: too large lease TTL',
      );
    }
  });

  it('takes any id, once', async () => {
    for (const ID of [1n, 2n ** 62n + 1n, 2n ** 63n - 1n, -1n, -(2n ** 63n)]) {
      expect((await target.client.lease.grant({ ID, TTL: 60 })).ID).to.equal(ID);
      expect(await refusal(target.client.lease.grant({ ID, TTL: 60 }))).to.equal(
        '9 etcdserver: lease already exists',
      );
      expect(await leases()).to.include(ID);
      expect((await timeToLive(ID)).grantedTTL).to.equal(60);
      await revoke(ID);
      expect(await leases()).to.not.include(ID);
    }
  });

  it('refuses an id that is not there', async () => {
    const ID = freshId();
    expect(await refusal(revoke(ID))).to.equal(NOT_FOUND);
    expect(await refusal(attach('k', ID))).to.equal(NOT_FOUND);
    expect(await timeToLive(ID, true)).to.include({ ID, TTL: -1, grantedTTL: 0 });
  });

  it('reports time left and keys', async () => {
    const prefix = freshPrefix();
    const { ID } = await target.client.lease.grant({ ID: freshId(), TTL: 500 });
    for (const name of ['a', 'b', 'c']) await attach(prefix + name, ID);
    await target.client.kv.put({ key: bytes(`${prefix}a`), value: bytes('detached') });
    await target.client.kv.deleteRange({ key: bytes(`${prefix}b`) });
    const reply = await timeToLive(ID, true);
    expect(reply.grantedTTL).to.equal(500);
    expect(reply.TTL).to.be.within(400, 500);
    expect(reply.keys.map(text)).to.deep.equal([`${prefix}c`]);
    expect((await timeToLive(ID)).keys).to.have.length(0);
    await revoke(ID);
  });

  it('revoke deletes all keys in one revision, in their order', async () => {
    const prefix = freshPrefix();
    const { ID } = await target.client.lease.grant({ ID: freshId(), TTL: 500 });
    for (const name of ['c', 'a', 'b']) await attach(prefix + name, ID);
    const watch = new WatchStream(target.client);
    try {
      await watch.create({ key: bytes(prefix), rangeEnd: prefixEnd(prefix), prevKv: true });
      const { header } = await revoke(ID);
      const response = await watch.next();
      expect(response.events.map(eventText)).to.deep.equal(
        ['a', 'b', 'c'].map((name) => `DELETE ${prefix}${name}`),
      );
      for (const event of response.events) {
        expect(event.kv?.modRevision).to.equal(header?.revision);
        expect(event.prevKv?.lease).to.equal(ID);
      }
    } finally {
      watch.close();
    }
  });

  it('revoke without keys is no new revision', async () => {
    const before = await target.client.lease.grant({ ID: freshId(), TTL: 500 });
    const after = await revoke(before.ID);
    expect(after.header?.revision).to.equal(before.header?.revision);
  });

  it('expires with all its keys at once', async () => {
    const prefix = freshPrefix();
    const { ID } = await target.client.lease.grant({ ID: freshId(), TTL: 2 });
    const count = 300;
    for (let i = 0; i < count; i += 100) {
      await target.client.kv.txn({
        success: Array.from({ length: 100 }, (_, k) => ({
          requestPut: { key: bytes(`${prefix}${i + k}`), lease: ID },
        })),
      });
    }
    const watch = new WatchStream(target.client);
    try {
      await watch.create({ key: bytes(prefix), rangeEnd: prefixEnd(prefix) });
      const response = await watch.next();
      expect(response.events).to.have.length(count);
      expect(new Set(response.events.map((event) => event.kv?.modRevision)).size).to.equal(1);
      expect((await timeToLive(ID)).TTL).to.equal(-1);
    } finally {
      watch.close();
    }
  });

  describe('keep-alive', () => {
    let stream: ClientDuplexStream<Uint8Array, Uint8Array>;
    let answers: LeaseKeepAliveResponse[];
    let ended: Promise<void>;
    let wake: () => void;

    beforeEach(() => {
      answers = [];
      wake = (): void => undefined;
      stream = target.client.stream('/etcdserverpb.Lease/LeaseKeepAlive');
      stream.on('data', (message: Uint8Array) => {
        answers.push(decodeLeaseKeepAliveResponse(message));
        wake();
      });
      stream.on('error', () => undefined);
      ended = new Promise((resolve) => stream.on('status', () => resolve()));
    });

    afterEach(() => stream.cancel());

    const ask = (ID: bigint): unknown => stream.write(encodeLeaseKeepAliveRequest({ ID }));

    async function answered(count: number): Promise<LeaseKeepAliveResponse[]> {
      while (answers.length < count) await new Promise<void>((resolve) => (wake = resolve));
      return answers;
    }

    it('answers each request in order, unknown ones with time 0', async () => {
      const { ID } = await target.client.lease.grant({ ID: freshId(), TTL: 100 });
      for (const id of [ID, 77777n, ID, 77778n]) ask(id);
      expect((await answered(4)).map((a) => [a.ID, a.TTL])).to.deep.equal([
        [ID, 100],
        [77777n, 0],
        [ID, 100],
        [77778n, 0],
      ]);
      await revoke(ID);
      ask(ID);
      expect((await answered(5))[4]?.TTL).to.equal(0);
      expect(answers[0]?.header?.revision).to.be.greaterThan(0);
    });

    it('ends well when the client has no more', async () => {
      const { ID } = await target.client.lease.grant({ ID: freshId(), TTL: 100 });
      ask(ID);
      await answered(1);
      stream.end();
      await ended;
      await revoke(ID);
    });
  });
});
