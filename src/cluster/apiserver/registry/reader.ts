/**
 * get, list and watch, for all kinds.
 *
 * A consistent list waits until the watch cache has every write acknowledged before it. Pages come
 * from snapshots of the cache, and from the store when a snapshot is gone.
 */
import type { Kind } from '../../api/kinds/kind.js';
import { badRequest, expired, notFound, timeout } from '../../api/status.js';
import { parseFieldSelector, parseLabelSelector } from '../../api/selector.js';
import type { ClusterEnv } from '../../env.js';
import { turnsOf } from '../../turns.js';
import type { OrderedIndex } from '../cache/ordered-index.js';
import { hasSelectors, matches, type FieldTerm, type ObjectFilter } from '../cache/filter.js';
import type { Subscription } from '../cache/subscription.js';
import type { WatchCache } from '../cache/watch-cache.js';
import type { ListPage } from '../pipeline/exchange.js';
import type { ObjectStore } from '../storage/object-store.js';
import type { StoredObject } from '../storage/stored-object.js';
import { decodeContinue, encodeContinue } from './continue-token.js';
import {
  parseRevision,
  refuseListRevision,
  refuseRevision,
  type ListQuery,
} from './list-options.js';
import { TimedSubscription } from './timed-subscription.js';

/** Rows of one read when a page is filtered from the store. */
const STORE_PAGE = 500;

export interface ReaderSetup {
  readonly store: ObjectStore;
  readonly env: ClusterEnv;
  readonly cacheOf: (kind: Kind) => WatchCache;
}

export class Reader {
  private readonly store: ObjectStore;
  private readonly env: ClusterEnv;
  private readonly cacheOf: (kind: Kind) => WatchCache;

  constructor(setup: ReaderSetup) {
    this.store = setup.store;
    this.env = setup.env;
    this.cacheOf = setup.cacheOf;
  }

  /** `resourceVersion` as given in the query: empty means the newest state. Throws: ApiError 404. */
  async get(kind: Kind, key: string, resourceVersion: string): Promise<StoredObject> {
    const revision = parseRevision(resourceVersion, refuseRevision);
    let stored: StoredObject | undefined;
    const cache = this.cacheOf(kind);
    if (revision === undefined) {
      stored = await this.store.get(kind, key);
      // The cache's object has its forms already.
      const cached = cache.index.get(key);
      if (stored !== undefined && cached?.revision === stored.revision) stored = cached;
    } else {
      await cache.waitFor(revision);
      stored = cache.index.get(key);
    }
    if (stored === undefined) throw notFound(kind, nameOf(key));
    return stored;
  }

  /** `namespace` is empty for all. */
  async list(kind: Kind, namespace: string, query: ListQuery): Promise<ListPage> {
    const filter = this.filterOf(kind, namespace, query);
    const cache = this.cacheOf(kind);
    if (query.continue !== '') return this.nextPage(cache, filter, query);
    const revision = parseRevision(query.resourceVersion, refuseListRevision);
    if (revision !== undefined && wantsExact(query, revision)) {
      return this.pageAt(cache, filter, revision, '', query.limit);
    }
    if (revision === undefined) await cache.waitForNow();
    else await cache.waitFor(revision);
    // Revision 0 asks for the state at hand; such a list is never cut.
    const limit = revision === 0 ? 0 : query.limit;
    return this.pageOfIndex(cache, cache.index, cache.revision, filter, '', limit);
  }

  /** Items in the state at hand, for the API server's own use. */
  async listCached(kind: Kind, namespace: string): Promise<StoredObject[]> {
    const cache = this.cacheOf(kind);
    await cache.whenReady();
    return [...cache.index.scan(namespace === '' ? '' : `${namespace}/`)];
  }

  async watch(kind: Kind, namespace: string, query: ListQuery): Promise<Subscription> {
    const filter = this.filterOf(kind, namespace, query);
    const cache = this.cacheOf(kind);
    const revision = parseRevision(query.resourceVersion, refuseRevision);
    await cache.whenReady();
    const isFresh = revision === undefined;
    const showsState =
      query.sendsInitialEvents || (query.match === '' && (isFresh || revision === 0));
    if (isFresh) await cache.waitForNow();
    else if (showsState) await cache.waitFor(revision);
    const fromRevision = showsState || isFresh ? cache.revision : revision;
    if (fromRevision < cache.ring.oldestStart) {
      return expiredSubscription(
        `too old resource version: ${fromRevision} (${cache.ring.oldestStart})`,
      );
    }
    const watcher = cache.watch({
      filter,
      initial: showsState ? cache.index.snapshot().scan(filter.prefix) : undefined,
      fromRevision,
      marksInitialEnd: query.sendsInitialEvents && query.allowsBookmarks,
      wantsBookmarks: query.allowsBookmarks,
    });
    return new TimedSubscription(watcher, this.env, query.timeoutSeconds);
  }

  private filterOf(kind: Kind, namespace: string, query: ListQuery): ObjectFilter {
    const fields = checkedFields(kind, parseFieldSelector(query.fieldSelector));
    const labels = query.labelSelector === '' ? undefined : parseLabelSelector(query.labelSelector);
    const scope = namespace === '' ? '' : `${namespace}/`;
    const name = fields.find(({ field, isEqual }) => isEqual && field === 'metadata.name');
    const isScoped = !kind.isNamespaced || namespace !== '';
    if (name !== undefined && isScoped && name.value !== '') {
      return { prefix: `${scope}${name.value}`, isSingle: true, labels, fields };
    }
    return { prefix: scope, isSingle: false, labels, fields };
  }

