import type { Logger } from '../../base/observe/logger.js';
import type { KubeList, KubeObject } from '../api/object.js';
import { ApiError } from '../api/status.js';
import { jittered, randomFraction, sleep, type ClusterEnv } from '../env.js';
import { turnsOf } from '../turns.js';
import { Backoff } from './backoff.js';
import type { ListOptions, ResourceClient, WatchEvent, WatchOptions } from './client.js';

/** Receiver of all that a reflector sees. */
export interface ReflectorSink<T extends KubeObject> {
  /** The whole content as of one revision. Nothing else is shown before it has ended. */
  replace(objects: readonly T[]): Promise<void>;
  /** One change after it. */
  apply(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: T): void;
}

export interface ReflectorOptions<T extends KubeObject> {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: ResourceClient<T>;
  readonly sink: ReflectorSink<T>;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

const BACKOFF = { firstMs: 800, maxMs: 30_000, jitter: 1 };
const PAGE_SIZE = 500;
/** The server ends a watch after this long, and up to twice as long. */
const WATCH_SECONDS = 300;
/** A watch that ends sooner, without any event, counts as a failure. */
const SHORT_WATCH_MS = 1000;
const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

/**
 * Follows one collection for as long as it runs, as client-go's reflector does
 * (k8s.io/client-go/tools/cache): the content first, then each change, whatever happens to the
 * connection. It goes on from the revision of the last event or bookmark, and begins anew with the
 * content when the server no longer has that revision (410).
 *
 * The content comes by a watch that sends it (KEP-3157). A server that refuses this is asked for a
 * consistent list, in pages. Both are read from the newest state, so a new beginning never shows an
 * older one.
 */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #backoff: Backoff;
  /** Up to which all changes were shown; empty before the content was. */
  #revision = '';

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#backoff = new Backoff(options.env, BACKOFF);
  }

  /** Runs until `signal` aborts. Never rejects for what a server does. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#revision === '') await this.#begin(signal);
        else await this.#follow({ resourceVersion: this.#revision }, signal);
      } catch (error) {
        if (signal.aborted) return;
        await sleep(this.#options.env, this.#delayAfter(error), signal);
      }
    }
  }

  async #begin(signal: AbortSignal): Promise<void> {
    try {
      await this.#follow({ sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' }, signal);
    } catch (error) {
      const isRefused = error instanceof ApiError && error.code !== 429;
      if (!isRefused || this.#revision !== '' || signal.aborted) throw error;
      await this.#list(signal);
    }
  }

  async #follow(options: WatchOptions, signal: AbortSignal): Promise<void> {
    const { env, client } = this.#options;
    const initial = options.sendInitialEvents === true ? new Map<string, T>() : undefined;
    const beganMs = env.monoMs();
    let isAnything = false;
    const timeoutSeconds = Math.floor(WATCH_SECONDS * (1 + randomFraction(env)));
    const watch = { ...this.#selectors(), ...options, allowWatchBookmarks: true, timeoutSeconds };
    for await (const event of client.watch({ ...watch, signal })) {
      if (event.type === 'ERROR') throw new ApiError(event.object);
      isAnything = true;
      if (initial !== undefined && this.#revision === '') await this.#collect(initial, event);
      else this.#show(event);
      const pause = turnsOf(env).pause();
      if (pause !== undefined) await pause;
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
    if (this.#revision === '') throw new Error('the watch ended before it had sent the content');
    if (!isAnything && env.monoMs() - beganMs < SHORT_WATCH_MS) {
      throw new Error('the watch ended at once, without an event');
    }
  }

  async #collect(initial: Map<string, T>, event: Exclude<WatchEvent<T>, { type: 'ERROR' }>) {
    const { metadata } = event.object;
    const key = `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
    if (event.type === 'DELETED') initial.delete(key);
    else if (event.type !== 'BOOKMARK') initial.set(key, event.object);
    else if (metadata.annotations?.[INITIAL_EVENTS_END] === 'true') {
      await this.#replace([...initial.values()], metadata.resourceVersion);
      initial.clear();
    }
  }

  #show({ type, object }: Exclude<WatchEvent<T>, { type: 'ERROR' }>): void {
    if (type !== 'BOOKMARK') this.#options.sink.apply(type, object);
    this.#revision = object.metadata.resourceVersion ?? this.#revision;
    this.#backoff.reset();
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const selectors = { ...this.#selectors(), signal };
    const objects: T[] = [];
    let options: ListOptions = { ...selectors, limit: PAGE_SIZE };
    for (;;) {
      const page = await this.#page(client, options);
      if (page === 'expired') {
        objects.length = 0;
        options = selectors;
        continue;
      }
      objects.push(...page.items);
      const token = page.metadata.continue ?? '';
      if (token === '') {
        await this.#replace(objects, page.metadata.resourceVersion);
        return;
      }
      options = { ...selectors, limit: PAGE_SIZE, continue: token };
    }
  }

  /** The revision of earlier pages may go while later ones are read. */
  async #page(client: ResourceClient<T>, options: ListOptions): Promise<KubeList<T> | 'expired'> {
    try {
      return await client.list(options);
    } catch (error) {
      if (options.continue !== undefined && isExpired(error)) return 'expired';
      throw error;
    }
  }

  async #replace(objects: readonly T[], revision: string | undefined): Promise<void> {
    await this.#options.sink.replace(objects);
    this.#revision = revision ?? '';
    this.#backoff.reset();
  }

  #delayAfter(error: unknown): number {
    const { env, log } = this.#options;
    if (isExpired(error)) {
      log.info('watch is behind what the server holds, reading anew', { error });
      this.#revision = '';
      return this.#backoff.next();
    }
    log.warn('watch failed, will be tried again', { error });
    const ownMs = this.#backoff.next();
    const isBusy = error instanceof ApiError && error.code === 429;
    const askedMs = isBusy ? (error.status.details?.retryAfterSeconds ?? 0) * 1000 : 0;
    return askedMs > 0 ? jittered(env, askedMs, BACKOFF.jitter) : ownMs;
  }

  #selectors(): ListOptions {
    const { labelSelector, fieldSelector } = this.#options;
    return {
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }
}

function isExpired(error: unknown): boolean {
  return error instanceof ApiError && error.code === 410;
}
