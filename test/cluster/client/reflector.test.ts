import { expect } from 'chai';
import fc from 'fast-check';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { apiError, expired } from '../../../src/cluster/api/status.js';
import { TransportError, type WatchEvent } from '../../../src/cluster/client/client.js';
import { Informer } from '../../../src/cluster/client/informer.js';
import { PODS } from '../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import type { Transport } from '../../../src/cluster/client/transport.js';
import type { Pod } from '../../../src/gen/kube-core-v1.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../support/virtual-time.js';
import { podOf } from './pods.js';

interface Bench {
  readonly time: VirtualTime;
  readonly api: FakeApi;
  readonly pods: Informer<Pod>;
  /** Each call as `ms query`, the length of a watch masked. */
  readonly calls: string[];
}

function bench(seed = 1): Bench {
  const time = new VirtualTime(seed);
  const api = new FakeApi(time);
  const calls: string[] = [];
  api.intercept(({ query = new URLSearchParams() }) => {
    const text = query.toString().replace(/timeoutSeconds=\d+/, 'timeout');
    calls.push(`${Math.round(time.monoMs())} ${text}`);
    return undefined;
  });
  const client = restClient(api).resource(PODS);
  const pods = new Informer({ env: time, log: silentLogger, client });
  return { time, api, pods, calls };
}

const WATCH_LIST =
  'watch=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&sendInitialEvents=true&timeout';
const watchFrom = (revision: number): string =>
  `watch=true&resourceVersion=${revision}&allowWatchBookmarks=true&timeout`;
const unavailable = (): never => {
  throw new TransportError('connection refused');
};

