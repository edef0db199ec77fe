/**
 * Small admissions: how long pods tolerate a node that went away, their priority and runtime class,
 * and the taint with which a node begins (DefaultTolerationSeconds, Priority, RuntimeClass,
 * TaintNodesByCondition).
 */
import type { Node, Pod, Toleration } from '../../../gen/kube-core-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import { forbidden } from '../../api/status.js';
import type { AdmissionPlugin } from './admission.js';

const TOLERATION_SECONDS = 300;
const NODE_TAINTS = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'] as const;
const [NOT_READY] = NODE_TAINTS;

export function defaultTolerationSeconds(pods: Kind): AdmissionPlugin {
  return {
    name: 'DefaultTolerationSeconds',
    mutate({ operation, kind, subresource, object }) {
      if (operation === 'DELETE' || kind !== pods || subresource !== '') return;
      const { spec } = object as Pod;
      const tolerations = spec.tolerations ?? [];
      const missing = NODE_TAINTS.filter((taint) => !tolerations.some((one) => covers(one, taint)));
      if (missing.length === 0) return;
      spec.tolerations = [
        ...tolerations,
        ...missing.map((key) => ({
          key,
          operator: 'Exists',
          effect: 'NoExecute',
          tolerationSeconds: TOLERATION_SECONDS,
        })),
      ];
    },
  };
}

function covers({ key = '', effect = '' }: Toleration, taint: string): boolean {
  return (key === taint || key === '') && (effect === 'NoExecute' || effect === '');
}

/** No RuntimeClass is there to be named. */
export function runtimeClass(pods: Kind): AdmissionPlugin {
  return {
    name: 'RuntimeClass',
    mutate({ operation, kind, subresource, name, object }) {
      if (operation !== 'CREATE' || kind !== pods || subresource !== '') return;
      const { runtimeClassName } = (object as Pod).spec;
      if (runtimeClassName === undefined) return;
      const why = `pod rejected: RuntimeClass ${JSON.stringify(runtimeClassName)} not found`;
      throw forbidden(pods, name, why);
    },
  };
}

/** Classes that exist in every cluster; others come with the kind PriorityClass. */
const PRIORITY_CLASSES: ReadonlyMap<string, number> = new Map([
  ['system-cluster-critical', 2_000_000_000],
  ['system-node-critical', 2_000_001_000],
]);
const PREEMPTION = 'PreemptLowerPriority';

export function priority(pods: Kind): AdmissionPlugin {
  return {
    name: 'Priority',
    mutate({ operation, kind, subresource, name, object }) {
      if (operation !== 'CREATE' || kind !== pods || subresource !== '') return;
      const { spec } = object as Pod;
      const className = spec.priorityClassName ?? '';
      const value = className === '' ? 0 : PRIORITY_CLASSES.get(className);
      if (value === undefined) {
        throw forbidden(pods, name, `no PriorityClass with name ${className} was found`);
      }
      const computed = 'priority admission controller computed';
      if (spec.priority !== undefined && spec.priority !== value) {
        throw forbidden(
          pods,
          name,
          `the integer value of priority (${spec.priority}) must not be provided in pod spec; ${computed} ${value} from the given PriorityClass name`,
        );
      }
      spec.priority = value;
      spec.preemptionPolicy ??= PREEMPTION;
      if (spec.preemptionPolicy !== PREEMPTION) {
        throw forbidden(
          pods,
          name,
          `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; ${computed} ${PREEMPTION} from the given PriorityClass name`,
        );
      }
    },
  };
}

export function taintNewNodes(nodes: Kind): AdmissionPlugin {
  return {
    name: 'TaintNodesByCondition',
    mutate({ operation, kind, subresource, object }) {
      if (operation !== 'CREATE' || kind !== nodes || subresource !== '') return;
      const { spec } = object as Node;
      const taints = spec.taints ?? [];
      if (taints.some(({ key, effect }) => key === NOT_READY && effect === 'NoSchedule')) return;
      spec.taints = [...taints, { key: NOT_READY, effect: 'NoSchedule' }];
    },
  };
}
