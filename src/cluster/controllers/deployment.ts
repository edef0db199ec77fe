/** Brings the pods of a Deployment from one template to the next, by way of ReplicaSets. */
import type { Deployment, ReplicaSet } from '../../gen/kube-apps-v1.js';
import type { Pod } from '../../gen/kube-core-v1.js';
import { labelSelectorMatcher } from '../api/selector.js';
import { keyOf, type Informer } from '../client/informer.js';
import { DEPLOYMENTS, PODS, REPLICA_SETS } from '../client/resource-types.js';
import type { WorkQueue } from '../client/work-queue.js';
import { claim } from './claims.js';
import type { ControllerContext } from './controller.js';
import { Rollout } from './deployment/rollout.js';
import { OwnWrites } from './own-writes.js';
import { byController, controllerOf, isGoing, orphansOf } from './references.js';

export function deployments(context: ControllerContext): void {
  const controller = new DeploymentController(context);
  controller.watch();
}

class DeploymentController {
  private readonly context: ControllerContext;
  private readonly deployments: Informer<Deployment>;
  private readonly sets: Informer<ReplicaSet>;
  private readonly setsBy: (controller: string) => readonly ReplicaSet[];
  private readonly podsBy: (controller: string) => readonly Pod[];
  private readonly writes: OwnWrites<ReplicaSet>;
  private readonly rollout: Rollout;
  private readonly queue: WorkQueue;

  constructor(context: ControllerContext) {
    this.context = context;
    this.deployments = context.informers.of(DEPLOYMENTS);
    this.sets = context.informers.of(REPLICA_SETS);
    this.setsBy = this.sets.index(byController);
    this.podsBy = context.informers.of(PODS).index(byController);
    const events = context.recorder('deployment-controller');
    this.writes = new OwnWrites(context.env, this.sets);
    this.rollout = new Rollout({
      client: context.client,
      env: context.env,
      events,
      writes: this.writes,
      podsOf: (set) => this.podsBy(set.metadata.uid ?? ''),
      returnAfter: (key, delayMs) => this.queue.addAfter(key, delayMs),
    });
    const reconcile = (key: string): Promise<void> => this.reconcile(key);
    this.queue = context.loop({ name: 'deployment', workers: 5, reconcile });
  }

  watch(): void {
    const enqueue = (deployment: Deployment): void => this.queue.add(keyOf(deployment));
    this.deployments.addHandler({ onAdd: enqueue, onUpdate: enqueue, onDelete: enqueue });
    this.sets.addHandler({
      onAdd: (set) => this.enqueueFor(set),
      onUpdate: (set, old) => {
        if (controllerOf(old)?.uid !== controllerOf(set)?.uid) this.enqueueFor(old);
        this.enqueueFor(set);
      },
      onDelete: (set) => this.enqueueFor(set),
    });
    this.context.informers.of(PODS).addHandler({ onDelete: (pod) => this.podGone(pod) });
  }

  /** Of an orphan, each Deployment that could adopt it. */
  private enqueueFor(set: ReplicaSet): void {
    const { namespace = '', labels = {} } = set.metadata;
    const reference = controllerOf(set);
    if (reference !== undefined) {
      if (reference.kind === DEPLOYMENTS.kind) this.queue.add(`${namespace}/${reference.name}`);
      return;
    }
    for (const deployment of this.deployments.list(namespace)) {
      const matches = labelSelectorMatcher(deployment.spec.selector)(labels);
      if (matches) this.queue.add(keyOf(deployment));
    }
  }

  /** Recreate waits for the last old pod. */
  private podGone(pod: Pod): void {
    const { namespace = '' } = pod.metadata;
    const set = this.sets.get(namespace, controllerOf(pod)?.name ?? '');
    const reference = set === undefined ? undefined : controllerOf(set);
    if (reference?.kind !== DEPLOYMENTS.kind) return;
    const deployment = this.deployments.get(namespace, reference.name);
    if (deployment?.spec.strategy?.type === 'Recreate') this.queue.add(keyOf(deployment));
  }

  private async reconcile(key: string): Promise<void> {
    const deployment = this.deployments.getByKey(key);
    if (deployment === undefined) {
      this.writes.forget(key);
      return;
    }
    const waitMs = this.writes.waitMs(key);
    if (waitMs !== undefined) {
      this.queue.addAfter(key, waitMs);
      return;
    }
    const { namespace = '', uid = '' } = deployment.metadata;
    const sets = await claim({
      owner: deployment,
      owners: this.context.client.resource(DEPLOYMENTS, namespace),
      selector: labelSelectorMatcher(deployment.spec.selector),
      candidates: [...this.setsBy(uid), ...this.setsBy(orphansOf(namespace))],
      client: this.context.client.resource(REPLICA_SETS, namespace),
    });
    if (isGoing(deployment)) await this.rollout.reportOnly(deployment, sets);
    else await this.rollout.step(deployment, sets);
  }
}
