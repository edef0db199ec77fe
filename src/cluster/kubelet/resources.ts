/**
 * Resources of pods and containers: what a pod asks for, its quality of service, and the numbers
 * that the kernel gets (k8s.io/kubernetes/pkg/kubelet/cm, pkg/kubelet/qos).
 */
import type { Container, Pod } from '../../gen/kube-core-v1.js';
import { qosClassOf } from '../api/kinds/core/qos.js';
import type { ContainerResources } from '../runtime/runtime.js';
import { quantityValue } from './quantity-value.js';
import { isSidecar } from './pods/pod-spec.js';

type Resources = Readonly<Record<string, number>>;

const CPU_PERIOD_US = 100_000;
const MIN_CPU_QUOTA_US = 1000;
const MIN_CPU_SHARES = 2;
const MAX_CPU_SHARES = 262_144;
const OOM_GUARANTEED = -997;
const OOM_BEST_EFFORT = 1000;

function valuesOf(list: Record<string, string> | undefined): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [name, text] of Object.entries(list ?? {})) values[name] = quantityValue(text);
  return values;
}

function limitsOf(container: Container): Record<string, number> {
  return valuesOf(container.resources?.limits);
}

/** A limit without a request counts as the request. */
function requestsOf(container: Container): Record<string, number> {
  return { ...limitsOf(container), ...valuesOf(container.resources?.requests) };
}

function add(into: Record<string, number>, more: Resources): void {
  for (const [name, value] of Object.entries(more)) into[name] = (into[name] ?? 0) + value;
}

function raise(into: Record<string, number>, floor: Resources): void {
  for (const [name, value] of Object.entries(floor)) {
    into[name] = Math.max(into[name] ?? 0, value);
  }
}

/**
 * Requests of a pod, by resource: its containers together, or more while its init containers run
 * (one at a time, beside the sidecars that began before).
 */
export function podRequests(pod: Pod): Record<string, number> {
  const total: Record<string, number> = {};
  for (const container of pod.spec.containers) add(total, requestsOf(container));
  const sidecars: Record<string, number> = {};
  const peak: Record<string, number> = {};
  for (const container of pod.spec.initContainers ?? []) {
    const during = { ...sidecars };
    add(during, requestsOf(container));
    if (isSidecar(container)) add(sidecars, requestsOf(container));
    raise(peak, during);
  }
  add(total, sidecars);
  raise(total, peak);
  raise(total, valuesOf(pod.spec.resources?.requests));
  add(total, valuesOf(pod.spec.overhead));
  return total;
}

/** Cgroup of a pod below `root`, as in `kubepods/burstable/pod<uid>`. */
export function podCgroup(root: string, pod: Pod): string {
  const qos = qosClassOf(pod.spec);
  const tier = qos === 'Guaranteed' ? '' : `/${qos.toLowerCase()}`;
  return `${root}${tier}/pod${pod.metadata.uid ?? ''}`;
}

export interface NodeLimits {
  readonly memoryCapacityBytes: number;
  readonly minOomScoreAdj: number;
}

export function containerResources(
  pod: Pod,
  container: Container,
  node: NodeLimits,
): ContainerResources {
  const requests = requestsOf(container);
  const limits = limitsOf(container);
  return {
    cpuShares: cpuShares(requests['cpu'] ?? 0),
    cpuQuotaUs: cpuQuota(limits['cpu'] ?? 0),
    cpuPeriodUs: CPU_PERIOD_US,
    memoryLimitBytes: Math.floor(limits['memory'] ?? 0),
    oomScoreAdj: Math.max(node.minOomScoreAdj, oomScoreAdj(pod, requests['memory'] ?? 0, node)),
  };
}

function cpuShares(cpus: number): number {
  const shares = Math.floor(cpus * 1024);
  return Math.min(MAX_CPU_SHARES, Math.max(MIN_CPU_SHARES, shares));
}

function cpuQuota(cpus: number): number {
  if (cpus === 0) return 0;
  return Math.max(MIN_CPU_QUOTA_US, Math.floor(cpus * CPU_PERIOD_US));
}

function oomScoreAdj(pod: Pod, memoryRequest: number, node: NodeLimits): number {
  const qos = qosClassOf(pod.spec);
  if (qos === 'Guaranteed') return OOM_GUARANTEED;
  if (qos === 'BestEffort') return OOM_BEST_EFFORT;
  const score = Math.floor(1000 - (1000 * memoryRequest) / node.memoryCapacityBytes);
  // Between the two other classes, whatever is asked for.
  return Math.min(999, Math.max(3, score));
}
