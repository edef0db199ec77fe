/**
 * A watch as lines of JSON: {"type":"ADDED","object":{...}}. Objects are sent as the bytes that the
 * cache holds, so that an event is encoded once for all of its watchers.
 */
import type { Kind } from '../../api/kinds/kind.js';
import { apiVersionOf } from '../../api/object.js';
import { expired } from '../../api/status.js';
import type { ClusterEnv } from '../../env.js';
import type { Subscription, WatchItem } from '../cache/subscription.js';
import type { WatchBody } from '../http/rendered.js';
import type { MediaType } from './media-type.js';
import { partialOf, tableOf, type TableOptions } from './views.js';
import type { StoredObject } from '../storage/stored-object.js';

const encoder = new TextEncoder();
const PREFIX = {
  ADDED: encoder.encode('{"type":"ADDED","object":'),
  MODIFIED: encoder.encode('{"type":"MODIFIED","object":'),
  DELETED: encoder.encode('{"type":"DELETED","object":'),
};
const SUFFIX = encoder.encode('}\n');

export class WatchFrames implements WatchBody {
  private readonly subscription: Subscription;
  private readonly kind: Kind;
  private readonly media: MediaType;
  private readonly table: TableOptions;
  private readonly env: ClusterEnv;
  private hasSentColumns = false;

  constructor(
    subscription: Subscription,
    kind: Kind,
    media: MediaType,
    table: TableOptions,
    env: ClusterEnv,
  ) {
    this.subscription = subscription;
    this.kind = kind;
    this.media = media;
    this.table = table;
    this.env = env;
  }

  start(write: (chunks: readonly Uint8Array[]) => boolean, end: () => void): void {
    this.subscription.start((items) => {
      const chunks: Uint8Array[] = [];
      for (const item of items) this.frame(item, chunks);
      if (!write(chunks)) this.subscription.pause();
    }, end);
  }

  drained(): void {
    this.subscription.resume();
  }

  close(): void {
    this.subscription.close();
  }

  private frame(item: WatchItem, chunks: Uint8Array[]): void {
    if (item.type === 'BOOKMARK') {
      chunks.push(line('BOOKMARK', this.bookmark(item.revision, item.isInitialEnd)));
    } else if (item.type === 'EXPIRED') {
      chunks.push(line('ERROR', expired(item.message).status));
    } else {
      chunks.push(PREFIX[item.type], this.objectBytes(item.stored), SUFFIX);
    }
  }

  private objectBytes(stored: StoredObject): Uint8Array {
    if (this.media.as === 'Table') {
      return encoder.encode(JSON.stringify(this.row([stored], stored.revision)));
    }
    if (this.media.as === '') return stored.json;
    return encoder.encode(JSON.stringify(partialOf(stored, this.media.version)));
  }

  private row(objects: readonly StoredObject[], revision: number): object {
    const hasColumns = !this.hasSentColumns;
    this.hasSentColumns = true;
    const options = { ...this.table, hasColumns, nowMs: this.env.wallMs() };
    return tableOf(this.kind, objects, { resourceVersion: String(revision) }, options);
  }

  private bookmark(revision: number, isInitialEnd: boolean): object {
    if (this.media.as === 'Table') return this.row([], revision);
    const annotations = { 'k8s.io/initial-events-end': 'true' };
    const metadata = {
      resourceVersion: String(revision),
      ...(isInitialEnd ? { annotations } : {}),
    };
    if (this.media.as !== '') {
      return {
        kind: 'PartialObjectMetadata',
        apiVersion: `meta.k8s.io/${this.media.version}`,
        metadata,
      };
    }
    const { kind, group, version } = this.kind;
    return { kind, apiVersion: apiVersionOf(group, version), metadata };
  }
}

function line(type: string, object: object): Uint8Array {
  return encoder.encode(`${JSON.stringify({ type, object })}\n`);
}
