/**
 * Deletes what has lost all its owners, and lets owners go whose deletion waits for their
 * dependents or leaves them behind (k8s.io/kubernetes pkg/controller/garbagecollector).
 */
import type { OwnerReference } from '../../gen/kube-meta-v1.js';
import type { ResourceType } from '../api/kinds/kind.js';
import type { JsonObject, KubeObject } from '../api/object.js';
import { isApiError } from '../api/status.js';
import type { DeleteOptions, ResourceClient } from '../client/client.js';
import type { EventRecorder } from '../client/event-recorder.js';
import { RecentMap } from '../client/recent-map.js';
import type { WorkQueue } from '../client/work-queue.js';
import type { ControllerContext } from './controller.js';
import {
  FOREGROUND,
  Graph,
  isHeldForDependents,
  ORPHAN,
  placeOf,
  type Located,
  type Place,
} from './garbage/graph.js';
import { isGoing, referenceTo } from './references.js';

/** Between two looks for new resources. */
const DISCOVERY_MS = 30_000;
const ABSENCES = 500;

export function garbageCollector(context: ControllerContext): void {
  new GarbageCollector(context);
}

/** Owners that an object names, by what the cluster has of each. */
interface Owners {
  /** They exist, and keep the object. */
  readonly solid: readonly OwnerReference[];
  readonly absent: readonly OwnerReference[];
  /** Their deletion waits for the object to go first. */
  readonly waiting: readonly OwnerReference[];
}

class GarbageCollector {
  private readonly context: ControllerContext;
  private readonly graph: Graph;
  private readonly events: EventRecorder;
  private readonly queue: WorkQueue;
  /** Uids, by namespace, that were looked for in vain: what is gone never comes back. */
  private readonly absences = new RecentMap<string, true>(ABSENCES);
  private readonly isFollowing: Promise<void>;

  constructor(context: ControllerContext) {
    this.context = context;
    this.events = context.recorder('garbage-collector-controller');
    this.graph = new Graph(context, (place) => this.queue.add(place));
    const reconcile = (place: Place): Promise<void> => this.reconcile(place);
    this.queue = context.loop({ name: 'garbagecollector', workers: 20, reconcile });
    let onFollowing: () => void = () => undefined;
    this.isFollowing = new Promise((resolve) => {
      onFollowing = resolve;
    });
    context.signal.addEventListener('abort', () => onFollowing(), { once: true });
    const look = async (key: string): Promise<void> => {
      discovery.addAfter(key, DISCOVERY_MS);
      await this.graph.follow();
      onFollowing();
    };
    const discovery = context.loop({ name: 'discovery', workers: 1, reconcile: look });
    discovery.add('resources');
  }

  private async reconcile(place: Place): Promise<void> {
    await this.isFollowing;
    // An owner that is not listed yet must not be taken for absent, nor a dependent for gone.
    if (!(await this.graph.synced()) || this.context.signal.aborted) return;
    const located = this.graph.at(place);
    if (located === undefined) return;
    const { finalizers = [] } = located.object.metadata;
    if (!isGoing(located.object)) await this.collect(located);
    else if (finalizers.includes(ORPHAN)) await this.orphanDependents(located);
    else if (finalizers.includes(FOREGROUND)) await this.awaitDependents(located);
  }

  private async collect(cached: Located): Promise<void> {
    const references = cached.object.metadata.ownerReferences ?? [];
    if (references.length === 0 || this.areAllSolid(references)) return;
    const located = await this.live(cached);
    if (located === undefined) return;
    const owners = await this.classify(located);
    if (owners === undefined) return;
    const { solid, absent, waiting } = owners;
    if (solid.length > 0) {
      if (absent.length + waiting.length > 0) await this.setOwners(located, solid);
    } else if (absent.length + waiting.length > 0) {
      await this.delete(located, waiting);
    }
  }

  /** As far as the caches tell, which is enough to leave the object alone. */
  private areAllSolid(references: readonly OwnerReference[]): boolean {
    return references.every(({ uid }) => {
      const owner = this.graph.byUid(uid);
      return owner !== undefined && !isHeldForDependents(owner.object);
    });
  }

