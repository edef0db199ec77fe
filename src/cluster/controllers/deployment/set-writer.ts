import type { Deployment, ReplicaSet } from '../../../gen/kube-apps-v1.js';
import { isApiError } from '../../api/status.js';
import type { KubeClient, ResourceClient } from '../../client/client.js';
import type { EventRecorder } from '../../client/event-recorder.js';
import { keyOf } from '../../client/informer.js';
import { REPLICA_SETS } from '../../client/resource-types.js';
import { isSameJson } from '../json.js';
import type { OwnWrites } from '../own-writes.js';
import { isGoing, referenceTo } from '../references.js';
import { newSetAnnotations, nextRevision, revisionOf } from './annotations.js';
import { sizeAnnotations, specReplicas, type Resize } from './numbers.js';
import { allOf, type Sets } from './status.js';

/** Writes to the ReplicaSets of Deployments. */
export class SetWriter {
  private readonly client: KubeClient;
  private readonly events: EventRecorder;
  private readonly writes: OwnWrites<ReplicaSet>;

  constructor(client: KubeClient, events: EventRecorder, writes: OwnWrites<ReplicaSet>) {
    this.client = client;
    this.events = events;
    this.writes = writes;
  }

  /** The sets with their new sizes; those that had them already are not written. */
  async resize(deployment: Deployment, sets: Sets, sizes: readonly Resize[]): Promise<Sets> {
    const resized = new Map<string, ReplicaSet>();
    for (const { set, replicas } of sizes) {
      resized.set(set.metadata.uid ?? '', await this.resizeOne(deployment, set, replicas));
    }
    const now = (set: ReplicaSet): ReplicaSet => resized.get(set.metadata.uid ?? '') ?? set;
    const { newSet } = sets;
    return {
      newSet: newSet === undefined ? undefined : now(newSet),
      oldSets: sets.oldSets.map(now),
    };
  }

  private async resizeOne(
    deployment: Deployment,
    set: ReplicaSet,
    replicas: number,
  ): Promise<ReplicaSet> {
    const before = specReplicas(set);
    const annotations = { ...set.metadata.annotations, ...sizeAnnotations(deployment) };
    if (before === replicas && isSameJson(annotations, set.metadata.annotations)) return set;
    const written = await this.update(deployment, {
      ...set,
      metadata: { ...set.metadata, annotations },
      spec: { ...set.spec, replicas },
    });
    if (before !== replicas) this.reportScaling(deployment, set, before, replicas);
    return written;
  }

  /** Tells of a set's new size. */
  reportScaling(deployment: Deployment, set: ReplicaSet, from: number, to: number): void {
    const change = to > from ? 'up' : 'down';
    const { name = '' } = set.metadata;
    const message = `Scaled ${change} replica set ${name} from ${from} to ${to}`;
    this.events.event(referenceTo(deployment), 'Normal', 'ScalingReplicaSet', message);
  }

  /** Gives the set of the current template the newest revision, and the Deployment's annotations. */
  async revise(
    deployment: Deployment,
    newSet: ReplicaSet,
    oldSets: readonly ReplicaSet[],
  ): Promise<ReplicaSet> {
    const { minReadySeconds = 0 } = deployment.spec;
    const annotations = newSetAnnotations(deployment, newSet, nextRevision(oldSets));
    const isRight = (newSet.spec.minReadySeconds ?? 0) === minReadySeconds;
    if (isRight && isSameJson(annotations, newSet.metadata.annotations)) return newSet;
    return this.update(deployment, {
      ...newSet,
      metadata: { ...newSet.metadata, annotations },
      spec: isRight ? newSet.spec : { ...newSet.spec, minReadySeconds },
    });
  }

  /** Deletes the oldest sets without pods, beyond those that are kept to roll back to. */
  async cleanUp({ spec }: Deployment, sets: Sets): Promise<void> {
    const limit = spec.revisionHistoryLimit ?? Infinity;
    const alive = sets.oldSets.filter((set) => !isGoing(set));
    const surplus = Math.max(0, alive.length - limit);
    const oldest = alive.sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, surplus);
    for (const set of oldest) {
      if (!isIdle(set)) continue;
      const { name = '', uid = '' } = set.metadata;
      try {
        await this.of(set).delete(name, { preconditions: { uid } });
      } catch (error) {
        if (!isApiError(error, 'NotFound')) throw error;
      }
    }
  }

  /** Throws: ApiError. */
  async create(deployment: Deployment, set: ReplicaSet): Promise<ReplicaSet> {
    const created = await this.of(set).create(set);
    this.writes.wrote(keyOf(deployment), created);
    return created;
  }

  private async update(deployment: Deployment, set: ReplicaSet): Promise<ReplicaSet> {
    const updated = await this.of(set).update(set);
    this.writes.wrote(keyOf(deployment), updated);
    return updated;
  }

  private of({ metadata }: ReplicaSet): ResourceClient<ReplicaSet> {
    return this.client.resource(REPLICA_SETS, metadata.namespace ?? '');
  }
}

function isIdle({ metadata, spec, status }: ReplicaSet): boolean {
  const { replicas = 0, observedGeneration = 0 } = status ?? {};
  const isSeen = (metadata.generation ?? 0) <= observedGeneration;
  return replicas === 0 && (spec.replicas ?? 1) === 0 && isSeen;
}

/** Those that have pods, or are to have some. */
export function activeOf(sets: Sets): ReplicaSet[] {
  return allOf(sets).filter((set) => specReplicas(set) > 0);
}
