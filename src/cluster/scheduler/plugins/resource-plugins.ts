/** Plugins about amounts: NodeResourcesFit with the least-allocated score, NodeResourcesBalancedAllocation. */
import type { NodeState } from '../node-state.js';
import type { PodInfo } from '../pod-info.js';
import { MAX_SCORE, refusal, type Plugin, type Refusal } from './plugin.js';

const FEW_PODS = 110;

export const nodeResourcesFit: Plugin = {
  name: 'NodeResourcesFit',
  weight: 1,
  filter: (pod) => (node) => fitRefusal(pod, node),
  score: (pod, fitting) => fitting.map((node) => leastAllocated(pod, node)),
};

function fitRefusal(pod: PodInfo, node: NodeState): Refusal | undefined {
  const reasons: string[] = [];
  let isFinal = false;
  if (node.pods.size + 1 > (node.allocatable.get('pods') ?? FEW_PODS))
    reasons.push('Too many pods');
  for (const [name, wanted] of pod.requests) {
    if (wanted === 0) continue;
    const total = node.allocatable.get(name) ?? 0;
    if (wanted <= total - (node.requested.get(name) ?? 0)) continue;
    reasons.push(`Insufficient ${name}`);
    if (wanted > total) isFinal = true;
  }
  return reasons.length === 0 ? undefined : refusal(isFinal, ...reasons);
}

/** The mean share of cpu and memory that stays free. */
function leastAllocated(pod: PodInfo, node: NodeState): number {
  const shares = [
    freeShare(node.allocatable.get('cpu') ?? 0, node.assumedCpu + pod.assumedCpu),
    freeShare(node.allocatable.get('memory') ?? 0, node.assumedMemory + pod.assumedMemory),
  ].filter((share) => share !== undefined);
  if (shares.length === 0) return 0;
  return Math.floor(shares.reduce((sum, share) => sum + share, 0) / shares.length);
}

function freeShare(total: number, used: number): number | undefined {
  if (total === 0) return undefined;
  return used > total ? 0 : Math.floor(((total - used) * MAX_SCORE) / total);
}

export const balancedAllocation: Plugin = {
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  score: (pod, fitting) => {
    // A pod that asks for nothing changes no balance.
    if (pod.requests.size === 0) return undefined;
    return fitting.map((node) => balance(pod, node));
  },
};

function balance(pod: PodInfo, node: NodeState): number {
  const cpu = usedShare('cpu', pod, node);
  const memory = usedShare('memory', pod, node);
  return Math.floor((1 - Math.abs(cpu - memory) / 2) * MAX_SCORE);
}

function usedShare(name: string, pod: PodInfo, node: NodeState): number {
  const total = node.allocatable.get(name) ?? 0;
  if (total === 0) return 1;
  const used = (node.requested.get(name) ?? 0) + (pod.requests.get(name) ?? 0);
  return Math.min(1, used / total);
}