  /** The object as the API server has it; undefined when it is gone or going. */
  private async live({ type, object }: Located): Promise<Located | undefined> {
    const { name = '', uid } = object.metadata;
    try {
      const live = await this.resource({ type, object }).get(name);
      return live.metadata.uid === uid && !isGoing(live) ? { type, object: live } : undefined;
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  /** Undefined when some owner's kind is not known: it may come back with its server. */
  private async classify(located: Located): Promise<Owners | undefined> {
    const solid: OwnerReference[] = [];
    const absent: OwnerReference[] = [];
    const waiting: OwnerReference[] = [];
    for (const reference of located.object.metadata.ownerReferences ?? []) {
      const owner = await this.ownerOf(located, reference);
      if (owner === 'unknown') return undefined;
      if (owner === 'absent') absent.push(reference);
      else if (isHeldForDependents(owner)) waiting.push(reference);
      else solid.push(reference);
    }
    return { solid, absent, waiting };
  }

  private async ownerOf(
    { type, object }: Located,
    reference: OwnerReference,
  ): Promise<KubeObject | 'absent' | 'unknown'> {
    const ownerType = this.graph.typeOf(reference);
    if (ownerType === undefined) return 'unknown';
    const { namespace = '' } = object.metadata;
    if (ownerType.isNamespaced && !type.isNamespaced) {
      // Such an owner can never be found: the object is kept.
      this.warn(object, reference);
      return 'unknown';
    }
    const known = this.graph.byUid(reference.uid)?.object;
    const place = ownerType.isNamespaced ? namespace : '';
    if (known !== undefined && (known.metadata.namespace ?? '') !== place) {
      this.warn(object, reference);
    }
    const absence = `${place} ${reference.uid}`;
    if (this.absences.get(absence) === true) return 'absent';
    const owner = await this.find(ownerType, place, reference);
    if (owner === undefined) this.absences.set(absence, true);
    return owner ?? 'absent';
  }

  private async find(
    type: ResourceType,
    namespace: string,
    { name, uid }: OwnerReference,
  ): Promise<KubeObject | undefined> {
    try {
      const owner = await this.context.client.resource(type, namespace).get(name);
      return owner.metadata.uid === uid ? owner : undefined;
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  private warn(object: KubeObject, { apiVersion, kind, name, uid }: OwnerReference): void {
    const { namespace = '' } = object.metadata;
    const owner = `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${uid}]`;
    const message = `ownerRef ${owner} does not exist in namespace "${namespace}"`;
    this.events.event(referenceTo(object), 'Warning', 'OwnerRefInvalidNamespace', message);
  }

  /** The object's own finalizers say how its dependents are treated; else they go after it. */
  private async delete(located: Located, waiting: readonly OwnerReference[]): Promise<void> {
    const { name = '', uid = '', finalizers = [] } = located.object.metadata;
    // Owners that wait for this one wait for what depends on it, too.
    const isChained = waiting.length > 0 && this.graph.dependentsOf(uid).length > 0;
    const { metadata } = isChained ? await this.breakCircle(located) : located.object;
    let propagationPolicy: DeleteOptions['propagationPolicy'] = 'Background';
    if (isChained || finalizers.includes(FOREGROUND)) propagationPolicy = 'Foreground';
    else if (finalizers.includes(ORPHAN)) propagationPolicy = 'Orphan';
    const preconditions = { uid, resourceVersion: metadata.resourceVersion ?? '' };
    try {
      await this.resource(located).delete(name, { propagationPolicy, preconditions });
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }

  /** Of a circle of owners that wait for one another, none would ever go. */
  private async breakCircle(located: Located): Promise<KubeObject> {
    const { object } = located;
    const dependents = this.graph.dependentsOf(object.metadata.uid ?? '');
    if (!dependents.some((dependent) => isHeldForDependents(dependent.object))) return object;
    const references = object.metadata.ownerReferences ?? [];
    const ownerReferences = references.map((one) => ({ ...one, blockOwnerDeletion: false }));
    return (await this.patch(located, { ownerReferences })) ?? object;
  }

  private async orphanDependents(owner: Located): Promise<void> {
    const uid = owner.object.metadata.uid ?? '';
    for (const dependent of this.graph.dependentsOf(uid)) {
      const references = dependent.object.metadata.ownerReferences ?? [];
      await this.setOwners(
        dependent,
        references.filter((reference) => reference.uid !== uid),
      );
    }
    await this.removeFinalizer(owner, ORPHAN);
  }

  /** Only dependents that say so hold the owner back; all are deleted. */
  private async awaitDependents(owner: Located): Promise<void> {
    const uid = owner.object.metadata.uid ?? '';
    const blocking = this.graph
      .dependentsOf(uid)
      .filter(({ object }) =>
        (object.metadata.ownerReferences ?? []).some(
          (reference) => reference.uid === uid && reference.blockOwnerDeletion === true,
        ),
      );
    if (blocking.length === 0) await this.removeFinalizer(owner, FOREGROUND);
    for (const dependent of blocking) {
      if (!isGoing(dependent.object)) this.queue.add(placeOf(dependent));
    }
  }

  private async removeFinalizer(located: Located, finalizer: string): Promise<void> {
    const finalizers = located.object.metadata.finalizers ?? [];
    const others = finalizers.filter((one) => one !== finalizer);
    await this.patch(located, { finalizers: others.length === 0 ? null : others });
  }

  private async setOwners(located: Located, owners: readonly OwnerReference[]): Promise<void> {
    await this.patch(located, { ownerReferences: owners.length === 0 ? null : owners });
  }

  /** Undefined when it is gone. Throws: ApiError, a conflict when it has changed meanwhile. */
  private async patch(
    located: Located,
    change: Partial<Record<'finalizers' | 'ownerReferences', readonly unknown[] | null>>,
  ): Promise<KubeObject | undefined> {
    const { name = '', uid, resourceVersion } = located.object.metadata;
    const patch = { metadata: { uid, resourceVersion, ...change } };
    try {
      return await this.resource(located).patch(name, 'merge', asJson(patch));
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  private resource({ type, object }: Located): ResourceClient<KubeObject> {
    return this.context.client.resource(type, object.metadata.namespace ?? '');
  }
}

function asJson(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value)) as JsonObject;
}
