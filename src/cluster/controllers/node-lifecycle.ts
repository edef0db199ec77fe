/**
 * Finds out which nodes are silent, says so in their conditions, keeps pods away from them by
 * taints, and marks their pods as not ready.
 */
import type { Lease } from '../../gen/kube-coordination-v1.js';
import type { Node, Pod } from '../../gen/kube-core-v1.js';
import { isApiError } from '../api/status.js';
import { formatTime } from '../api/time.js';
import type { EventRecorder } from '../client/event-recorder.js';
import { keyOf, type Informer } from '../client/informer.js';
import { LEASES, NODES, PODS } from '../client/resource-types.js';
import type { WorkQueue } from '../client/work-queue.js';
import type { ControllerContext } from './controller.js';
import { conditionIn, NodeHealth, unknownConditions } from './node/health.js';
import { NOT_READY, UNREACHABLE, wantedKeys, withTaints } from './node/taints.js';
import { Zones } from './node/zones.js';
import { byNode, conditionOf } from './pods.js';
import { isGoing, referenceTo } from './references.js';

const PERIOD_MS = 5000;
const LEASE_NAMESPACE = 'kube-node-lease';

export function nodeLifecycle(context: ControllerContext): void {
  new NodeLifecycleController(context);
}

class NodeLifecycleController {
  private readonly context: ControllerContext;
  private readonly nodes: Informer<Node>;
  private readonly leases: Informer<Lease>;
  private readonly podsOn: (nodeName: string) => readonly Pod[];
  private readonly health = new NodeHealth();
  private readonly zones: Zones;
  private readonly events: EventRecorder;
  private readonly passes: WorkQueue;
  private known: ReadonlyMap<string, Node> = new Map();
  private wereAllDown = false;

  constructor(context: ControllerContext) {
    this.context = context;
    this.nodes = context.informers.of(NODES);
    this.leases = context.informers.of(LEASES);
    this.podsOn = context.informers.of(PODS).index(byNode);
    this.zones = new Zones(context.env);
    this.events = context.recorder('node-controller');
    const reconcile = (name: string): Promise<void> => this.reconcile(name);
    const queue = context.loop({ name: 'node', workers: 8, reconcile });
    const enqueue = ({ metadata }: Node): void => queue.add(metadata.name ?? '');
    this.nodes.addHandler({
      onAdd: enqueue,
      onUpdate: (node, old) => {
        enqueue(node);
        const was = conditionIn(old, 'Ready')?.status;
        if (was === 'True' && conditionIn(node, 'Ready')?.status !== was) this.reportDown(node);
      },
    });
    context.informers.of(PODS).addHandler({
      // A pod that was bound to a node when that was already known to be silent.
      onUpdate: ({ spec }) => {
        const node = this.nodes.get('', spec.nodeName ?? '');
        if (node !== undefined && isUnknown(node)) enqueue(node);
      },
    });
    const watch = (key: string): Promise<void> => this.watch(key);
    this.passes = context.loop({ name: 'node-monitor', workers: 1, reconcile: watch });
    this.passes.add('nodes');
  }

  private reportDown(node: Node): void {
    const { resourceVersion: _any, ...about } = referenceTo(node);
    const message = `Node ${node.metadata.name ?? ''} status is now: NodeNotReady`;
    this.events.event(about, 'Normal', 'NodeNotReady', message);
  }

  /** Nodes that came or went since the last look; to a controller that begins, all are new. */
  private reportNew(nodes: readonly Node[]): void {
    const current = new Map(nodes.map((node) => [node.metadata.name ?? '', node]));
    for (const [name, node] of current) {
      if (!this.known.has(name))
        this.report(node, 'RegisteredNode', `Registered Node ${name} in Controller`);
    }
    for (const [name, node] of this.known) {
      if (!current.has(name))
        this.report(node, 'RemovingNode', `Removing Node ${name} from Controller`);
    }
    this.known = current;
  }

  private report(node: Node, reason: string, text: string): void {
    const { resourceVersion: _any, ...about } = referenceTo(node);
    const message = `Node ${node.metadata.name ?? ''} event: ${text}`;
    this.events.event(about, 'Normal', reason, message);
  }

