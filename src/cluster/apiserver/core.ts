/**
 * The part of the API server that knows objects: store, watch caches, admission, verbs. Everything
 * around it (transports, authentication, discovery, streams) is put together in server.ts.
 */
import type { EtcdClient } from '../../client/client.js';
import type { Pod, Service } from '../../gen/kube-core-v1.js';
import type { Logger } from '../../base/observe/logger.js';
import type { Kind } from '../api/kinds/kind.js';
import { findKind, KINDS } from '../api/kinds/registry.js';
import { invariant } from '../../base/invariant.js';
import type { ClusterEnv } from '../env.js';
import { Admission } from './admission/admission.js';
import { namespaceLifecycle } from './admission/namespace-lifecycle.js';
import {
  defaultTolerationSeconds,
  priority,
  runtimeClass,
  taintNewNodes,
} from './admission/pod-defaults.js';
import { nodeRestriction } from './admission/node-restriction.js';
import { podTopologyLabels, topologyLabels } from './admission/pod-topology-labels.js';
import { serviceAccountAdmission } from './admission/service-account.js';
import { WatchCache } from './cache/watch-cache.js';
import type { Step } from './pipeline/exchange.js';
import type { Allocator } from './registry/allocator.js';
import { randomSuffix } from './registry/metadata.js';
import { Reader } from './registry/reader.js';
import { resourceStep, type SubresourceHandler } from './registry/resource-step.js';
import { claimsOfService, ServiceAllocator } from './registry/service-allocator.js';
import { Writer } from './registry/writer.js';
import { EventLeases } from './storage/event-leases.js';
import { ObjectStore } from './storage/object-store.js';
import type { StoredObject } from './storage/stored-object.js';
import { bindingHandler } from './subresources/binding.js';
import { finalizeHandler } from './subresources/finalize.js';
import { scaleHandler } from './subresources/scale-handler.js';

export interface CoreSetup {
  readonly client: EtcdClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  /** As 10.96.0.0/16. */
  readonly serviceCidr: string;
}

/** Fields with an index of watchers: each node watches its own pods. */
const INDEXED_FIELDS: ReadonlyMap<string, readonly string[]> = new Map([
  ['pods', ['spec.nodeName']],
]);

export class Core {
  readonly reader: Reader;
  readonly writer: Writer;
  readonly admission: Admission;
  private readonly env: ClusterEnv;
  private readonly store: ObjectStore;
  private readonly caches: ReadonlyMap<Kind, WatchCache>;

  constructor({ client, env, log, serviceCidr }: CoreSetup) {
    this.env = env;
    this.store = new ObjectStore(client, new EventLeases(client, env), env);
    this.caches = new Map(
      KINDS.map((kind) => {
        const indexedFields = INDEXED_FIELDS.get(kind.resource) ?? [];
        return [kind, new WatchCache({ kind, store: this.store, env, log, indexedFields })];
      }),
    );
    const { store } = this;
    const cacheOf = (kind: Kind): WatchCache => this.cacheOf(kind);
    this.reader = new Reader({ store, env, cacheOf });
    const services = served('', 'Service');
    const allocator = new ServiceAllocator(env, serviceCidr, () => this.claimsOfServices());
    const allocators = new Map<Kind, Allocator>([[services, allocator]]);
    this.admission = this.createAdmission();
    this.writer = new Writer({ store, env, admission: this.admission, cacheOf, allocators });
  }

  /** `others` are handlers of subresources that need more than objects: `pods/log`, ... */
  step(others: ReadonlyMap<string, SubresourceHandler>): Step {
    const { reader, writer, env } = this;
    const topologyOf = (node: string): ReturnType<typeof topologyLabels> =>
      topologyLabels(served('', 'Node'), this, node);
    const subresources = new Map([
      ...others,
      ['pods/binding', bindingHandler(writer, env, topologyOf)] as const,
      ['namespaces/finalize', finalizeHandler(writer)] as const,
    ]);
    const scale = scaleHandler(reader, writer);
    return resourceStep({ reader, writer, scale, subresources });
  }

  /** From the cache, and from the store if the cache lacks it. */
  async find(kind: Kind, key: string): Promise<StoredObject | undefined> {
    return this.cacheOf(kind).index.get(key) ?? (await this.store.get(kind, key));
  }

  /** From the store. */
  read(kind: Kind, key: string): Promise<StoredObject | undefined> {
    return this.store.get(kind, key);
  }

  /** As the cache has it now. */
  cached(kind: Kind, key: string): StoredObject | undefined {
    return this.cacheOf(kind).index.get(key);
  }

  /** Pods that are bound to a node, as the cache has them now. */
  *podsOn(node: string): Generator<Pod> {
    for (const { object } of this.cacheOf(served('', 'Pod')).index.scan('')) {
      const pod = object as Pod;
      if (pod.spec.nodeName === node) yield pod;
    }
  }

  /** Rejects when the store does not answer. */
  async ping(): Promise<void> {
    await this.store.currentRevision();
  }

  /** Seconds that the store took, by operation and resource. */
  storeDurations(): ReturnType<ObjectStore['durations']> {
    return this.store.durations();
  }

  /** Resolves when all caches can answer. */
  async start(): Promise<void> {
    await Promise.all([...this.caches.values()].map((cache) => cache.start()));
  }

  stop(): void {
    for (const cache of this.caches.values()) cache.stop();
  }

  /** Objects held of each kind, for metrics. */
  counts(): readonly {
    readonly kind: Kind;
    readonly objects: number;
    readonly watchers: number;
  }[] {
    return [...this.caches].map(([kind, cache]) => ({
      kind,
      objects: cache.index.size,
      watchers: cache.watcherCount,
    }));
  }

  private cacheOf(kind: Kind): WatchCache {
    const cache = this.caches.get(kind);
    invariant(cache !== undefined, 'every served kind has a cache');
    return cache;
  }

  private *claimsOfServices(): Generator<string> {
    const services = served('', 'Service');
    for (const { object } of this.cacheOf(services).index.scan('')) {
      yield* claimsOfService(object as Service);
    }
  }

  private createAdmission(): Admission {
    const pods = served('', 'Pod');
    const nodes = served('', 'Node');
    const serviceAccounts = served('', 'ServiceAccount');
    const leases = served('coordination.k8s.io', 'Lease');
    const endpointSlices = served('discovery.k8s.io', 'EndpointSlice');
    const restricted = { nodes, pods, leases, endpointSlices, serviceAccounts };
    return new Admission([
      namespaceLifecycle(served('', 'Namespace'), this, this.env),
      serviceAccountAdmission({ pods, serviceAccounts }, this, () => randomSuffix(this.env)),
      nodeRestriction(restricted, this),
      taintNewNodes(nodes),
      priority(pods),
      runtimeClass(pods),
      defaultTolerationSeconds(pods),
      podTopologyLabels(pods, nodes, this),
    ]);
  }
}

/** A kind of version v1 that is known to be served. */
export function served(group: string, kind: string): Kind {
  const found = findKind(group, 'v1', kind);
  invariant(found !== undefined, 'the kind is served');
  return found;
}
