import { expect } from 'chai';
import { configMap } from '../../../../src/cluster/api/kinds/core/configmap.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { isApiError } from '../../../../src/cluster/api/status.js';
import { loggerTo } from '../../../../src/base/observe/logger.js';
import type {
  Subscription,
  WatchItem,
} from '../../../../src/cluster/apiserver/cache/subscription.js';
import {
  WatchCache,
  type CacheSource,
} from '../../../../src/cluster/apiserver/cache/watch-cache.js';
import { parseListQuery } from '../../../../src/cluster/apiserver/registry/list-options.js';
import { Reader } from '../../../../src/cluster/apiserver/registry/reader.js';
import type {
  ObjectStore,
  StoreWatchEvents,
} from '../../../../src/cluster/apiserver/storage/object-store.js';
import { StoredObject } from '../../../../src/cluster/apiserver/storage/stored-object.js';
import { VirtualTime } from '../../../support/virtual-time.js';

const KIND = configMap as unknown as Kind;

/** A store in memory whose streams the test moves by hand. */
class Source {
  revision = 10;
  readonly objects = new Map<string, StoredObject>();
  streams: { readonly from: number; readonly on: StoreWatchEvents }[] = [];
  progressRequests = 0;
  /** Progress requests are answered at once. */
  answersProgress = true;

  put(name: string, labels: Readonly<Record<string, string>> = {}): StoredObject {
    const [namespace = '', own = ''] = name.split('/');
    const metadata = { name: own, namespace, labels: { ...labels } };
    this.revision++;
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata };
    const stored = StoredObject.fromObject(KIND, name, this.revision, object);
    this.objects.set(name, stored);
    return stored;
  }

  remove(name: string): number {
    this.objects.delete(name);
    return ++this.revision;
  }

  /** Shows a change on the newest stream. */
  show(key: string, stored: StoredObject | undefined, revision = stored?.revision ?? 0): void {
    this.streams.at(-1)?.on.changes([{ key, revision, stored }]);
  }

  readonly cacheSource: CacheSource = {
    currentRevision: () => Promise.resolve(this.revision),
    list: () =>
      Promise.resolve({
        items: [...this.objects.values()],
        hasMore: false,
        count: this.objects.size,
        revision: this.revision,
      }),
    watch: (_kind, from, on) => {
      this.streams.push({ from, on });
      return {
        requestProgress: () => {
          this.progressRequests++;
          if (this.answersProgress) on.progress(this.revision);
        },
        cancel: () => undefined,
      };
    },
  };
}

interface Seen {
  readonly items: string[];
  hasEnded: boolean;
}

function follow(subscription: Subscription, onItems: (n: number) => void = () => undefined): Seen {
  const seen: Seen = { items: [], hasEnded: false };
  subscription.start(
    (items) => {
      seen.items.push(...items.map(textOf));
      onItems(items.length);
    },
    () => (seen.hasEnded = true),
  );
  return seen;
}

function textOf(item: WatchItem): string {
  if (item.type === 'EXPIRED') return `EXPIRED ${item.message}`;
  if (item.type === 'BOOKMARK')
    return `BOOKMARK ${item.revision}${item.isInitialEnd ? ' end' : ''}`;
  return `${item.type} ${item.stored.key} ${item.stored.object.metadata.resourceVersion ?? ''}`;
}

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
});
