/**
 * kube-proxy: leads packets of services to their endpoints, as services and endpoint slices say. It
 * looks at the whole of each service that changed, and hands on what differs.
 */
import { isDeepStrictEqual } from 'node:util';
import { invariant } from '../../base/invariant.js';
import type { Logger } from '../../base/observe/logger.js';
import type { Pod } from '../../gen/kube-core-v1.js';
import type { EndpointSlice } from '../../gen/kube-discovery-v1.js';
import type { KubeObject } from '../api/object.js';
import type { KubeClient } from '../client/client.js';
import { Informer, keyOf } from '../client/informer.js';
import { ENDPOINT_SLICES, PODS, SERVICES } from '../client/resource-types.js';
import type { SharedInformers } from '../client/shared-informers.js';
import { sleep, type ClusterEnv } from '../env.js';
import { turnsOf } from '../turns.js';
import { hostPortEntries } from './host-ports.js';
import type { PortChange, RuleSink } from './rule-sink.js';
import { serviceEntries, type PortEntry } from './service-table.js';
import { serviceKeyOf } from './slices.js';

/** Changes within this time are written together. */
const GATHER_MS = 30;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;
const SERVICE = 'service/';
const POD = 'pod/';

export interface ProxySetup {
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly nodeName: string;
  /** Shared with others of the process, and started by who shares them. */
  readonly informers: SharedInformers;
  readonly sink: RuleSink;
}

export class Proxy {
  private readonly setup: ProxySetup;
  private readonly pods: Informer<Pod>;
  private readonly slicesOf: (serviceKey: string) => readonly EndpointSlice[];
  private readonly removeHandlers: readonly (() => void)[];
  private readonly stopping = new AbortController();
  /** Owners whose entries may have changed: services and pods. */
  private changed = new Set<string>();
  private readonly applied = new Map<string, readonly PortEntry[]>();
  private wake: () => void = () => undefined;
  private loop: Promise<void> | undefined;

  constructor(setup: ProxySetup) {
    this.setup = setup;
    const { informers, env, log, client, nodeName } = setup;
    const slices = informers.of(ENDPOINT_SLICES);
    this.slicesOf = slices.index((slice) => [serviceKeyOf(slice)]);
    const fieldSelector = `spec.nodeName=${nodeName}`;
    this.pods = new Informer({ env, log, client: client.resource(PODS), fieldSelector });
    this.removeHandlers = [
      this.follow(informers.of(SERVICES), (service) => `${SERVICE}${keyOf(service)}`),
      this.follow(slices, (slice) => `${SERVICE}${serviceKeyOf(slice)}`),
      this.follow(this.pods, (pod) => `${POD}${keyOf(pod)}`),
    ];
  }

  start(): void {
    invariant(this.loop === undefined, 'a proxy is started once');
    this.pods.start();
    this.loop = this.run();
  }

  /** Leaves the kernel's rules as they are: the next proxy takes them over. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake();
    for (const remove of this.removeHandlers) remove();
    await this.pods.stop();
    await this.loop;
    await this.setup.sink.stop();
  }

  private follow<T extends KubeObject>(
    informer: Informer<T>,
    ownerOf: (object: T) => string,
  ): () => void {
    const mark = (object: T): void => {
      this.changed.add(ownerOf(object));
      this.wake();
    };
    return informer.addHandler({
      onAdd: mark,
      onUpdate: (object, old) => {
        mark(old);
        mark(object);
      },
      onDelete: mark,
    });
  }

  private async run(): Promise<void> {
    const { env, log, informers } = this.setup;
    const { signal } = this.stopping;
    // Without this, the first rules would be of a part of the services.
    const hasSynced = await this.unlessStopped(
      Promise.all([
        informers.of(SERVICES).synced,
        informers.of(ENDPOINT_SLICES).synced,
        this.pods.synced,
      ]),
    );
    if (hasSynced?.includes(false) !== false) return;
    let retryMs = RETRY_MIN_MS;
    let isFirst = true;
    while (!signal.aborted) {
      const pending = this.changed;
      this.changed = new Set();
      try {
        if (isFirst || pending.size > 0) await this.sync(pending);
        isFirst = false;
        retryMs = RETRY_MIN_MS;
      } catch (error) {
        log.error('ports of services were not led to their endpoints', { error });
        for (const owner of pending) this.changed.add(owner);
        await sleep(env, retryMs, signal);
        retryMs = Math.min(2 * retryMs, RETRY_MAX_MS);
        continue;
      }
      if (this.changed.size === 0) await new Promise<void>((resolve) => (this.wake = resolve));
      await sleep(env, GATHER_MS, signal);
    }
  }

  private unlessStopped<T>(waited: Promise<T>): Promise<T | undefined> {
    const { signal } = this.stopping;
    const stopped = new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    return Promise.race([waited, stopped]);
  }

  private async sync(owners: ReadonlySet<string>): Promise<void> {
    const turns = turnsOf(this.setup.env);
    const changes = new Map<string, PortChange>();
    for (const owner of owners) {
      const before = this.applied.get(owner) ?? [];
      const now = this.entriesOf(owner);
      if (!isDeepStrictEqual(before, now)) changes.set(owner, { before, now });
      const pause = turns.pause();
      if (pause !== undefined) await pause;
    }
    await this.setup.sink.apply(changes);
    for (const [owner, { now }] of changes) {
      if (now.length === 0) this.applied.delete(owner);
      else this.applied.set(owner, now);
    }
  }

  private entriesOf(owner: string): PortEntry[] {
    const { informers, nodeName } = this.setup;
    if (owner.startsWith(POD)) {
      const pod = this.pods.getByKey(owner.slice(POD.length));
      return pod === undefined ? [] : hostPortEntries(pod);
    }
    const key = owner.slice(SERVICE.length);
    const service = informers.of(SERVICES).getByKey(key);
    return service === undefined ? [] : serviceEntries(service, this.slicesOf(key), nodeName);
  }
}
