/**
 * Resources that pods use: `/stats/summary` (k8s.io/kubelet/pkg/apis/stats/v1alpha1) and the
 * metrics of resources.
 */
import { formatTime } from '../../api/time.js';
import type { ClusterEnv } from '../../env.js';
import type { ContainerRuntime, ContainerStats, ContainerStatus } from '../../runtime/runtime.js';
import type { Host, HostUsage } from '../node/host-facts.js';
import type { PodView } from '../pods/pod-view.js';
import type { NodeView } from './node-view.js';

/** A rate over less is mostly noise. */
const MIN_WINDOW_MS = 1000;

export interface StatsServices {
  readonly env: ClusterEnv;
  readonly runtime: ContainerRuntime;
  readonly host: Host;
  readonly view: NodeView;
  readonly nodeName: string;
}

export interface ContainerUsage {
  readonly status: ContainerStatus;
  readonly stats: ContainerStats;
  /** Undefined until two samples were taken. */
  readonly nanoCores: number | undefined;
}

export interface PodUsage {
  readonly view: PodView;
  readonly containers: readonly ContainerUsage[];
}

export interface NodeUsage {
  readonly nodeName: string;
  readonly host: HostUsage;
  readonly nanoCores: number | undefined;
  readonly pods: readonly PodUsage[];
  readonly images: { readonly usedBytes: number; readonly inodesUsed: number };
  readonly nowMs: number;
}

interface Sample {
  readonly atMs: number;
  readonly cpuNs: number;
  readonly nanoCores: number | undefined;
}

/** Measures when asked; rates are between one question and the next. */
export class Stats {
  readonly #services: StatsServices;
  #samples = new Map<string, Sample>();

  constructor(services: StatsServices) {
    this.#services = services;
  }

  async usage(): Promise<NodeUsage> {
    const { runtime, host, view, nodeName, env } = this.#services;
    const [all, hostUsage, images] = await Promise.all([
      runtime.containerStats(),
      host.usage(),
      runtime.imageFsUsage(),
    ]);
    const nowMs = env.wallMs();
    const byId = new Map(all.map((stats) => [stats.containerId, stats]));
    const samples = new Map<string, Sample>();
    const rate = (id: string, atMs: number, cpuNs: number): number | undefined => {
      const sample = next(this.#samples.get(id), atMs, cpuNs);
      samples.set(id, sample);
      return sample.nanoCores;
    };
    const pods = [...view.views.values()].map((pod): PodUsage => {
      const containers = pod.containers.flatMap((status) => {
        const stats = byId.get(status.id);
        if (stats === undefined || status.state !== 'running') return [];
        const nanoCores = rate(status.id, stats.timestampMs, stats.cpuUsageNs);
        return [{ status, stats, nanoCores }];
      });
      return { view: pod, containers };
    });
    const nanoCores = rate('', nowMs, hostUsage.cpuNs);
    this.#samples = samples;
    return {
      nodeName,
      host: hostUsage,
      nanoCores,
      pods: pods.filter(({ containers }) => containers.length > 0),
      images,
      nowMs,
    };
  }
}

function next(before: Sample | undefined, atMs: number, cpuNs: number): Sample {
  const windowMs = before === undefined ? 0 : atMs - before.atMs;
  if (before === undefined || cpuNs < before.cpuNs) return { atMs, cpuNs, nanoCores: undefined };
  if (windowMs < MIN_WINDOW_MS) return before;
  return { atMs, cpuNs, nanoCores: Math.round(((cpuNs - before.cpuNs) * 1000) / windowMs) };
}

/** As `/stats/summary` answers. */
export function summaryOf(usage: NodeUsage): unknown {
  const { host, nowMs } = usage;
  const time = formatTime(nowMs);
  const fs = {
    time,
    availableBytes: host.diskAvailableBytes,
    capacityBytes: host.diskAvailableBytes + host.diskUsedBytes,
    usedBytes: host.diskUsedBytes,
  };
  const { usedBytes, inodesUsed } = usage.images;
  return {
    node: {
      nodeName: usage.nodeName,
      cpu: cpuOf(time, usage.nanoCores, host.cpuNs),
      memory: { time, workingSetBytes: host.memoryWorkingSetBytes },
      fs,
      runtime: { imageFs: { ...fs, usedBytes, inodesUsed } },
    },
    pods: usage.pods.map(podSummary),
  };
}

function cpuOf(time: string, nanoCores: number | undefined, totalNs: number): object {
  const rate = nanoCores === undefined ? {} : { usageNanoCores: nanoCores };
  return { time, ...rate, usageCoreNanoSeconds: totalNs };
}

function podSummary({ view, containers }: PodUsage): unknown {
  const { name, namespace, uid } = view;
  const latest = Math.max(...containers.map(({ stats }) => stats.timestampMs));
  const time = formatTime(latest);
  const sum = (value: (one: ContainerStats) => number): number =>
    containers.reduce((total, { stats }) => total + value(stats), 0);
  const rates = containers.map(({ nanoCores }) => nanoCores);
  const rate = rates.includes(undefined)
    ? undefined
    : rates.reduce<number>((total, one) => total + (one ?? 0), 0);
  return {
    podRef: { name, namespace, uid },
    startTime: formatTime(view.sandboxes[0]?.createdAtMs ?? latest),
    containers: containers.map(containerSummary),
    cpu: cpuOf(
      time,
      rate,
      sum(({ cpuUsageNs }) => cpuUsageNs),
    ),
    memory: {
      time,
      usageBytes: sum(({ memoryUsageBytes }) => memoryUsageBytes),
      workingSetBytes: sum(({ memoryWorkingSetBytes }) => memoryWorkingSetBytes),
    },
  };
}

function containerSummary({ status, stats, nanoCores }: ContainerUsage): unknown {
  const time = formatTime(stats.timestampMs);
  return {
    name: status.name,
    startTime: formatTime(status.startedAtMs),
    cpu: cpuOf(time, nanoCores, stats.cpuUsageNs),
    memory: {
      time,
      usageBytes: stats.memoryUsageBytes,
      workingSetBytes: stats.memoryWorkingSetBytes,
    },
  };
}
