/** `/metrics` and `/metrics/resource`: names as the kubelet of Kubernetes gives them. */
import type { Family, Samples } from '../../../base/observe/exposition.js';
import { exposition, labelText } from '../../../base/observe/exposition.js';
import type { ContainerStats } from '../../runtime/runtime.js';
import type { NodeView } from './node-view.js';
import type { ContainerUsage, NodeUsage } from './stats.js';

const NS = 1e9;

export interface KubeletFacts {
  readonly nodeName: string;
  readonly version: string;
  readonly view: NodeView;
}

const KUBELET_FAMILIES: readonly Family<KubeletFacts>[] = [
  {
    name: 'kubelet_node_name',
    type: 'gauge',
    help: 'The name of the node. The count is always 1.',
    write: (out, { nodeName }) => out.sample(labelText({ node: nodeName }), 1),
  },
  {
    name: 'kubelet_running_pods',
    type: 'gauge',
    help: 'Pods that have a sandbox that runs.',
    write: (out, { view }) => {
      const views = [...view.views.values()];
      const running = views.filter(({ sandboxes }) => sandboxes.some(({ isReady }) => isReady));
      out.sample('', running.length);
    },
  },
  {
    name: 'kubelet_running_containers',
    type: 'gauge',
    help: 'Containers by state.',
    write: (out, { view }) => {
      const all = [...view.views.values()].flatMap(({ containers }) => containers);
      for (const state of ['created', 'running', 'exited', 'unknown']) {
        const count = all.filter((one) => one.state === state).length;
        out.sample(labelText({ container_state: state }), count);
      }
    },
  },
  {
    name: 'kubernetes_build_info',
    type: 'gauge',
    help: 'The version of Kubernetes that this kubelet speaks. The count is always 1.',
    write: (out, { version }) => out.sample(labelText({ git_version: version }), 1),
  },
];

export function kubeletMetrics(facts: KubeletFacts): string {
  return exposition(KUBELET_FAMILIES, facts);
}

function perContainer(value: (one: ContainerUsage) => number) {
  return (out: Samples, { pods }: NodeUsage): void => {
    for (const { view, containers } of pods) {
      const { namespace, name: pod } = view;
      for (const one of containers) {
        out.sample(labelText({ container: one.status.name, namespace, pod }), value(one));
      }
    }
  };
}

function perPod(value: (one: ContainerStats) => number) {
  return (out: Samples, { pods }: NodeUsage): void => {
    for (const { view, containers } of pods) {
      const total = containers.reduce((sum, { stats }) => sum + value(stats), 0);
      out.sample(labelText({ namespace: view.namespace, pod: view.name }), total);
    }
  };
}

const RESOURCE_FAMILIES: readonly Family<NodeUsage>[] = [
  {
    name: 'container_cpu_usage_seconds_total',
    type: 'counter',
    help: 'CPU time of the container in seconds.',
    write: perContainer(({ stats }) => stats.cpuUsageNs / NS),
  },
  {
    name: 'container_memory_working_set_bytes',
    type: 'gauge',
    help: 'Working set of the container in bytes.',
    write: perContainer(({ stats }) => stats.memoryWorkingSetBytes),
  },
  {
    name: 'container_start_time_seconds',
    type: 'gauge',
    help: 'Start of the container in seconds since the epoch.',
    write: perContainer(({ status }) => status.startedAtMs / 1000),
  },
  {
    name: 'node_cpu_usage_seconds_total',
    type: 'counter',
    help: 'CPU time of the node in seconds.',
    write: (out, { host }) => out.sample('', host.cpuNs / NS),
  },
  {
    name: 'node_memory_working_set_bytes',
    type: 'gauge',
    help: 'Working set of the node in bytes.',
    write: (out, { host }) => out.sample('', host.memoryWorkingSetBytes),
  },
  {
    name: 'pod_cpu_usage_seconds_total',
    type: 'counter',
    help: 'CPU time of the pod in seconds.',
    write: perPod(({ cpuUsageNs }) => cpuUsageNs / NS),
  },
  {
    name: 'pod_memory_working_set_bytes',
    type: 'gauge',
    help: 'Working set of the pod in bytes.',
    write: perPod(({ memoryWorkingSetBytes }) => memoryWorkingSetBytes),
  },
  {
    name: 'resource_scrape_error',
    type: 'gauge',
    help: '1 if measuring failed, 0 otherwise.',
    write: (out) => out.sample('', 0),
  },
];

export function resourceMetrics(usage: NodeUsage): string {
  return exposition(RESOURCE_FAMILIES, usage);
}
