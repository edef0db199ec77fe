import { expect } from 'chai';
import type { ConfigMap } from '../../../../src/gen/kube-core-v1.js';
import type { Status } from '../../../../src/gen/kube-meta-v1.js';
import { ApiCore } from '../../../support/api-core.js';
import { OpenWatch, revisionOf, send, type List } from '../../../support/api-requests.js';
import { namespaceOf, OneStore } from '../../../support/one-store.js';
import { until } from '../../../support/until.js';

function configMap(name: string): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } };
}

describe('API server whose store is away', () => {
  let one: OneStore;
  let rejections: unknown[];
  const note = (error: unknown): void => void rejections.push(error);

  beforeEach(async () => {
    rejections = [];
    process.on('unhandledRejection', note);
    one = await OneStore.start();
  });

  afterEach(async () => {
    process.off('unhandledRejection', note);
    await one.stop();
    expect(rejections).to.deep.equal([]);
  });

  it('says so, and goes on where it was when the store is back', async () => {
    const api = await one.server();
    const maps = `${await namespaceOf(api, 'd')}/configmaps`;
    const first = await send(api, 'POST', maps, { body: configMap('a') });
    const query = { resourceVersion: String(revisionOf(first.body)) };
    const watch = await OpenWatch.open(api, maps, query);
    const member = one.store.member(0);
    await member.kill();

    for (const [method, path, body] of [
      ['POST', maps, configMap('b')],
      ['GET', `${maps}/a`, undefined],
      ['GET', maps, undefined],
      ['DELETE', `${maps}/a`, undefined],
    ] as const) {
      const reply = await send<Status>(api, method, path, body === undefined ? {} : { body });
      expect(reply.status, `${method} ${path}`).to.be.oneOf([500, 503]);
      expect(reply.body.kind).to.equal('Status');
      expect(reply.body.message).to.match(/the store does not answer/);
    }
    const old = await send<List>(api, 'GET', maps, { query: { resourceVersion: '0' } });
    expect(old.status, 'a list of any state needs no store').to.equal(200);
    expect(watch.hasEnded).to.equal(false);

    member.start();
    await member.healthy();
    await until(async () => (await send(api, 'GET', maps)).status === 200);
    const { status } = await send(api, 'POST', maps, { body: configMap('c') });
    expect(status).to.equal(201);
    const { body: list } = await send<List>(api, 'GET', maps);
    watch.stop();
    expect(watch.hasEnded).to.equal(false);
    expect(list.items.map(({ metadata }) => metadata.name)).to.include.members(['a', 'c']);
    const seen = watch.events.map(({ type, object }) => `${type} ${object.metadata.name ?? ''}`);
    // The write that was not answered may have been done.
    expect(seen.filter((text) => text !== 'ADDED b')).to.deep.equal(['ADDED c']);
  });

  it('shows its watchers what was written while it could not see it', async () => {
    const api = await one.server();
    const maps = `${await namespaceOf(api, 'd')}/configmaps`;
    const first = await send(api, 'POST', maps, { body: configMap('a') });
    const query = { resourceVersion: String(revisionOf(first.body)) };
    const watch = await OpenWatch.open(api, maps, query);
    const member = one.store.member(0);
    for (let round = 0; round < 3; round++) {
      await member.kill();
      member.start();
      await member.healthy();
      const other = new ApiCore(one.endpoint);
      await other.core.start();
      for (let i = 0; i < 5; i++) {
        const body = configMap(`m${round}-${i}`);
        expect((await send(other, 'POST', maps, { body })).status).to.equal(201);
      }
      await other.stop();
    }
    await watch.shown(15);
    watch.stop();
    const names = watch.events.map(({ object }) => object.metadata.name);
    expect(names).to.deep.equal(
      [0, 1, 2].flatMap((round) => [0, 1, 2, 3, 4].map((i) => `m${round}-${i}`)),
    );
  });

  it('asks clients to come back while it never saw the store', async () => {
    const member = one.store.member(0);
    await member.kill();
    const api = new ApiCore(one.endpoint);
    const path = '/api/v1/namespaces';
    const reply = await send<Status>(api, 'GET', path, { query: { resourceVersion: '0' } });
    expect(reply.status).to.equal(429);
    expect(reply.body.reason).to.equal('TooManyRequests');
    member.start();
    await member.healthy();
    await api.core.start();
    expect((await send(api, 'GET', path)).status).to.equal(200);
    await api.stop();
  });
});
