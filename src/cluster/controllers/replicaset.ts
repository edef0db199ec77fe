/** Keeps as many pods of a template as a ReplicaSet says. */
import type { ReplicaSet } from '../../gen/kube-apps-v1.js';
import type { Pod } from '../../gen/kube-core-v1.js';
import { labelSelectorMatcher } from '../api/selector.js';
import { isApiError } from '../api/status.js';
import type { EventRecorder } from '../client/event-recorder.js';
import { keyOf, type Informer } from '../client/informer.js';
import { PODS, REPLICA_SETS } from '../client/resource-types.js';
import type { WorkQueue } from '../client/work-queue.js';
import { slowStart, together } from './batches.js';
import { claim } from './claims.js';
import type { ControllerContext } from './controller.js';
import { isNamespaceGoing, messageOf } from './errors.js';
import { isSameJson } from './json.js';
import { OwnWrites } from './own-writes.js';
import { isActive, msToAvailable, podOf } from './pods.js';
import { byController, controllerOf, isGoing, orphansOf, referenceTo } from './references.js';
import { sortForDeletion } from './replicaset/deletion-order.js';
import { statusOf, type Outcome } from './replicaset/status.js';

/** Pods that one reconcile creates or deletes at most. */
const BURST = 500;

export function replicaSets(context: ControllerContext): void {
  const controller = new ReplicaSetController(context);
  controller.watch();
}

class ReplicaSetController {
  private readonly context: ControllerContext;
  private readonly sets: Informer<ReplicaSet>;
  private readonly pods: Informer<Pod>;
  private readonly podsBy: (controller: string) => readonly Pod[];
  private readonly setsBy: (controller: string) => readonly ReplicaSet[];
  private readonly writes: OwnWrites<Pod>;
  private readonly events: EventRecorder;
  private readonly queue: WorkQueue;

  constructor(context: ControllerContext) {
    this.context = context;
    this.sets = context.informers.of(REPLICA_SETS);
    this.pods = context.informers.of(PODS);
    this.podsBy = this.pods.index(byController);
    this.setsBy = this.sets.index(byController);
    this.writes = new OwnWrites(context.env, this.pods);
    this.events = context.recorder('replicaset-controller');
    const reconcile = (key: string): Promise<void> => this.reconcile(key);
    this.queue = context.loop({ name: 'replicaset', workers: 5, reconcile });
  }

  watch(): void {
    const enqueue = (set: ReplicaSet): void => this.queue.add(keyOf(set));
    this.sets.addHandler({
      onAdd: enqueue,
      onUpdate: enqueue,
      onDelete: (set) => {
        this.writes.forget(keyOf(set));
        enqueue(set);
      },
    });
    this.pods.addHandler({
      onAdd: (pod) => this.enqueueFor(pod),
      onUpdate: (pod, old) => {
        if (controllerOf(old)?.uid !== controllerOf(pod)?.uid) this.enqueueFor(old);
        this.enqueueFor(pod);
      },
      onDelete: (pod) => this.enqueueFor(pod),
    });
  }

  /** Of an orphan, each set that could adopt it. */
  private enqueueFor(pod: Pod): void {
    if (controllerOf(pod) !== undefined) {
      const set = this.setOf(pod);
      if (set !== undefined) this.queue.add(keyOf(set));
      return;
    }
    const { namespace = '', labels = {} } = pod.metadata;
    for (const set of this.sets.list(namespace)) {
      if (labelSelectorMatcher(set.spec.selector)(labels)) this.queue.add(keyOf(set));
    }
  }

  private setOf(pod: Pod): ReplicaSet | undefined {
    const reference = controllerOf(pod);
    if (reference?.kind !== REPLICA_SETS.kind) return undefined;
    const set = this.sets.get(pod.metadata.namespace ?? '', reference.name);
    return set?.metadata.uid === reference.uid ? set : undefined;
  }

  private async reconcile(key: string): Promise<void> {
    const set = this.sets.getByKey(key);
    if (set === undefined) return;
    const waitMs = this.writes.waitMs(key);
    if (waitMs !== undefined) {
      this.queue.addAfter(key, waitMs);
      return;
    }
    const all = await this.claim(set);
    const active = all.filter(isActive);
    const outcome = isGoing(set) ? undefined : await this.manage(set, active);
    const left = active.filter((pod) => !this.writes.hasDeleted(key, pod));
    const { env, client } = this.context;
    const nowMs = env.wallMs();
    const status = statusOf(set, left, all, outcome, nowMs);
    if (!isSameJson(set.status, status)) {
      const { namespace = '' } = set.metadata;
      await client.resource(REPLICA_SETS, namespace).updateStatus({ ...set, status });
    }
    if (outcome !== undefined) throw outcome.error;
    this.returnForAvailability(key, set, left, nowMs);
  }

