import { configMap } from '../../../../src/cluster/api/kinds/core/configmap.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type {
  Subscription,
  WatchItem,
} from '../../../../src/cluster/apiserver/cache/subscription.js';
import type { CacheSource } from '../../../../src/cluster/apiserver/cache/watch-cache.js';
import type { StoreWatchEvents } from '../../../../src/cluster/apiserver/storage/object-store.js';
import { StoredObject } from '../../../../src/cluster/apiserver/storage/stored-object.js';

export const KIND = configMap as unknown as Kind;

/** A store in memory whose streams the test moves by hand. */
export class Source {
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

  /** A list of the store answers when this resolves. */
  beforeList: () => Promise<void> = () => Promise.resolve();

  readonly cacheSource: CacheSource = {
    currentRevision: () => Promise.resolve(this.revision),
    list: async () => {
      await this.beforeList();
      return {
        items: [...this.objects.values()],
        hasMore: false,
        count: this.objects.size,
        revision: this.revision,
      };
    },
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

export interface Seen {
  readonly items: string[];
  hasEnded: boolean;
}

export function follow(
  subscription: Subscription,
  onItems: (n: number) => void = () => undefined,
): Seen {
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