  private async nextPage(
    cache: WatchCache,
    filter: ObjectFilter,
    query: ListQuery,
  ): Promise<ListPage> {
    const token = decodeContinue(query.continue);
    if (query.resourceVersion !== '' && query.resourceVersion !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    const limit = query.resourceVersion === '0' ? 0 : query.limit;
    const start = `${scopeOf(filter)}${token.start}`;
    if (token.revision > 0) return this.pageAt(cache, filter, token.revision, start, limit);
    await cache.waitForNow();
    return this.pageOfIndex(cache, cache.index, cache.revision, filter, start, limit);
  }

  /** A page of a past state: from a snapshot, or from the store. */
  private async pageAt(
    cache: WatchCache,
    filter: ObjectFilter,
    revision: number,
    start: string,
    limit: number,
  ): Promise<ListPage> {
    await cache.whenReady();
    if (revision > cache.revision) {
      await cache.waitFor(revision).catch((error: unknown) => {
        throw error instanceof Error ? error : timeout(String(error));
      });
    }
    const index = cache.snapshotAt(revision);
    if (index !== undefined) {
      return this.pageOfIndex(cache, index, revision, filter, start, limit);
    }
    try {
      return await this.pageOfStore(cache.kind, filter, revision, start, limit);
    } catch (error) {
      if (start === '' || !isExpired(error)) throw error;
      throw continueExpired(start, scopeOf(filter));
    }
  }

  private async pageOfIndex(
    cache: WatchCache,
    index: OrderedIndex,
    revision: number,
    filter: ObjectFilter,
    start: string,
    limit: number,
  ): Promise<ListPage> {
    const selects = hasSelectors(filter);
    const turns = turnsOf(this.env);
    // Selectors read objects, which takes a while: others write meanwhile.
    const state = selects ? index.snapshot() : index;
    const items: StoredObject[] = [];
    for (const stored of state.scan(filter.prefix, start)) {
      const pause = selects ? turns.pause() : undefined;
      if (pause !== undefined) await pause;
      if (!matches(filter, stored)) continue;
      if (limit > 0 && items.length === limit) {
        // Later pages are of this state.
        if (revision === cache.revision) cache.snapshot();
        const next = nextStart(items, filter);
        const remaining = selects
          ? undefined
          : state.countFrom(filter.prefix, `${scopeOf(filter)}${next}`);
        return pageOf(items, revision, encodeContinue({ revision, start: next }), remaining);
      }
      items.push(stored);
    }
    return pageOf(items, revision, '', undefined);
  }

  private async pageOfStore(
    kind: Kind,
    filter: ObjectFilter,
    revision: number,
    start: string,
    limit: number,
  ): Promise<ListPage> {
    const items: StoredObject[] = [];
    let from = start;
    for (;;) {
      const rows = limit > 0 && !hasSelectors(filter) ? limit + 1 : STORE_PAGE;
      const page = await this.store.list(kind, filter.prefix, from, rows, revision);
      for (const stored of page.items) {
        if (!matches(filter, stored)) continue;
        if (limit > 0 && items.length === limit) {
          const next = nextStart(items, filter);
          const remaining = hasSelectors(filter) ? undefined : page.count - limit;
          return pageOf(items, revision, encodeContinue({ revision, start: next }), remaining);
        }
        items.push(stored);
      }
      const last = page.items.at(-1);
      if (!page.hasMore || last === undefined) return pageOf(items, revision, '', undefined);
      from = `${last.key}\0`;
    }
  }
}

/** A first page at a revision is exact even if that is not said (metav1 ListOptions, by tradition). */
function wantsExact({ match, limit }: ListQuery, revision: number): boolean {
  return match === 'Exact' || (match === '' && limit > 0 && revision > 0);
}

function pageOf(
  items: readonly StoredObject[],
  revision: number,
  token: string,
  remaining: number | undefined,
): ListPage {
  return { items, resourceVersion: String(revision), continue: token, remaining };
}

/** Prefix that a continue token's key is relative to. */
function scopeOf({ prefix, isSingle }: ObjectFilter): string {
  if (!isSingle) return prefix;
  return prefix.includes('/') ? prefix.slice(0, prefix.indexOf('/') + 1) : '';
}

function nextStart(items: readonly StoredObject[], filter: ObjectFilter): string {
  return `${(items.at(-1)?.key ?? '').slice(scopeOf(filter).length)}\0`;
}

function nameOf(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

function checkedFields(kind: Kind, terms: readonly FieldTerm[]): readonly FieldTerm[] {
  const own = Object.keys(kind.selectableFields);
  for (const { field } of terms) {
    if (field === 'metadata.name' || field === 'metadata.namespace' || own.includes(field))
      continue;
    if (own.length > 0) throw badRequest(`field label not supported: ${field}`);
    throw badRequest(
      `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
    );
  }
  return terms;
}

function isExpired(error: unknown): boolean {
  return error instanceof Error && 'reason' in error && error.reason === 'Expired';
}

/** Tells the client how to go on without consistency (k8s.io/apiserver etcd3 handleCompactedErrorForPaging). */
function continueExpired(start: string, scope: string): Error {
  const error = expired(
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
  );
  const token = encodeContinue({ revision: -1, start: start.slice(scope.length) });
  error.status.metadata = { continue: token };
  return error;
}

/** A watch that begins too far in the past: one ERROR event, and the end. */
function expiredSubscription(message: string): Subscription {
  let isClosed = false;
  return {
    start(onItems, onEnd) {
      if (isClosed) return;
      onItems([{ type: 'EXPIRED', message }]);
      onEnd();
    },
    pause: () => undefined,
    resume: () => undefined,
    close: () => (isClosed = true),
  };
}
