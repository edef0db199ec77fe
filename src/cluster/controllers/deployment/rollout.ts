import type { Deployment, DeploymentStatus, ReplicaSet } from '../../../gen/kube-apps-v1.js';
import type { Pod } from '../../../gen/kube-core-v1.js';
import { isApiError } from '../../api/status.js';
import type { KubeClient } from '../../client/client.js';
import type { EventRecorder } from '../../client/event-recorder.js';
import { keyOf } from '../../client/informer.js';
import { DEPLOYMENTS, REPLICA_SETS } from '../../client/resource-types.js';
import type { ClusterEnv } from '../../env.js';
import { isNamespaceGoing, messageOf } from '../errors.js';
import { isSameJson } from '../json.js';
import type { OwnWrites } from '../own-writes.js';
import { hasEnded } from '../pods.js';
import { byAge, isControlledBy, referenceTo } from '../references.js';
import { REVISION } from './annotations.js';
import { conditionIn, progressDeadlineMs, withCondition, type Conditions } from './conditions.js';
import {
  isSaturated,
  isScaling,
  newReplicas,
  shrinkOld,
  specReplicas,
  spread,
  wantedReplicas,
  type Resize,
} from './numbers.js';
import { activeOf, SetWriter } from './set-writer.js';
import {
  allOf,
  countedStatus,
  isComplete,
  msToDeadline,
  rolloutStatus,
  type Sets,
} from './status.js';
import { findNew, isSameTemplate, newSetOf } from './template.js';

export interface RolloutOptions {
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly events: EventRecorder;
  readonly writes: OwnWrites<ReplicaSet>;
  readonly podsOf: (set: ReplicaSet) => readonly Pod[];
  /** The Deployment must be reconciled again, though nothing may change until then. */
  readonly returnAfter: (key: string, delayMs: number) => void;
}

/** A Deployment as last written, and its sets. */
interface State {
  readonly deployment: Deployment;
  readonly sets: Sets;
}

/** Takes a Deployment one step towards its spec. */
export class Rollout {
  private readonly options: RolloutOptions;
  private readonly writer: SetWriter;

  constructor(options: RolloutOptions) {
    this.options = options;
    this.writer = new SetWriter(options.client, options.events, options.writes);
  }

  async step(known: Deployment, owned: readonly ReplicaSet[]): Promise<void> {
    const deployment = await this.markPause(known);
    const state = await this.revise({ deployment, sets: split(deployment, owned) });
    if (deployment.spec.paused === true || isScaling(deployment, owned)) await this.rescale(state);
    else if (deployment.spec.strategy?.type === 'Recreate') await this.recreate(state);
    else await this.rollingUpdate(state);
  }

  /** Only says what there is, without changing the sets. */
  async reportOnly(deployment: Deployment, owned: readonly ReplicaSet[]): Promise<void> {
    const sets = split(deployment, owned);
    await this.write(deployment, countedStatus(deployment, sets, this.nowMs()));
  }

  /** A pause stops the time that progress may take. */
  private async markPause(deployment: Deployment): Promise<Deployment> {
    const conditions = deployment.status?.conditions ?? [];
    const reason = conditionIn(conditions, 'Progressing')?.reason;
    const isMarked = reason === 'DeploymentPaused';
    const isPaused = deployment.spec.paused === true;
    if (progressDeadlineMs(deployment) === undefined || isMarked === isPaused) return deployment;
    if (reason === 'ProgressDeadlineExceeded') return deployment;
    const [why, message] = isPaused
      ? (['DeploymentPaused', 'Deployment is paused'] as const)
      : (['DeploymentResumed', 'Deployment is resumed'] as const);
    return this.writeConditions(
      deployment,
      withCondition(conditions, ['Progressing', 'Unknown', why, message], this.nowMs()),
    );
  }