  /** Nobody tells when a ready pod has been so for long enough. */
  private returnForAvailability(
    key: string,
    { spec }: ReplicaSet,
    pods: readonly Pod[],
    nowMs: number,
  ): void {
    const waits = pods.map((pod) => msToAvailable(pod, spec.minReadySeconds ?? 0, nowMs) ?? 0);
    const waiting = waits.filter((wait) => wait > 0);
    if (waiting.length > 0) this.queue.addAfter(key, Math.min(...waiting));
  }

  private claim(set: ReplicaSet): Promise<Pod[]> {
    const { namespace = '', uid = '' } = set.metadata;
    const { client } = this.context;
    return claim({
      owner: set,
      owners: client.resource(REPLICA_SETS, namespace),
      selector: labelSelectorMatcher(set.spec.selector),
      candidates: [
        ...this.podsBy(uid),
        ...this.podsBy(orphansOf(namespace)).filter((pod) => isActive(pod)),
      ],
      client: client.resource(PODS, namespace),
    });
  }

  private async manage(set: ReplicaSet, pods: readonly Pod[]): Promise<Outcome | undefined> {
    const missing = (set.spec.replicas ?? 1) - pods.length;
    if (missing === 0) return undefined;
    const error =
      missing > 0
        ? await this.create(set, Math.min(missing, BURST))
        : await this.delete(set, this.superfluous(set, pods, Math.min(-missing, BURST)));
    return error === undefined ? undefined : { error, missing };
  }

  private create(set: ReplicaSet, count: number): Promise<Error | undefined> {
    return slowStart(count, () => this.createPod(set));
  }

  private async createPod(set: ReplicaSet): Promise<void> {
    const { namespace = '' } = set.metadata;
    const { template = {} } = set.spec;
    try {
      const pod = podOf(template, set);
      const created = await this.context.client.resource(PODS, namespace).create(pod);
      this.writes.wrote(keyOf(set), created);
      const message = `Created pod: ${created.metadata.name ?? ''}`;
      this.events.event(referenceTo(set), 'Normal', 'SuccessfulCreate', message);
    } catch (error) {
      if (isNamespaceGoing(error)) return;
      const message = `Error creating: ${messageOf(error)}`;
      this.events.event(referenceTo(set), 'Warning', 'FailedCreate', message);
      throw error;
    }
  }

  /** The pods that go first, with those in mind that sets of the same owner have on their nodes. */
  private superfluous(set: ReplicaSet, pods: readonly Pod[], count: number): Pod[] {
    if (count >= pods.length) return [...pods];
    const owner = controllerOf(set);
    const siblings = owner === undefined ? [set] : this.setsBy(owner.uid);
    const onNode = new Map<string, number>();
    for (const pod of siblings.flatMap(({ metadata }) => this.podsBy(metadata.uid ?? ''))) {
      const { nodeName = '' } = pod.spec;
      if (isActive(pod)) onNode.set(nodeName, (onNode.get(nodeName) ?? 0) + 1);
    }
    const crowd = ({ spec }: Pod): number => onNode.get(spec.nodeName ?? '') ?? 0;
    return sortForDeletion(pods, crowd, this.context.env.wallMs()).slice(0, count);
  }

  private delete(set: ReplicaSet, pods: readonly Pod[]): Promise<Error | undefined> {
    return together(pods.map((pod) => this.deletePod(set, pod)));
  }

  private async deletePod(set: ReplicaSet, pod: Pod): Promise<void> {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    const pods = this.context.client.resource(PODS, namespace);
    try {
      await pods.delete(name, { preconditions: { uid } });
      this.writes.deleted(keyOf(set), pod);
      this.events.event(referenceTo(set), 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
    } catch (error) {
      if (isApiError(error, 'NotFound')) return;
      const message = `Error deleting: ${messageOf(error)}`;
      this.events.event(referenceTo(set), 'Warning', 'FailedDelete', message);
      throw error;
    }
  }
}
