/** The taints by which a node's conditions keep pods away (KEP-166, KEP-382). */
import type { Node, Taint } from '../../../gen/kube-core-v1.js';
import { formatTime } from '../../api/time.js';
import { conditionIn } from './health.js';

export const NOT_READY = 'node.kubernetes.io/not-ready';
export const UNREACHABLE = 'node.kubernetes.io/unreachable';
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';

/** Condition and status with the taint that follows. */
const BY_CONDITION: readonly (readonly [type: string, status: string, key: string])[] = [
  ['Ready', 'False', NOT_READY],
  ['Ready', 'Unknown', UNREACHABLE],
  ['MemoryPressure', 'True', 'node.kubernetes.io/memory-pressure'],
  ['DiskPressure', 'True', 'node.kubernetes.io/disk-pressure'],
  ['PIDPressure', 'True', 'node.kubernetes.io/pid-pressure'],
  ['NetworkUnavailable', 'True', 'node.kubernetes.io/network-unavailable'],
];

/** Keys of the taints NoSchedule that the node should have, of those that are kept here. */
export function wantedKeys(node: Node): readonly string[] {
  const keys = BY_CONDITION.filter(
    ([type, status]) => conditionIn(node, type)?.status === status,
  ).map(([, , key]) => key);
  return node.spec?.unschedulable === true ? [...keys, UNSCHEDULABLE] : keys;
}

/**
 * The node's taints with these keys of the effect, and no others that are kept here; undefined when
 * it has them so.
 */
export function withTaints(
  node: Node,
  effect: 'NoSchedule' | 'NoExecute',
  keys: readonly string[],
  nowMs: number,
): Taint[] | undefined {
  const known = node.spec?.taints ?? [];
  const kept = effect === 'NoExecute' ? [NOT_READY, UNREACHABLE] : KEPT;
  const lasting = known.filter(
    (taint) => taint.effect !== effect || !kept.includes(taint.key) || keys.includes(taint.key),
  );
  const missing = keys.filter(
    (key) => !lasting.some((taint) => taint.effect === effect && taint.key === key),
  );
  if (missing.length === 0 && lasting.length === known.length) return undefined;
  const timeAdded = formatTime(nowMs);
  return [...lasting, ...missing.map((key) => ({ key, effect, timeAdded }))];
}

const KEPT: readonly string[] = [...BY_CONDITION.map(([, , key]) => key), UNSCHEDULABLE];