  /** Numbers the set of the current template, if there is one. */
  private async revise({ deployment, sets }: State): Promise<State> {
    const { oldSets } = sets;
    if (sets.newSet === undefined) return { deployment, sets };
    const newSet = await this.writer.revise(deployment, sets.newSet, oldSets);
    const name = newSet.metadata.name ?? '';
    const isKnown = conditionIn(deployment.status?.conditions ?? [], 'Progressing') !== undefined;
    const message = `Found new replica set "${name}"`;
    const reason = isKnown ? undefined : (['FoundNewReplicaSet', message] as const);
    return {
      deployment: await this.writeRevision(deployment, newSet, reason),
      sets: { newSet, oldSets },
    };
  }

  private async rollingUpdate(state: State): Promise<void> {
    const { deployment, sets, newSet } = await this.ensureNew(state);
    const replicas = newReplicas(deployment, allOf(sets), newSet);
    const sizes =
      replicas === specReplicas(newSet)
        ? shrinkOld(deployment, newSet, sets.oldSets)
        : [{ set: newSet, replicas }];
    await this.finish(deployment, sets, sizes);
  }

  private async recreate(state: State): Promise<void> {
    const { deployment, sets } = state;
    const ending = sets.oldSets.filter((set) => specReplicas(set) > 0);
    const isWaiting = ending.length > 0 || sets.oldSets.some((set) => this.hasPods(set));
    if (isWaiting) {
      await this.finish(
        deployment,
        sets,
        ending.map((set) => ({ set, replicas: 0 })),
      );
      return;
    }
    const next = await this.ensureNew(state);
    const replicas = wantedReplicas(deployment);
    const isSized = specReplicas(next.newSet) === replicas;
    const sizes = isSized ? [] : [{ set: next.newSet, replicas }];
    await this.finish(next.deployment, next.sets, sizes);
  }

  /** Pods on their way out still run. */
  private hasPods(set: ReplicaSet): boolean {
    const { replicas = 0, observedGeneration = 0 } = set.status ?? {};
    if (replicas > 0 || observedGeneration < (set.metadata.generation ?? 0)) return true;
    return this.options.podsOf(set).some((pod) => !hasEnded(pod));
  }

  private async finish(
    deployment: Deployment,
    before: Sets,
    sizes: readonly Resize[],
  ): Promise<void> {
    const sets = await this.writer.resize(deployment, before, sizes);
    const isDone = sizes.length === 0 && isComplete(deployment, deployment.status ?? {});
    if (isDone) await this.writer.cleanUp(deployment, sets);
    const nowMs = this.nowMs();
    const status = rolloutStatus(deployment, sets, nowMs);
    const written = await this.write(deployment, status);
    if (written !== deployment) return;
    const delayMs = msToDeadline(deployment, status, nowMs);
    if (delayMs !== undefined) this.options.returnAfter(keyOf(deployment), delayMs);
  }

  /** The wanted number has changed, perhaps in the midst of an update, or while it is paused. */
  private async rescale({ deployment, sets: before }: State): Promise<void> {
    const sizes = rescaled(deployment, before);
    const sets = await this.writer.resize(deployment, before, sizes);
    if (deployment.spec.paused === true) await this.writer.cleanUp(deployment, sets);
    await this.write(deployment, countedStatus(deployment, sets, this.nowMs()));
  }

  private async ensureNew(state: State): Promise<State & { readonly newSet: ReplicaSet }> {
    const { deployment, sets } = state;
    if (sets.newSet !== undefined) return { ...state, newSet: sets.newSet };
    const { newSet, isFresh } = await this.create(deployment, sets.oldSets);
    const replicas = specReplicas(newSet);
    if (isFresh && replicas > 0) this.writer.reportScaling(deployment, newSet, 0, replicas);
    const message = `Created new replica set "${newSet.metadata.name ?? ''}"`;
    const reason = isFresh ? (['NewReplicaSetCreated', message] as const) : undefined;
    return {
      deployment: await this.writeRevision(deployment, newSet, reason),
      sets: { newSet, oldSets: sets.oldSets },
      newSet,
    };
  }

