import { expect } from 'chai';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { parseLabelSelector } from '../../../src/cluster/api/selector.js';
import { Informer } from '../../../src/cluster/client/informer.js';
import { PODS } from '../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import { SharedInformers } from '../../../src/cluster/client/shared-informers.js';
import type { Pod } from '../../../src/gen/kube-core-v1.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../support/virtual-time.js';
import { podOf } from './pods.js';

interface Bench {
  readonly time: VirtualTime;
  readonly api: FakeApi;
  readonly pods: Informer<Pod>;
  /** Calls of a handler: `+ a`, `~ a`, `- a`, `-- a` for a deletion that was not seen itself. */
  readonly seen: string[];
}

function bench(): Bench {
  const time = new VirtualTime();
  const api = new FakeApi(time);
  const client = restClient(api).resource(PODS);
  const pods = new Informer({ env: time, log: silentLogger, client });
  const seen: string[] = [];
  pods.addHandler({
    onAdd: ({ metadata }) => seen.push(`+ ${metadata.name}`),
    onUpdate: ({ metadata }) => seen.push(`~ ${metadata.name}`),
    onDelete: ({ metadata }, isStale) => seen.push(`${isStale ? '--' : '-'} ${metadata.name}`),
  });
  return { time, api, pods, seen };
}

const names = (pods: readonly Pod[]): string[] =>
  pods.map(({ metadata }) => metadata.name ?? '').sort();

describe('informer', () => {
  it('has the content once it is synced, then each change, handlers after the store', async () => {
    const { time, api, pods, seen } = bench();
    api.put(PODS, podOf('a'));
    api.put(PODS, podOf('b'));
    pods.addHandler({
      onAdd: (pod) => expect(pods.get('default', pod.metadata.name ?? '')).to.equal(pod),
      onDelete: (pod) => expect(pods.getByKey(`default/${pod.metadata.name}`)).to.equal(undefined),
    });
    expect(pods.hasSynced).to.be.false;
    pods.start();
    expect(await time.run(pods.synced)).to.be.true;
    expect(pods.hasSynced).to.be.true;
    expect(seen).to.deep.equal(['+ a', '+ b']);
    api.put(PODS, podOf('a', { labels: { x: 'y' } }));
    api.remove(PODS, podOf('b'));
    api.put(PODS, podOf('c'));
    await time.settle();
    expect(seen.slice(2)).to.deep.equal(['~ a', '- b', '+ c']);
    expect(names(pods.list())).to.deep.equal(['a', 'c']);
    expect(pods.get('default', 'a')).to.equal(api.get(PODS, 'default', 'a'));
    expect(Object.isFrozen(pods.get('default', 'a')?.spec?.containers)).to.be.true;
    await pods.stop();
    expect(api.openWatches).to.equal(0);
  });

  it('finds objects by namespace and by indexes, also those made later', async () => {
    const { time, api, pods } = bench();
    const nodeOf = (pod: Pod): string[] => [pod.spec?.nodeName ?? ''];
    const early = pods.index(nodeOf);
    api.put(PODS, podOf('a', { node: 'n1' }));
    api.put(PODS, podOf('b', { node: 'n1', namespace: 'other' }));
    api.put(PODS, podOf('c'));
    pods.start();
    await time.run(pods.synced);
    const late = pods.index((pod) => Object.keys(pod.metadata.labels ?? {}));
    expect(names(early('n1'))).to.deep.equal(['a', 'b']);
    expect(names(pods.index(nodeOf)(''))).to.deep.equal(['c']);
    expect(names(pods.list('other'))).to.deep.equal(['b']);
    api.put(PODS, podOf('a', { node: 'n2', labels: { x: '1', y: '2' } }));
    api.remove(PODS, podOf('b', { namespace: 'other' }));
    await time.settle();
    expect(names(early('n1'))).to.deep.equal([]);
    expect(names(early('n2'))).to.deep.equal(['a']);
    expect(names(late('y'))).to.deep.equal(['a']);
    expect(names(pods.list('default', parseLabelSelector('x in (1, 3)')))).to.deep.equal(['a']);
    expect(names(pods.list('', parseLabelSelector('!x')))).to.deep.equal(['c']);
    expect(names(pods.list('other'))).to.deep.equal([]);
    await pods.stop();
  });

  it('tells of deletions that it did not see, and of a new object in the place of an old one', async () => {
    const { time, api, pods, seen } = bench();
    api.put(PODS, podOf('gone'));
    api.put(PODS, podOf('new'));
    api.put(PODS, podOf('same'));
    pods.start();
    await time.run(pods.synced);
    api.endWatches(new Error('connection lost'));
    api.remove(PODS, podOf('gone'));
    api.remove(PODS, podOf('new'));
    api.put(PODS, podOf('new'));
    api.compact();
    seen.length = 0;
    await time.runUntil(() => seen.length === 3);
    await time.settle();
    expect(seen).to.deep.equal(['-- new', '+ new', '-- gone']);
    await pods.stop();
  });

  it('shows handlers that come later what is there', async () => {
    const { time, api, pods } = bench();
    api.put(PODS, podOf('a'));
    pods.start();
    await time.run(pods.synced);
    const seen: string[] = [];
    const remove = pods.addHandler({ onAdd: ({ metadata }) => seen.push(metadata.name ?? '') });
    api.put(PODS, podOf('b'));
    await time.settle();
    remove();
    api.put(PODS, podOf('c'));
    await time.settle();
    expect(seen).to.deep.equal(['a', 'b']);
    await pods.stop();
  });

  it('goes on when a handler fails', async () => {
    const { time, api, pods, seen } = bench();
    pods.addHandler({
      onAdd: () => {
        throw new Error('broken handler');
      },
    });
    api.put(PODS, podOf('a'));
    pods.start();
    await time.run(pods.synced);
    api.put(PODS, podOf('b'));
    await time.settle();
    expect(seen).to.deep.equal(['+ a', '+ b']);
    await pods.stop();
  });

  it('is not synced when it was stopped before', async () => {
    const { time, api, pods } = bench();
    api.intercept(() => {
      throw new Error('no server');
    });
    pods.start();
    await time.advance(10_000);
    await time.run(pods.stop());
    expect(await pods.synced).to.be.false;
    expect(time.pendingTimers).to.equal(0);
  });
});

describe('shared informers', () => {
  it('are one a resource, begun before or after the start', async () => {
    const time = new VirtualTime();
    const api = new FakeApi(time);
    const informers = new SharedInformers(time, silentLogger, restClient(api));
    const early = informers.of(PODS);
    expect(informers.of({ ...PODS })).to.equal(early);
    informers.start();
    const nodes = informers.of({ ...PODS, kind: 'Node', resource: 'nodes', isNamespaced: false });
    expect(await time.run(informers.synced())).to.be.true;
    expect(early.hasSynced && nodes.hasSynced).to.be.true;
    expect(api.calls).to.deep.equal(['WATCH /api/v1/pods', 'WATCH /api/v1/nodes']);
    await informers.stop();
    expect(api.openWatches).to.equal(0);
  });
});
