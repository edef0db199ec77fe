/** Plugins that look at one node alone: NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodePorts. */
import type { Taint } from '../../../gen/kube-core-v1.js';
import { isTolerated, matchesTerm, nodeChoice } from '../../api/node-choice.js';
import type { NodeState } from '../node-state.js';
import type { PodInfo } from '../pod-info.js';
import { normalized, refusal, type Plugin } from './plugin.js';

const UNSCHEDULABLE: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

export const nodeUnschedulable: Plugin = {
  name: 'NodeUnschedulable',
  weight: 0,
  filter: ({ pod }) => {
    const { tolerations = [] } = pod.spec;
    if (isTolerated(UNSCHEDULABLE, tolerations)) return undefined;
    return ({ node }) =>
      node?.spec.unschedulable === true ? refusal(true, 'node(s) were unschedulable') : undefined;
  },
};

export const nodeName: Plugin = {
  name: 'NodeName',
  weight: 0,
  filter: ({ pod }) => {
    const { nodeName: wanted = '' } = pod.spec;
    if (wanted === '') return undefined;
    return ({ name }) =>
      name === wanted ? undefined : refusal(true, "node(s) didn't match the requested node name");
  },
};

export const taintToleration: Plugin = {
  name: 'TaintToleration',
  weight: 3,
  filter: ({ pod }) => {
    const { tolerations = [] } = pod.spec;
    return ({ node }) => {
      const hard = (node?.spec.taints ?? []).filter(({ effect }) => effect !== 'PreferNoSchedule');
      const refused = hard.some((taint) => !isTolerated(taint, tolerations));
      return refused ? refusal(true, 'node(s) had untolerated taint(s)') : undefined;
    };
  },
  score: ({ pod }, fitting) => {
    const { tolerations = [] } = pod.spec;
    const raw = fitting.map(({ node }) => {
      const soft = (node?.spec.taints ?? []).filter(({ effect }) => effect === 'PreferNoSchedule');
      return soft.filter((taint) => !isTolerated(taint, tolerations)).length;
    });
    return normalized(raw, true);
  },
};

export const nodeAffinity: Plugin = {
  name: 'NodeAffinity',
  weight: 2,
  filter: ({ pod }) => {
    const suits = nodeChoice(pod.spec);
    if (suits === undefined) return undefined;
    return ({ node }) => {
      if (node !== undefined && suits(node)) return undefined;
      return refusal(true, "node(s) didn't match Pod's node affinity/selector");
    };
  },
  score: ({ pod }, fitting) => {
    const preferred =
      pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    if (preferred.length === 0) return undefined;
    const raw = fitting.map(({ node }) =>
      preferred
        .filter(({ preference }) => node !== undefined && matchesTerm(preference, node))
        .reduce((sum, { weight }) => sum + weight, 0),
    );
    return normalized(raw, false);
  },
};

export const nodePorts: Plugin = {
  name: 'NodePorts',
  weight: 0,
  filter: ({ hostPorts }: PodInfo) => {
    if (hostPorts.length === 0) return undefined;
    return (node: NodeState) =>
      hostPorts.some((port) => node.isPortTaken(port))
        ? refusal(false, "node(s) didn't have free ports for the requested pod ports")
        : undefined;
  },
};