  /** One look at all nodes. */
  private async watch(key: string): Promise<void> {
    this.passes.addAfter(key, PERIOD_MS);
    const { env, signal } = this.context;
    const nodes = this.nodes.list();
    this.reportNew(nodes);
    this.health.keepOnly(new Set(nodes.map(({ metadata }) => metadata.name ?? '')));
    const current: Node[] = [];
    for (const node of nodes) {
      if (signal.aborted) return;
      const lease = this.leases.get(LEASE_NAMESPACE, node.metadata.name ?? '');
      const isSilent = this.health.isSilent(node, lease, env.monoMs());
      const marked = isSilent ? await this.markUnknown(node) : node;
      if (marked !== undefined) current.push(marked);
    }
    this.zones.update(current);
    const { areAllDown } = this.zones;
    if (this.wereAllDown && !areAllDown) this.health.forgive();
    this.wereAllDown = areAllDown;
    for (const node of current) if (!signal.aborted) await this.setEviction(node, areAllDown);
  }

  /** The node as it is then; undefined when it is gone or was changed meanwhile. */
  private async markUnknown(node: Node): Promise<Node | undefined> {
    const conditions = unknownConditions(node, this.context.env.wallMs());
    if (conditions === node.status?.conditions) return node;
    const status = { ...node.status, conditions: [...conditions] };
    try {
      return await this.context.client.resource(NODES).updateStatus({ ...node, status });
    } catch (error) {
      if (isApiError(error, 'NotFound') || isApiError(error, 'Conflict')) return undefined;
      throw error;
    }
  }

  /** Pods are driven away from nodes that are down, not faster than the zone allows. */
  private async setEviction(node: Node, areAllDown: boolean): Promise<void> {
    const ready = conditionIn(node, 'Ready')?.status;
    let keys: readonly string[] = [];
    if (!areAllDown && ready === 'False') keys = [NOT_READY];
    if (!areAllDown && ready === 'Unknown') keys = [UNREACHABLE];
    if (withTaints(node, 'NoExecute', keys, 0) === undefined) return;
    const isEmptied = (node.spec?.taints ?? []).some(
      ({ key, effect }) => effect === 'NoExecute' && (key === NOT_READY || key === UNREACHABLE),
    );
    if (keys.length > 0 && !isEmptied && !this.zones.tryEmpty(node)) return;
    await this.setTaints(node, 'NoExecute', keys);
  }

  private async reconcile(name: string): Promise<void> {
    const node = this.nodes.getByKey(name);
    if (node === undefined) return;
    await this.setTaints(node, 'NoSchedule', wantedKeys(node));
    if (!isUnknown(node)) return;
    for (const pod of this.podsOn(name)) await this.markNotReady(pod);
  }

  /** Others write to the node at the same time; its taints of other keys and effects stay. */
  private async setTaints(
    cached: Node,
    effect: 'NoSchedule' | 'NoExecute',
    keys: readonly string[],
  ): Promise<void> {
    const nodes = this.context.client.resource(NODES);
    let node = cached;
    for (;;) {
      const taints = withTaints(node, effect, keys, this.context.env.wallMs());
      if (taints === undefined || this.context.signal.aborted) return;
      const { name = '', uid, resourceVersion } = node.metadata;
      const spec = { taints: taints.length === 0 ? null : taints.map((taint) => ({ ...taint })) };
      try {
        await nodes.patch(name, 'strategic', { metadata: { uid, resourceVersion }, spec });
        return;
      } catch (error) {
        if (isApiError(error, 'NotFound')) return;
        if (!isApiError(error, 'Conflict')) throw error;
        node = await nodes.get(name);
        if (node.metadata.uid !== uid) return;
      }
    }
  }

  private async markNotReady(pod: Pod): Promise<void> {
    const ready = conditionOf(pod, 'Ready');
    if (ready?.status !== 'True' || isGoing(pod)) return;
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    const lastTransitionTime = formatTime(this.context.env.wallMs());
    const conditions = [{ type: 'Ready', status: 'False', lastTransitionTime }];
    const patch = { metadata: { uid }, status: { conditions } };
    const pods = this.context.client.resource(PODS, namespace);
    await ignoringNotFound(pods.patchStatus(name, 'strategic', patch));
    this.context.log.info('pod marked as not ready with its node', { pod: keyOf(pod) });
    this.events.event(referenceTo(pod), 'Warning', 'NodeNotReady', 'Node is not ready');
  }
}

/** Its kubelet does not say whether its pods are ready. */
function isUnknown(node: Node): boolean {
  return conditionIn(node, 'Ready')?.status === 'Unknown';
}

async function ignoringNotFound(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isApiError(error, 'NotFound')) throw error;
  }
}