  /** Throws: ApiError; a name that is taken by something else is avoided by the next try. */
  private async create(
    deployment: Deployment,
    oldSets: readonly ReplicaSet[],
  ): Promise<{ readonly newSet: ReplicaSet; readonly isFresh: boolean }> {
    const { client } = this.options;
    const resource = client.resource(REPLICA_SETS, deployment.metadata.namespace ?? '');
    const wanted = newSetOf(deployment, oldSets);
    try {
      return { newSet: await this.writer.create(deployment, wanted), isFresh: true };
    } catch (error) {
      if (isNamespaceGoing(error)) throw error;
      if (!isApiError(error, 'AlreadyExists')) {
        await this.reportFailure(deployment, wanted, error);
        throw error;
      }
      const live = await resource.get(wanted.metadata.name ?? '');
      const isOurs = isControlledBy(live, deployment);
      if (isOurs && isSameTemplate(live.spec.template, deployment.spec.template)) {
        return { newSet: live, isFresh: false };
      }
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
      await this.write(deployment, { ...deployment.status, collisionCount });
      throw error;
    }
  }

  private async reportFailure(
    deployment: Deployment,
    { metadata }: ReplicaSet,
    error: unknown,
  ): Promise<void> {
    const why = messageOf(error);
    const message = `Failed to create new replica set "${metadata.name ?? ''}": ${why}`;
    const reason = 'ReplicaSetCreateError';
    this.options.events.event(referenceTo(deployment), 'Warning', reason, message);
    if (progressDeadlineMs(deployment) === undefined) return;
    const conditions = deployment.status?.conditions ?? [];
    const failed = ['Progressing', 'False', reason, message] as const;
    await this.writeConditions(deployment, withCondition(conditions, failed, this.nowMs()));
  }

  /** Copies the set's revision to the Deployment, and notes what is new about the set. */
  private async writeRevision(
    deployment: Deployment,
    newSet: ReplicaSet,
    news: readonly [reason: string, message: string] | undefined,
  ): Promise<Deployment> {
    const { annotations } = deployment.metadata;
    const revision = newSet.metadata.annotations?.[REVISION] ?? '';
    const before = deployment.status?.conditions ?? [];
    const isNoted = news === undefined || progressDeadlineMs(deployment) === undefined;
    const conditions = isNoted
      ? before
      : withCondition(before, ['Progressing', 'True', ...news], this.nowMs());
    if (annotations?.[REVISION] === revision && conditions === before) return deployment;
    const metadata = {
      ...deployment.metadata,
      annotations: { ...annotations, [REVISION]: revision },
    };
    return this.writeConditions({ ...deployment, metadata }, conditions);
  }

  private async writeConditions(
    deployment: Deployment,
    conditions: Conditions,
  ): Promise<Deployment> {
    const { client } = this.options;
    const status = { ...deployment.status, conditions: [...conditions] };
    const resource = client.resource(DEPLOYMENTS, deployment.metadata.namespace ?? '');
    return resource.updateStatus({ ...deployment, status });
  }

  /** The Deployment as it is now: the same one when there was nothing to write. */
  private async write(deployment: Deployment, status: DeploymentStatus): Promise<Deployment> {
    if (isSameJson(deployment.status, status)) return deployment;
    const { client } = this.options;
    const resource = client.resource(DEPLOYMENTS, deployment.metadata.namespace ?? '');
    return resource.updateStatus({ ...deployment, status });
  }

  private nowMs(): number {
    return this.options.env.wallMs();
  }
}

function split(deployment: Deployment, owned: readonly ReplicaSet[]): Sets {
  const newSet = findNew(deployment, owned);
  return { newSet, oldSets: owned.filter((set) => set !== newSet) };
}

function rescaled(deployment: Deployment, sets: Sets): Resize[] {
  const wanted = wantedReplicas(deployment);
  const { newSet, oldSets } = sets;
  const active = activeOf(sets);
  if (active.length <= 1) {
    const latest = active[0] ?? newSet ?? [...oldSets].sort(byAge).at(-1);
    return latest === undefined ? [] : [{ set: latest, replicas: wanted }];
  }
  if (newSet !== undefined && isSaturated(deployment, newSet)) {
    const old = active.filter((set) => set !== newSet);
    return old.map((set) => ({ set, replicas: 0 }));
  }
  return deployment.spec.strategy?.type === 'Recreate' ? [] : spread(deployment, active);
}
