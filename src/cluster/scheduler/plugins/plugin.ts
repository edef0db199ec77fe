/**
 * A part of the decision where a pod runs. Names, order, weights and reasons are those of the
 * default profile of kube-scheduler (pkg/scheduler/apis/config/v1/default_plugins.go).
 */
import type { Labels } from '../../api/selector.js';
import type { NodeState } from '../node-state.js';
import type { PodInfo } from '../pod-info.js';

/** The cluster as a decision sees it. */
export interface Cluster {
  readonly nodes: readonly NodeState[];
  /** Labels of a namespace; none when it is not known. */
  readonly namespaceLabels: (namespace: string) => Labels;
}

/** Reasons for which a node does not fit. */
export interface Refusal {
  readonly reasons: readonly string[];
  /** Removing pods of the node would not help. */
  readonly isFinal: boolean;
}

export interface Plugin {
  readonly name: string;
  /** Prepares the filter for one pod; undefined when the plugin has nothing to say about it. */
  readonly filter?: (
    pod: PodInfo,
    cluster: Cluster,
  ) => ((node: NodeState) => Refusal | undefined) | undefined;
  /** Weight of the score; 0 without one. */
  readonly weight: number;
  /** Scores of the nodes that fit, 0 to 100 each, in their order; undefined when all are equal. */
  readonly score?: (
    pod: PodInfo,
    fitting: readonly NodeState[],
    cluster: Cluster,
  ) => readonly number[] | undefined;
}

export const MAX_SCORE = 100;

/** Raw scores on the scale 0 to 100, the highest being 100; reversed, the lowest. */
export function normalized(raw: readonly number[], isReversed: boolean): number[] {
  const highest = Math.max(0, ...raw);
  if (highest === 0) return raw.map(() => (isReversed ? MAX_SCORE : 0));
  return raw.map((score) => {
    const scaled = Math.floor((MAX_SCORE * score) / highest);
    return isReversed ? MAX_SCORE - scaled : scaled;
  });
}

export function refusal(isFinal: boolean, ...reasons: string[]): Refusal {
  return { reasons, isFinal };
}
