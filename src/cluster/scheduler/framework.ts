/** The decision for one pod: which nodes fit, which of them is best, or why none does. */
import { randomFraction, type ClusterEnv } from '../env.js';
import type { NodeState } from './node-state.js';
import type { PodInfo } from './pod-info.js';
import { interPodAffinity } from './plugins/inter-pod-affinity.js';
import {
  nodeAffinity,
  nodeName,
  nodePorts,
  nodeUnschedulable,
  taintToleration,
} from './plugins/node-plugins.js';
import type { Cluster, Plugin, Refusal } from './plugins/plugin.js';
import { balancedAllocation, nodeResourcesFit } from './plugins/resource-plugins.js';
import { podTopologySpread } from './plugins/spread-plugin.js';

/** In the order in which they are asked; the first that refuses a node gives the reason. */
const PLUGINS: readonly Plugin[] = [
  nodeUnschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  nodeResourcesFit,
  podTopologySpread,
  interPodAffinity,
  balancedAllocation,
];

/** All nodes are looked at up to this number; of more, a share, but at least this many (kube-scheduler). */
const ALL_NODES_BELOW = 100;
const LEAST_SHARE = 5;

export type Decision = { readonly nodeName: string } | { readonly failure: string };

export class Framework {
  private readonly env: ClusterEnv;
  /** Index of the node at which the next pod begins to look, so that all nodes get their turn. */
  private start = 0;

  constructor(env: ClusterEnv) {
    this.env = env;
  }

  decide(pod: PodInfo, cluster: Cluster): Decision {
    const { nodes } = cluster;
    if (nodes.length === 0) return { failure: 'no nodes available to schedule pods' };
    const missing = missingClaim(pod);
    if (missing !== undefined)
      return { failure: unavailable(nodes.length, [missing], 'not found') };
    const refusals: Refusal[] = [];
    const fitting = this.filter(pod, cluster, refusals);
    if (fitting.length === 0) return { failure: failureText(pod, nodes.length, refusals) };
    return { nodeName: this.best(pod, fitting, cluster).name };
  }

  private filter(pod: PodInfo, cluster: Cluster, refusals: Refusal[]): NodeState[] {
    const { nodes } = cluster;
    const filters = PLUGINS.map(({ filter }) => filter?.(pod, cluster)).filter(
      (filter) => filter !== undefined,
    );
    const enough = feasibleEnough(nodes.length);
    const fitting: NodeState[] = [];
    let looked = 0;
    while (looked < nodes.length && fitting.length < enough) {
      const node = nodes[(this.start + looked++) % nodes.length];
      if (node === undefined) continue;
      let refused: Refusal | undefined;
      for (const filter of filters) {
        refused = filter(node);
        if (refused !== undefined) break;
      }
      if (refused === undefined) fitting.push(node);
      else refusals.push(refused);
    }
    this.start = (this.start + looked) % nodes.length;
    return fitting;
  }

  /** The node with the highest sum of weighted scores; one by chance among equals. */
  private best(pod: PodInfo, fitting: readonly NodeState[], cluster: Cluster): NodeState {
    const totals = fitting.map(() => 0);
    for (const { score, weight } of fitting.length > 1 ? PLUGINS : []) {
      const scores = score?.(pod, fitting, cluster);
      scores?.forEach((value, i) => (totals[i] = (totals[i] ?? 0) + value * weight));
    }
    const highest = Math.max(...totals);
    const candidates = fitting.filter((_, i) => totals[i] === highest);
    const chosen = candidates[Math.floor(randomFraction(this.env) * candidates.length)];
    if (chosen === undefined) throw new Error('a node was chosen among none');
    return chosen;
  }
}

function feasibleEnough(count: number): number {
  if (count < ALL_NODES_BELOW) return count;
  const share = Math.max(LEAST_SHARE, 50 - Math.floor(count / 125));
  return Math.max(ALL_NODES_BELOW, Math.floor((count * share) / 100));
}

/** Claims are no kind of this server, so that none exists. */
function missingClaim({ pod }: PodInfo): string | undefined {
  for (const { persistentVolumeClaim } of pod.spec.volumes ?? []) {
    const name = persistentVolumeClaim?.claimName;
    if (name !== undefined) return `persistentvolumeclaim ${JSON.stringify(name)} not found`;
  }
  return undefined;
}

/** In the words of kube-scheduler, which users and tools look for. */
function failureText(pod: PodInfo, count: number, refusals: readonly Refusal[]): string {
  const reasons = histogram(refusals.flatMap(({ reasons: own }) => own));
  return unavailable(
    count,
    reasons,
    `no new claims to deallocate, ${preemption(pod, count, refusals)}`,
  );
}

/** Nobody is preempted; the text says so as for a cluster in which preemption finds no victim. */
function preemption({ pod }: PodInfo, count: number, refusals: readonly Refusal[]): string {
  if (pod.spec.preemptionPolicy === 'Never') {
    return 'preemption: not eligible due to preemptionPolicy=Never.';
  }
  const texts = refusals.map(({ isFinal }) =>
    isFinal
      ? 'Preemption is not helpful for scheduling'
      : 'No preemption victims found for incoming pod',
  );
  return `preemption: 0/${count} nodes are available: ${histogram(texts).join(', ')}.`;
}

function unavailable(count: number, reasons: readonly string[], rest: string): string {
  return `0/${count} nodes are available: ${reasons.join(', ')}. ${rest}`;
}

function histogram(texts: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].map(([text, count]) => `${count} ${text}`).sort();
}
