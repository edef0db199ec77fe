/** Deletes pods from nodes whose taints NoExecute they do not tolerate, or no longer. */
import type { Node, Pod, Taint, Toleration } from '../../gen/kube-core-v1.js';
import { tolerates } from '../api/node-choice.js';
import { isApiError } from '../api/status.js';
import type { EventRecorder } from '../client/event-recorder.js';
import { keyOf, splitKey, type Informer } from '../client/informer.js';
import { NODES, PODS } from '../client/resource-types.js';
import type { WorkQueue } from '../client/work-queue.js';
import type { ControllerContext } from './controller.js';
import { markDisruption } from './disruption.js';
import { byNode, hasEnded, timeMs } from './pods.js';
import { isGoing } from './references.js';

/** A pod whose time on its node runs. */
interface Scheduled {
  readonly uid: string;
  /** Monotonic, when the taints were first seen. */
  readonly sinceMs: number;
}

export function taintEviction(context: ControllerContext): void {
  new TaintEviction(context);
}

class TaintEviction {
  private readonly context: ControllerContext;
  private readonly nodes: Informer<Node>;
  private readonly pods: Informer<Pod>;
  private readonly events: EventRecorder;
  private readonly queue: WorkQueue;
  private readonly scheduled = new Map<string, Scheduled>();

  constructor(context: ControllerContext) {
    this.context = context;
    this.nodes = context.informers.of(NODES);
    this.pods = context.informers.of(PODS);
    this.events = context.recorder('taint-eviction-controller');
    const reconcile = (key: string): Promise<void> => this.reconcile(key);
    this.queue = context.loop({ name: 'taint-eviction', workers: 8, reconcile });
    const podsOn = this.pods.index(byNode);
    const enqueuePods = ({ metadata }: Node): void => {
      for (const pod of podsOn(metadata.name ?? '')) this.queue.add(keyOf(pod));
    };
    this.nodes.addHandler({
      onAdd: enqueuePods,
      onUpdate: (node, old) => {
        if (JSON.stringify(evicting(node)) !== JSON.stringify(evicting(old))) enqueuePods(node);
      },
    });
    const enqueue = (pod: Pod): void => this.queue.add(keyOf(pod));
    this.pods.addHandler({
      onAdd: enqueue,
      onUpdate: (pod, old) => {
        const isOther =
          pod.spec.nodeName !== old.spec.nodeName ||
          JSON.stringify(pod.spec.tolerations) !== JSON.stringify(old.spec.tolerations);
        if (isOther) enqueue(pod);
      },
      onDelete: enqueue,
    });
  }

  private async reconcile(key: string): Promise<void> {
    const pod = this.pods.getByKey(key);
    const node = this.nodes.get('', pod?.spec.nodeName ?? '');
    const taints = node === undefined ? [] : evicting(node);
    const isOver = pod === undefined || isGoing(pod) || hasEnded(pod);
    const limitMs = isOver ? Infinity : tolerableMs(taints, pod.spec.tolerations ?? []);
    if (isOver || limitMs === Infinity) {
      if (this.scheduled.delete(key) && !isOver) this.report(key, 'Cancelling deletion of Pod');
      return;
    }
    const waitMs = limitMs - this.elapsedMs(key, pod, taints);
    if (waitMs > 0) {
      this.queue.addAfter(key, waitMs);
      return;
    }
    this.report(key, 'Marking for deletion Pod');
    await this.evict(pod);
    this.scheduled.delete(key);
  }

  /** Milliseconds for which the pod has borne the taints: as seen here, or more by their times. */
  private elapsedMs(key: string, { metadata }: Pod, taints: readonly Taint[]): number {
    const { env } = this.context;
    const { uid = '' } = metadata;
    const known = this.scheduled.get(key);
    const sinceMs = known?.uid === uid ? known.sinceMs : env.monoMs();
    this.scheduled.set(key, { uid, sinceMs });
    const added = taints.map(({ timeAdded }) => timeMs(timeAdded)).filter((ms) => ms > 0);
    const bornMs = timeMs(metadata.creationTimestamp);
    // Times in objects are cut to seconds.
    const byTaint = env.wallMs() - Math.max(...added, bornMs) - 1000;
    const bySight = env.monoMs() - sinceMs;
    return added.length < taints.length ? bySight : Math.max(bySight, byTaint);
  }

  private async evict(pod: Pod): Promise<void> {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    const reason = 'DeletionByTaintManager';
    const message = 'Taint manager: deleting due to NoExecute taint';
    if (!(await markDisruption(this.context, pod, { reason, message }))) return;
    try {
      const pods = this.context.client.resource(PODS, namespace);
      await pods.delete(name, { preconditions: { uid } });
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }

  private report(key: string, what: string): void {
    const { namespace, name } = splitKey(key);
    const about = { kind: 'Pod', namespace, name, apiVersion: 'v1' };
    this.events.event(about, 'Normal', 'TaintManagerEviction', `${what} ${namespace}/${name}`);
  }
}

function evicting({ spec }: Node): readonly Taint[] {
  return (spec?.taints ?? []).filter(({ effect }) => effect === 'NoExecute');
}

/** Milliseconds that a pod may stay: zero if it does not tolerate some taint, Infinity for ever. */
function tolerableMs(taints: readonly Taint[], tolerations: readonly Toleration[]): number {
  let shortest = Infinity;
  for (const taint of taints) {
    const used = tolerations.filter((toleration) => tolerates(toleration, taint));
    if (used.length === 0) return 0;
    for (const { tolerationSeconds } of used) {
      const ms = Math.max(0, (tolerationSeconds ?? Infinity) * 1000);
      shortest = Math.min(shortest, ms);
    }
  }
  return shortest;
}
