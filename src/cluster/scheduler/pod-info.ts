/** Facts of a pod that the scheduler needs again and again, computed once. */
import type { Container, Pod, PodAffinityTerm } from '../../gen/kube-core-v1.js';
import { hostPortsOf, type HostPort } from '../api/host-ports.js';
import { milli, parseQuantity, value } from '../api/quantity.js';
import { labelSelectorMatcher, type LabelMatcher, type Labels } from '../api/selector.js';

/** Amounts by resource name: cpu in thousandths, everything else in units. */
export type Resources = Map<string, number>;

export interface AffinityTerm {
  readonly topologyKey: string;
  /** Namespaces by name, beside those whose labels match. */
  readonly namespaces: ReadonlySet<string>;
  readonly matchesNamespace: LabelMatcher;
  readonly matches: LabelMatcher;
  /** 0 for a required term. */
  readonly weight: number;
}

export interface PodInfo {
  readonly pod: Pod;
  readonly key: string;
  readonly uid: string;
  readonly requests: Resources;
  /** For scores: a pod that asks for nothing still needs something. */
  readonly assumedCpu: number;
  readonly assumedMemory: number;
  readonly hostPorts: readonly HostPort[];
  readonly affinity: readonly AffinityTerm[];
  readonly antiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly AffinityTerm[];
  readonly preferredAntiAffinity: readonly AffinityTerm[];
}

/** Of containers without requests (k8s.io/kubernetes/pkg/scheduler/util, non_zero.go). */
const ASSUMED_CPU_MILLI = 100;
const ASSUMED_MEMORY_BYTES = 200 << 20;

export function podInfoOf(pod: Pod): PodInfo {
  const { metadata, spec } = pod;
  const namespace = metadata.namespace ?? '';
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {};
  const required = (terms: readonly PodAffinityTerm[] | undefined): AffinityTerm[] =>
    (terms ?? []).map((term) => termOf(term, namespace, 0));
  const preferred = (
    terms:
      readonly { readonly podAffinityTerm: PodAffinityTerm; readonly weight: number }[] | undefined,
  ): AffinityTerm[] =>
    (terms ?? []).map(({ podAffinityTerm, weight }) => termOf(podAffinityTerm, namespace, weight));
  return {
    pod,
    key: `${namespace}/${metadata.name ?? ''}`,
    uid: metadata.uid ?? '',
    requests: requestsOf(pod, (container) => requestsOfContainer(container)),
    assumedCpu: amount(pod, 'cpu', ASSUMED_CPU_MILLI),
    assumedMemory: amount(pod, 'memory', ASSUMED_MEMORY_BYTES),
    hostPorts: hostPortsOf(spec),
    affinity: required(podAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    antiAffinity: required(podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    preferredAffinity: preferred(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
    preferredAntiAffinity: preferred(
      podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution,
    ),
  };
}

/** A quantity of a resource as a number: cpu in thousandths, rounded up. */
export function amountOf(name: string, text: string): number {
  const quantity = parseQuantity(text);
  return name === 'cpu' ? milli(quantity) : value(quantity);
}

function amount(pod: Pod, name: string, assumed: number): number {
  const of = (container: Container): Resources => {
    const text = container.resources?.requests?.[name];
    return new Map([[name, text === undefined ? assumed : amountOf(name, text)]]);
  };
  return requestsOf(pod, of).get(name) ?? 0;
}

function requestsOfContainer({ resources }: Container): Resources {
  const entries = Object.entries(resources?.requests ?? {});
  return new Map(entries.map(([name, text]) => [name, amountOf(name, text)]));
}

/**
 * Needs of a pod at its worst moment: its containers together with its sidecars, or one init
 * container with the sidecars that started before it (KEP-753), and overhead on top.
 */
function requestsOf({ spec }: Pod, of: (container: Container) => Resources): Resources {
  const total: Resources = new Map();
  for (const container of spec.containers) add(total, of(container));
  const sidecars: Resources = new Map();
  const worst: Resources = new Map();
  for (const container of spec.initContainers ?? []) {
    const own = of(container);
    if (container.restartPolicy === 'Always') {
      add(sidecars, own);
      raise(worst, sidecars);
    } else {
      const now = new Map(sidecars);
      add(now, own);
      raise(worst, now);
    }
  }
  add(total, sidecars);
  raise(total, worst);
  // Requests of the pod as a whole stand for the sum (KEP-2837).
  for (const [name, text] of Object.entries(spec.resources?.requests ?? {})) {
    total.set(name, amountOf(name, text));
  }
  const overhead = Object.entries(spec.overhead ?? {});
  add(total, new Map(overhead.map(([name, text]) => [name, amountOf(name, text)])));
  return total;
}

function add(to: Resources, more: Resources): void {
  for (const [name, value_] of more) to.set(name, (to.get(name) ?? 0) + value_);
}

function raise(to: Resources, other: Resources): void {
  for (const [name, value_] of other) to.set(name, Math.max(to.get(name) ?? 0, value_));
}

/** Without a list and a selector of namespaces, a term is about the pod's own namespace. */
function termOf(term: PodAffinityTerm, namespace: string, weight: number): AffinityTerm {
  const { namespaces = [], namespaceSelector, labelSelector, topologyKey } = term;
  const isOwn = namespaces.length === 0 && namespaceSelector === undefined;
  return {
    topologyKey,
    namespaces: new Set(isOwn ? [namespace] : namespaces),
    matchesNamespace: labelSelectorMatcher(namespaceSelector),
    matches: labelSelectorMatcher(labelSelector),
    weight,
  };
}

/** True when the term is about the pod. `labelsOf` gives the labels of a namespace. */
export function isTermOf(
  term: AffinityTerm,
  { pod }: PodInfo,
  labelsOf: (namespace: string) => Labels,
): boolean {
  const { namespace = '', labels = {} } = pod.metadata;
  if (!term.matches(labels)) return false;
  return term.namespaces.has(namespace) || term.matchesNamespace(labelsOf(namespace));
}
