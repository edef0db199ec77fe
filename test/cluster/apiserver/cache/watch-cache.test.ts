import { expect } from 'chai';
import { isApiError } from '../../../../src/cluster/api/status.js';
import { loggerTo } from '../../../../src/base/observe/logger.js';
import { WatchCache } from '../../../../src/cluster/apiserver/cache/watch-cache.js';
import { parseListQuery } from '../../../../src/cluster/apiserver/registry/list-options.js';
import { Reader } from '../../../../src/cluster/apiserver/registry/reader.js';
import type { ObjectStore } from '../../../../src/cluster/apiserver/storage/object-store.js';
import { StoredObject } from '../../../../src/cluster/apiserver/storage/stored-object.js';
import { VirtualTime } from '../../../support/virtual-time.js';
import { follow, KIND, Source } from './source.js';

describe('WatchCache', () => {
  let time: VirtualTime;
  let source: Source;
  let cache: WatchCache;
  let reader: Reader;

  beforeEach(async () => {
    time = new VirtualTime();
    source = new Source();
    source.put('a/one', { app: 'x' });
    source.put('b/two');
    cache = new WatchCache({
      kind: KIND,
      store: source.cacheSource,
      env: time,
      log: loggerTo([], 'error'),
      indexedFields: [],
    });
    reader = new Reader({
      store: source.cacheSource as unknown as ObjectStore,
      env: time,
      cacheOf: () => cache,
    });
    await time.settle();
    await cache.start();
  });

  afterEach(() => cache.stop());

  const query = (text: string): ReturnType<typeof parseListQuery> =>
    parseListQuery(new URLSearchParams(text), text.includes('watch'));

  it('follows the store from the revision after its list', () => {
    expect(source.streams.map(({ from }) => from)).to.deep.equal([13]);
    expect(cache.revision).to.equal(12);
  });

  it('waits with a consistent list until it has all acknowledged writes', async () => {
    source.answersProgress = false;
    const added = source.put('a/new');
    const list = reader.list(KIND, '', query(''));
    await time.settle();
    source.show('a/new', added);
    const page = await list;
    expect(page.items.map(({ key }) => key)).to.deep.equal(['a/new', 'a/one', 'b/two']);
    expect(page.resourceVersion).to.equal('13');
  });

  it('asks for progress when a revision is of another resource', async () => {
    source.revision = 40;
    const page = await reader.list(KIND, 'a', query(''));
    expect(source.progressRequests).to.be.greaterThan(0);
    expect(page.resourceVersion).to.equal('40');
  });

  it('asks for progress at once for each list that waits', async () => {
    for (const revision of [40, 41, 42]) {
      source.revision = revision;
      await reader.list(KIND, 'a', query(''));
    }
    expect(source.progressRequests).to.equal(3);
    expect(time.monoMs()).to.equal(0);
  });

  it('refuses a revision of the future after three seconds', async () => {
    const list = reader
      .list(KIND, '', query('resourceVersion=99'))
      .catch((error: unknown) => error);
    await time.run(list);
    const error = await list;
    expect(isApiError(error, 'Timeout')).to.equal(true);
    expect(time.monoMs()).to.be.within(3000, 3100);
  });

  it('shows the state, the end of it, and changes', async () => {
    const text =
      'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1';
    const seen = follow(await reader.watch(KIND, '', query(text)));
    source.show('a/one', source.put('a/one', { app: 'y' }));
    source.show('b/two', undefined, source.remove('b/two'));
    expect(seen.items).to.deep.equal([
      'ADDED a/one 11',
      'ADDED b/two 12',
      'BOOKMARK 12 end',
      'MODIFIED a/one 13',
      'DELETED b/two 14',
    ]);
  });

  it('turns changes of what a selector selects into ADDED and DELETED', async () => {
    const seen = follow(
      await reader.watch(KIND, 'a', query('watch=1&resourceVersion=12&labelSelector=app%3Dx')),
    );
    source.show('a/one', source.put('a/one', { app: 'y' }));
    source.show('a/one', source.put('a/one', { app: 'x' }));
    source.show('b/other', source.put('b/other', { app: 'x' }));
    expect(seen.items).to.deep.equal(['DELETED a/one 13', 'ADDED a/one 14']);
  });

  it('refuses a watch from before the events that are held', async () => {
    const seen = follow(await reader.watch(KIND, '', query('watch=1&resourceVersion=3')));
    expect(seen.items).to.deep.equal(['EXPIRED too old resource version: 3 (12)']);
    expect(seen.hasEnded).to.equal(true);
  });

  it('keeps a paused watcher at its place, without losing or repeating an event', async () => {
    const subscription = await reader.watch(KIND, '', query('watch=1&resourceVersion=12'));
    const seen = follow(subscription, () => subscription.pause());
    source.show('a/1', source.put('a/1'));
    source.show('a/2', source.put('a/2'));
    source.show('a/3', source.put('a/3'));
    expect(seen.items).to.deep.equal(['ADDED a/1 13']);
    subscription.resume();
    expect(seen.items).to.deep.equal(['ADDED a/1 13', 'ADDED a/2 14', 'ADDED a/3 15']);
  });

  it('sends bookmarks every minute, and one shortly before the end', async () => {
    const text = 'watch=1&resourceVersion=12&allowWatchBookmarks=true&timeoutSeconds=100';
    const seen = follow(await reader.watch(KIND, '', query(text)));
    source.revision = 30;
    await time.advance(61_000);
    source.revision = 35;
    await reader.list(KIND, '', query(''));
    await time.advance(38_000);
    expect(seen.items).to.deep.equal(['BOOKMARK 30', 'BOOKMARK 35']);
    await time.advance(2000);
    expect(seen.hasEnded).to.equal(true);
  });

  it('goes on where it was when the stream breaks', async () => {
    const seen = follow(await reader.watch(KIND, '', query('watch=1&resourceVersion=12')));
    source.show('a/1', source.put('a/1'));
    source.streams.at(-1)?.on.end('broken');
    await time.advance(100);
    expect(source.streams.map(({ from }) => from)).to.deep.equal([13, 14]);
    source.show('a/2', source.put('a/2'));
    expect(seen.items).to.deep.equal(['ADDED a/1 13', 'ADDED a/2 14']);
  });

  it('ends its watches and fills again when its revision was compacted', async () => {
    const seen = follow(await reader.watch(KIND, '', query('watch=1&resourceVersion=12')));
    source.put('a/unseen');
    source.streams.at(-1)?.on.end('compacted');
    await time.advance(100);
    expect(seen.hasEnded).to.equal(true);
    expect(cache.index.get('a/unseen')?.revision).to.equal(13);
    expect(cache.ring.oldestStart).to.equal(13);
  });

  it('serves later pages of the state that the first one had', async () => {
    const first = await reader.list(KIND, '', query('limit=1'));
    expect(first.remaining).to.equal(1);
    source.show('a/0', source.put('a/0'));
    source.show('b/two', undefined, source.remove('b/two'));
    const token = encodeURIComponent(first.continue);
    const second = await reader.list(KIND, '', query(`limit=1&continue=${token}`));
    expect(second.items.map(({ key }) => key)).to.deep.equal(['b/two']);
    expect(second.resourceVersion).to.equal(first.resourceVersion);
    expect(second.continue).to.equal('');
  });

  it('shows a watch that begins in the future only what comes after its revision', async () => {
    const seen = follow(
      await reader.watch(KIND, '', query('watch=1&resourceVersion=14&allowWatchBookmarks=1')),
    );
    await time.advance(61_000);
    expect(seen.items, 'a bookmark before the beginning').to.deep.equal([]);
    source.show('a/1', source.put('a/1'));
    source.show('a/2', source.put('a/2'));
    source.show('a/3', source.put('a/3'));
    expect(seen.items).to.deep.equal(['ADDED a/3 15']);
  });

  it('cuts the first page of a list at a revision from that revision', async () => {
    source.show('a/0', source.put('a/0'));
    await reader.list(KIND, '', query('limit=1'));
    source.show('a/00', source.put('a/00'));
    const page = await reader.list(KIND, '', query('limit=2&resourceVersion=13'));
    expect(page.resourceVersion).to.equal('13');
    expect(page.items.map(({ key }) => key)).to.deep.equal(['a/0', 'a/one']);
  });

  it('ends a paused watcher as soon as events have overtaken it', async () => {
    const subscription = await reader.watch(KIND, '', query('watch=1&resourceVersion=12'));
    const seen = follow(subscription, () => subscription.pause());
    for (let i = 0; i < 10_000; i++) source.show('a/x', source.put('a/x'));
    expect(seen.items).to.deep.equal(['ADDED a/x 13']);
    expect(cache.watcherCount).to.equal(1);
    for (let i = 0; i < 2000; i++) source.show('a/x', source.put('a/x'));
    expect(seen.items.slice(1)).to.deep.equal([
      `EXPIRED too old resource version: 13 (${cache.ring.oldestStart})`,
    ]);
    expect(seen.hasEnded).to.equal(true);
    expect(cache.watcherCount).to.equal(0);
  });

  it('ends a watch that began while the cache was filled again', async () => {
    let go: () => void = () => undefined;
    source.beforeList = () => new Promise((resolve) => (go = resolve));
    for (let i = 0; i < 5; i++) source.show('a/x', source.put('a/x'));
    source.streams.at(-1)?.on.end('compacted');
    await time.advance(100);
    const seen = follow(await reader.watch(KIND, '', query('watch=1&resourceVersion=17')));
    source.put('a/unseen');
    go();
    await time.advance(100);
    expect(seen.hasEnded).to.equal(true);
    const later = follow(await reader.watch(KIND, '', query('watch=1&resourceVersion=18')));
    source.show('a/next', source.put('a/next'));
    expect(later.items).to.deep.equal(['ADDED a/next 19']);
  });

  it('ends the watch alone that cannot show an event', async () => {
    const broken = await reader.watch(KIND, '', query('watch=1&resourceVersion=12'));
    let hasEnded = false;
    broken.start(
      () => {
        throw new Error('planted');
      },
      () => (hasEnded = true),
    );
    const seen = follow(await reader.watch(KIND, '', query('watch=1&resourceVersion=12')));
    source.show('a/1', source.put('a/1'));
    source.show('a/2', source.put('a/2'));
    expect(hasEnded).to.equal(true);
    expect(seen.items).to.deep.equal(['ADDED a/1 13', 'ADDED a/2 14']);
  });

  it('fills again after a change that it cannot take in', async () => {
    const fieldCache = new WatchCache({
      kind: KIND,
      store: source.cacheSource,
      env: time,
      log: loggerTo([], 'error'),
      indexedFields: ['metadata.name'],
    });
    await fieldCache.start();
    const fields = [{ field: 'metadata.name', value: 'x', isEqual: true }];
    const filter = { prefix: '', isSingle: false, labels: undefined, fields };
    const fromRevision = fieldCache.revision;
    const options = { filter, initial: undefined, fromRevision, wantsBookmarks: false };
    const seen = follow(fieldCache.watch({ ...options, marksInitialEnd: false }));
    const bad = StoredObject.fromBytes(KIND, 'a/bad', ++source.revision, Buffer.from('{'));
    source.show('a/bad', bad);
    source.show('a/ok', source.put('a/ok'));
    await time.advance(100);
    expect(seen.hasEnded).to.equal(true);
    expect(fieldCache.index.get('a/ok')?.revision).to.equal(14);
    expect(source.streams.at(-1)?.from).to.equal(15);
    fieldCache.stop();
  });

  it('shows all watchers one object of a deletion', async () => {
    const shown: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      const watch = await reader.watch(KIND, '', query('watch=1&resourceVersion=12'));
      watch.start(
        (items) => shown.push(...items.map((item) => ('stored' in item ? item.stored : item))),
        () => undefined,
      );
    }
    source.show('a/one', undefined, source.remove('a/one'));
    expect(shown).to.have.length(2);
    expect(shown[0]).to.equal(shown[1]);
  });

  it('answers 429 while it cannot read the store', async () => {
    source.beforeList = () => Promise.reject(new Error('away'));
    const late = new WatchCache({
      kind: KIND,
      store: source.cacheSource,
      env: time,
      log: loggerTo([], 'error'),
      indexedFields: [],
    });
    const refused = late.whenReady().catch((error: unknown) => error);
    await time.run(refused);
    expect(isApiError(await refused, 'TooManyRequests')).to.equal(true);
    source.beforeList = () => Promise.resolve();
    await time.run(late.whenReady());
    expect(late.index.size).to.equal(2);
    late.stop();
  });

  it('lets a watch be asked for that lasts longer than a timer can', async () => {
    const text = 'watch=1&resourceVersion=12&timeoutSeconds=999999999999';
    const delaysMs: number[] = [];
    const timed = new Reader({
      store: source.cacheSource as unknown as ObjectStore,
      env: {
        monoMs: () => time.monoMs(),
        wallMs: () => time.wallMs(),
        randomU32: time.randomU32,
        after: (delayMs, callback) => {
          delaysMs.push(delayMs);
          return time.after(delayMs, callback);
        },
      },
      cacheOf: () => cache,
    });
    follow(await timed.watch(KIND, '', query(text)));
    expect(delaysMs).to.deep.equal([2 ** 31 - 1]);
  });
});
