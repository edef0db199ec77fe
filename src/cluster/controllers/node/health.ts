/** Nodes silent for too long, by this process's own clock. */
import type { Lease } from '../../../gen/kube-coordination-v1.js';
import type { Node, NodeCondition } from '../../../gen/kube-core-v1.js';
import { formatTime } from '../../api/time.js';

/** Time without a sign of life after which a node's state is unknown. */
const GRACE_MS = 40_000;
/** The same for a node whose kubelet never said anything. */
const STARTUP_GRACE_MS = 60_000;

/** Types of the conditions that a kubelet reports; they become Unknown once it is silent. */
const REPORTED = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];

interface Sign {
  readonly text: string;
  readonly seenMs: number;
}

export class NodeHealth {
  private readonly signs = new Map<string, Sign>();

  /**
   * True when the node's lease and status have not changed for the time of grace. A controller
   * that has just started waits as long as if it had heard from all nodes at that moment.
   */
  isSilent(node: Node, lease: Lease | undefined, monoMs: number): boolean {
    const { name = '', uid = '' } = node.metadata;
    const ready = conditionIn(node, 'Ready');
    const text = JSON.stringify([uid, ready?.lastHeartbeatTime, lease?.spec.renewTime]);
    const known = this.signs.get(name);
    if (known?.text !== text) {
      this.signs.set(name, { text, seenMs: monoMs });
      return false;
    }
    const graceMs = ready === undefined ? STARTUP_GRACE_MS : GRACE_MS;
    return monoMs - known.seenMs > graceMs;
  }

  /** All nodes count as heard from now: their silence had one cause, which is over. */
  forgive(): void {
    this.signs.clear();
  }

  keepOnly(names: ReadonlySet<string>): void {
    for (const name of this.signs.keys()) if (!names.has(name)) this.signs.delete(name);
  }
}

export function conditionIn({ status }: Node, type: string): NodeCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** The conditions of a node that is silent; those it has already when they say so. */
export function unknownConditions(node: Node, nowMs: number): readonly NodeCondition[] {
  const known = node.status?.conditions ?? [];
  const now = formatTime(nowMs);
  const next = known.map((condition) => {
    if (!REPORTED.includes(condition.type) || condition.status === 'Unknown') return condition;
    return {
      ...condition,
      status: 'Unknown',
      lastTransitionTime: now,
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
    };
  });
  const missing = REPORTED.filter((type) => conditionIn(node, type) === undefined);
  const never = missing.map((type) => ({
    type,
    status: 'Unknown',
    lastHeartbeatTime: node.metadata.creationTimestamp ?? now,
    lastTransitionTime: now,
    reason: 'NodeStatusNeverUpdated',
    message: 'Kubelet never posted node status.',
  }));
  const isSame = never.length === 0 && next.every((condition, index) => condition === known[index]);
  return isSame ? known : [...next, ...never];
}
