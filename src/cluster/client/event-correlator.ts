import type { Event } from '../../gen/kube-core-v1.js';
import type { ClusterEnv } from '../env.js';
import { TokenBucket } from './rate-limits.js';
import { RecentMap } from './recent-map.js';

/** Objects remembered at most, and as many events. */
const CAPACITY = 4096;
/** Events of one object that may come at once, and the rate after them. */
const SPAM = { burst: 25, perSecond: 1 / 300 };
/** Similar events with more different texts than this, each soon after the last, become one. */
const MAX_SIMILAR = 10;
const SIMILAR_WITHIN_MS = 600_000;
const COMBINED = '(combined from similar events): ';

/** An event as it is to be written. */
export interface Correlated {
  readonly event: Event;
  /** It was written before under this name, and only counts on. */
  readonly isRepeated: boolean;
}

interface Similar {
  readonly messages: Set<string>;
  lastMs: number;
}

/**
 * Keeps events from filling the store, as client-go does (k8s.io/client-go/tools/record): the same
 * event counts on, many that differ in their text alone become one, and an object with too many of
 * them is cut off.
 */
export class EventCorrelator {
  readonly #env: ClusterEnv;
  readonly #similar = new RecentMap<string, Similar>(CAPACITY);
  readonly #known = new RecentMap<string, Event>(CAPACITY);
  readonly #buckets = new RecentMap<string, TokenBucket>(CAPACITY);

  constructor(env: ClusterEnv) {
    this.#env = env;
  }

  /** Undefined when the event is dropped. */
  correlate(event: Event): Correlated | undefined {
    const kind = similarityOf(event);
    const isCombined = this.#isOneOfMany(kind, event.message ?? '');
    const key = isCombined ? kind : JSON.stringify([kind, event.message]);
    const message = isCombined ? `${COMBINED}${event.message ?? ''}` : event.message;
    const known = this.#known.get(key);
    const counted = known === undefined ? { ...event, message } : repeated(known, event, message);
    this.#known.set(key, counted);
    if (!this.#bucketOf(event).tryTake()) return undefined;
    return { event: counted, isRepeated: known !== undefined };
  }

  #isOneOfMany(kind: string, message: string): boolean {
    const nowMs = this.#env.monoMs();
    const known = this.#similar.get(kind);
    const isFresh = known !== undefined && nowMs - known.lastMs <= SIMILAR_WITHIN_MS;
    const similar = isFresh ? known : { messages: new Set<string>(), lastMs: nowMs };
    // One text more than allowed is enough to know; the rest need not be kept.
    if (similar.messages.size < MAX_SIMILAR) similar.messages.add(message);
    else if (!similar.messages.has(message)) similar.messages.add('');
    similar.lastMs = nowMs;
    this.#similar.set(kind, similar);
    return similar.messages.size > MAX_SIMILAR;
  }

  #bucketOf({ source, involvedObject: about }: Event): TokenBucket {
    const key = JSON.stringify([source, about.kind, about.namespace, about.name, about.uid]);
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#env, SPAM);
    this.#buckets.set(key, bucket);
    return bucket;
  }
}

/** Events with the same are similar: they differ in their text and time at most. */
function similarityOf({ source, involvedObject: about, type, reason }: Event): string {
  const object = [about.kind, about.namespace, about.name, about.uid, about.apiVersion];
  return JSON.stringify([source, object, about.fieldPath, type, reason]);
}

function repeated(known: Event, event: Event, message: string | undefined): Event {
  const { name, namespace } = known.metadata;
  return {
    ...event,
    metadata: { name, namespace },
    message,
    count: (known.count ?? 1) + 1,
    firstTimestamp: known.firstTimestamp,
  };
}