describe('reflector', () => {
  it('reads the content by one watch, and goes on at once after a clean end', async () => {
    const { time, api, pods, calls } = bench();
    api.put(PODS, podOf('a'));
    pods.start();
    await time.run(pods.synced);
    await time.advance(300_000);
    api.endWatches();
    await time.settle();
    expect(calls).to.deep.equal([`0 ${WATCH_LIST}`, `300000 ${watchFrom(2)}`]);
    api.put(PODS, podOf('b'));
    await time.settle();
    expect(pods.list()).length(2);
    await pods.stop();
  });

  it('falls back to a consistent list in pages', async () => {
    const { time, api, pods, calls } = bench();
    api.refuseWatchList();
    for (let i = 0; i < 1100; i += 1) api.put(PODS, podOf(`pod-${i}`));
    pods.start();
    await time.run(pods.synced);
    await time.settle();
    expect(pods.list()).length(1100);
    const [refused, first, second, third, watch, ...rest] = calls;
    expect(refused).to.equal(`0 ${WATCH_LIST}`);
    expect(first).to.equal('0 limit=500');
    for (const page of [second, third]) expect(page).to.match(/^0 limit=500&continue=1101/);
    expect([watch, ...rest]).to.deep.equal([`0 ${watchFrom(1101)}`]);
    await pods.stop();
  });

  it('asks for the whole list when the revision of its pages is gone', async () => {
    const { time, api, pods, calls } = bench();
    api.refuseWatchList();
    for (let i = 0; i < 600; i += 1) api.put(PODS, podOf(`pod-${i}`));
    const remove = api.intercept(({ query }) => {
      if (query?.has('continue') !== true) return undefined;
      remove();
      api.remove(PODS, podOf('pod-7'));
      api.compact();
      return undefined;
    });
    pods.start();
    await time.run(pods.synced);
    expect(pods.list()).length(599);
    expect(calls.filter((call) => call === '0 ')).length(1);
    await pods.stop();
  });

  it('goes on from the newest bookmark', async () => {
    const { time, api, pods, calls } = bench();
    pods.start();
    await time.run(pods.synced);
    api.put({ ...PODS, resource: 'others' }, podOf('x'));
    api.bookmark();
    await time.settle();
    api.compact();
    api.endWatches(new TransportError('connection reset'));
    api.put(PODS, podOf('a'));
    await time.runUntil(() => pods.list().length === 1);
    expect(calls.map((call) => call.replace(/^\d+ /, ''))).to.deep.equal([
      WATCH_LIST,
      watchFrom(2),
    ]);
    await pods.stop();
  });

  it('begins anew when its revision is gone, by status or by event', async () => {
    const { time, api, pods, calls } = bench();
    pods.start();
    await time.run(pods.synced);
    api.failWatches(expired('too old resource version: 1 (2)'));
    await time.runUntil(() => api.openWatches === 1);
    expect(calls.at(-1)).to.match(new RegExp(`^\\d+ ${WATCH_LIST}$`));
    api.put(PODS, podOf('a'));
    const remove = api.intercept(() => {
      remove();
      throw expired('too old resource version: 1 (2)');
    });
    api.endWatches(new TransportError('connection reset'));
    await time.runUntil(() => api.openWatches === 1);
    expect(calls.slice(-1)[0]).to.match(new RegExp(`^\\d+ ${WATCH_LIST}$`));
    expect(pods.list()).length(1);
    await pods.stop();
  });

  it('waits as long as a busy server asks for, and keeps its revision', async () => {
    const { time, api, pods, calls } = bench();
    pods.start();
    await time.run(pods.synced);
    const remove = api.intercept(() => {
      remove();
      throw apiError(429, 'TooManyRequests', 'busy', { retryAfterSeconds: 100 });
    });
    await time.advance(5000);
    api.endWatches();
    await time.runUntil(() => calls.length === 2);
    expect(time.monoMs()).to.be.within(105_000, 205_000);
    expect(calls[1]).to.contain(watchFrom(1));
    await pods.stop();
  });

  it('does not take a busy server for one without the feature', async () => {
    const { time, api, pods, calls } = bench();
    const remove = api.intercept(() => {
      remove();
      throw apiError(429, 'TooManyRequests', 'busy');
    });
    pods.start();
    await time.run(pods.synced);
    expect(calls).length(1);
    expect(calls[0]).to.contain(WATCH_LIST);
    await pods.stop();
  });

  it('backs off from 0.8 s to 30 s, doubled and jittered, and starts over after a success', async () => {
    const { time, api, pods } = bench();
    const attempts: number[] = [];
    let isDown = true;
    api.intercept(() => {
      attempts.push(time.monoMs());
      return isDown ? unavailable() : undefined;
    });
    pods.start();
    await time.runUntil(() => attempts.length === 10);
    const delays = attempts.slice(1).map((atMs, i) => atMs - (attempts[i] ?? 0));
    delays.forEach((delayMs, i) => {
      const baseMs = Math.min(30_000, 800 * 2 ** i);
      expect(delayMs).to.be.within(baseMs, baseMs * 2);
    });
    isDown = false;
    await time.run(pods.synced);
    isDown = true;
    api.endWatches(new TransportError('connection reset'));
    const endedMs = time.monoMs();
    await time.runUntil(() => attempts.length === 12);
    expect(time.monoMs() - endedMs).to.be.within(800, 1600);
    await pods.stop();
  });

  it('tries again when the content breaks off, and shows no part of it', async () => {
    const { time, api } = bench();
    const pod = api.put(PODS, podOf('a'));
    async function* partial(): AsyncGenerator<WatchEvent<Pod>[]> {
      yield await Promise.resolve([{ type: 'ADDED', object: podOf('never') }]);
    }
    let breaks = 3;
    const transport: Transport = {
      call: (call) => api.call(call),
      watch: (call) => {
        expect(pods.list()).to.deep.equal([]);
        breaks -= 1;
        return breaks < 0 ? api.watch(call) : Promise.resolve(partial());
      },
      close: () => api.close(),
    };
    const client = restClient(transport).resource(PODS);
    const pods = new Informer({ env: time, log: silentLogger, client });
    pods.start();
    await time.run(pods.synced);
    expect(breaks).to.equal(-1);
    expect(pods.list()).to.deep.equal([pod]);
    expect(time.monoMs()).to.be.within(5600, 11_200);
    await pods.stop();
  });

  it('becomes equal to the server whatever fails (property)', async () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ type: fc.constant('put' as const), name }) },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('remove' as const), name }) },
      fc.record({
        type: fc.constantFrom(
          'compact',
          'end',
          'break',
          'expire',
          'bookmark',
          'down',
          'up',
          'wait',
        ),
        name,
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.integer(), async (steps, seed) => {
        const { time, api, pods } = bench(seed);
        const states = new Map<string, string>();
        pods.addHandler({
          onAdd: ({ metadata: { name: one = '', uid = '' } }) => {
            expect(states.has(one)).to.be.false;
            states.set(one, uid);
          },
          onUpdate: ({ metadata }, old) => {
            expect(states.get(metadata.name ?? '')).to.equal(metadata.uid);
            const [before, now] = [old, { metadata }].map((o) =>
              Number(o.metadata.resourceVersion),
            );
            expect(now).to.be.greaterThan(before ?? 0);
          },
          onDelete: ({ metadata: { name: one = '', uid = '' } }) => {
            expect(states.get(one)).to.equal(uid);
            states.delete(one);
          },
        });
        let isDown = false;
        api.intercept(() => (isDown ? unavailable() : undefined));
        if (seed % 2 === 0) api.refuseWatchList();
        pods.start();
        for (const { type, name: one } of steps) {
          const present = api.get(PODS, 'default', one);
          if (type === 'put') api.put(PODS, present ?? podOf(one));
          else if (type === 'remove' && present !== undefined) api.remove(PODS, present);
          else if (type === 'compact') api.compact();
          else if (type === 'end') api.endWatches();
          else if (type === 'break') api.endWatches(new TransportError('reset'));
          else if (type === 'expire') api.failWatches(expired('too old resource version'));
          else if (type === 'bookmark') api.bookmark();
          else if (type === 'down' || type === 'up') isDown = type === 'down';
          else await time.advance(5000);
        }
        isDown = false;
        await time.run(pods.synced);
        await time.advance(120_000);
        const sorted = (list: readonly Pod[]): readonly Pod[] =>
          [...list].sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
        expect(sorted(pods.list())).to.deep.equal(sorted(api.list(PODS)));
        expect([...states.keys()].sort()).to.deep.equal(
          sorted(pods.list()).map(({ metadata }) => metadata.name),
        );
        await time.run(pods.stop());
      }),
      { numRuns: 150 },
    );
  });
});
