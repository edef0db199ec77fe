import { Fifo } from '../../base/collections/fifo.js';
import type { Logger } from '../../base/observe/logger.js';
import type { Event, ObjectReference } from '../../gen/kube-core-v1.js';
import { ApiError } from '../api/status.js';
import { formatTime } from '../api/time.js';
import { jittered, sleep, type ClusterEnv } from '../env.js';
import type { KubeClient, ResourceClient } from './client.js';
import { EventCorrelator, type Correlated } from './event-correlator.js';
import { EVENTS } from './resource-types.js';

/** Events that wait to be written; more are dropped. */
const MAX_WAITING = 1000;
const MAX_TRIES = 12;
const RETRY_MS = 10_000;

export interface EventRecorderOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: KubeClient;
  /** Name of the reporter: `deployment-controller`, `kubelet`. */
  readonly component: string;
  /** The node that it runs on, for what belongs to a node. */
  readonly host?: string;
}

/**
 * Writes core/v1 Events, for people to read (k8s.io/client-go/tools/record). They are counted and
 * limited by the EventCorrelator, and written one after the other in the background; what the API
 * server refuses is logged and dropped.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #correlator: EventCorrelator;
  readonly #waiting = new Fifo<Event>();
  readonly #stop = new AbortController();
  #waitingCount = 0;
  #writing: Promise<void> | undefined;
  #lastSuffix = 0n;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#correlator = new EventCorrelator(options.env);
  }

  /** Tells what happened to an object. Returns at once; never throws. */
  event(about: ObjectReference, type: 'Normal' | 'Warning', reason: string, message: string): void {
    if (this.#stop.signal.aborted) return;
    if (this.#waitingCount === MAX_WAITING) {
      this.#options.log.warn('event dropped, too many wait', { reason, message });
      return;
    }
    this.#waiting.push(this.#make(about, type, reason, message));
    this.#waitingCount += 1;
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when all events so far are written or given up. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /** Drops what waits; resolves when nothing is written any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#writing;
  }

  #make(about: ObjectReference, type: string, reason: string, message: string): Event {
    const { env, component, host } = this.#options;
    const time = formatTime(env.wallMs());
    const namespace = (about.namespace ?? '') === '' ? 'default' : about.namespace;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${about.name ?? ''}.${this.#suffix()}`, namespace },
      involvedObject: about,
      reason,
      message,
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      type,
      reportingComponent: component,
      reportingInstance: host ?? '',
    };
  }

  /** Nanoseconds since 1970 as hexadecimal digits, never the same twice. */
  #suffix(): string {
    const now = BigInt(Math.floor(this.#options.env.wallMs())) * 1_000_000n;
    const fresh = now + BigInt(this.#options.env.randomU32() % 1_000_000);
    this.#lastSuffix = fresh > this.#lastSuffix ? fresh : this.#lastSuffix + 1n;
    return this.#lastSuffix.toString(16);
  }

  async #writeAll(): Promise<void> {
    // The caller goes on first.
    await Promise.resolve();
    for (let event = this.#waiting.shift(); event !== undefined; event = this.#waiting.shift()) {
      this.#waitingCount -= 1;
      const correlated = this.#correlator.correlate(event);
      if (correlated !== undefined) await this.#write(correlated);
    }
    this.#writing = undefined;
  }

  async #write(correlated: Correlated): Promise<void> {
    const { env, log, client } = this.#options;
    const { signal } = this.#stop;
    const events = client.resource(EVENTS, correlated.event.metadata.namespace);
    for (let tries = 1; !signal.aborted; tries += 1) {
      try {
        await put(events, correlated, signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const { reason, message } = correlated.event;
        if (error instanceof ApiError || tries === MAX_TRIES) {
          log.warn('event not written', { reason, message, error });
          return;
        }
        await sleep(env, jittered(env, RETRY_MS, 1), signal);
      }
    }
  }
}

/** A repeated event may have vanished meanwhile: it is written anew, with its count. */
async function put(
  events: ResourceClient<Event>,
  { event, isRepeated }: Correlated,
  signal: AbortSignal,
): Promise<void> {
  const { count = 1, lastTimestamp = '', message = '' } = event;
  if (isRepeated) {
    try {
      const patch = { count, lastTimestamp, message };
      await events.patch(event.metadata.name ?? '', 'strategic', patch, { signal });
      return;
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 404)) throw error;
    }
  }
  await events.create(event, { signal });
}
