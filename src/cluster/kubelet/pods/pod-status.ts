/** The status of a pod as a whole: phase, conditions, addresses. Pure. */
import type {
  ContainerStatus as ApiContainerStatus,
  Pod,
  PodCondition,
  PodStatus,
} from '../../../gen/kube-core-v1.js';
import { qosClassOf } from '../../api/kinds/core/qos.js';
import type { ContainerStatuses, StatusInput } from './container-statuses.js';
import { containerStatuses } from './container-statuses.js';
import { formatTime } from '../../api/time.js';
import { isSidecar, isTerminalPhase, restartsAfter, usesHostNetwork } from './pod-spec.js';
import { readySandbox, runningContainers } from './pod-view.js';

export interface PodStatusInput extends StatusInput {
  readonly nodeIps: readonly string[];
  readonly nowMs: number;
  /** The node ended or refused the pod, as `Evicted`, `OutOfcpu` or `DeadlineExceeded`. */
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
}

export interface PodStatusResult {
  readonly status: PodStatus;
  /** Nothing of the pod will start any more; sidecars may still run. */
  readonly isOver: boolean;
}

export function podStatus(input: PodStatusInput): PodStatusResult {
  const { pod, failure } = input;
  const statuses = containerStatuses(input);
  const outcome = outcomeOf(input, statuses);
  const phase = phaseOf(input, statuses, outcome);
  const old = pod.status ?? {};
  const ips = addressesOf(input);
  const [hostIp = ''] = input.nodeIps;
  const reason = failure?.reason ?? old.reason;
  const message = failure?.message ?? old.message;
  const [podIp] = ips;
  const { generation } = pod.metadata;
  const status: PodStatus = {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    phase,
    conditions: conditionsOf(input, statuses, phase),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    hostIP: hostIp,
    hostIPs: input.nodeIps.map((ip) => ({ ip })),
    ...(podIp === undefined ? {} : { podIP: podIp, podIPs: ips.map((ip) => ({ ip })) }),
    startTime: old.startTime ?? formatTime(input.nowMs),
    qosClass: old.qosClass ?? qosClassOf(pod.spec),
  };
  if (statuses.init.length > 0) status.initContainerStatuses = statuses.init;
  status.containerStatuses = statuses.main;
  if (statuses.ephemeral.length > 0) status.ephemeralContainerStatuses = statuses.ephemeral;
  return { status, isOver: isTerminalPhase(outcome) };
}

/** A status of a pod that the node refuses: nothing of it ever ran here. */
export function refusedStatus(input: PodStatusInput): PodStatus {
  const { pod, failure } = input;
  const { generation } = pod.metadata;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    phase: 'Failed',
    conditions: pod.status?.conditions ?? [],
    reason: failure?.reason ?? '',
    message: failure?.message ?? '',
    startTime: pod.status?.startTime ?? formatTime(input.nowMs),
    qosClass: pod.status?.qosClass ?? qosClassOf(pod.spec),
  };
}

function addressesOf({ pod, view, nodeIps }: PodStatusInput): readonly string[] {
  if (usesHostNetwork(pod)) return view.sandboxes.length > 0 ? nodeIps : [];
  const ips = view.sandboxes[0]?.ips ?? [];
  // Addresses stay in the status of a pod whose network is gone.
  return ips.length > 0 ? ips : (pod.status?.podIPs ?? []).map(({ ip }) => ip);
}

/** A pod whose end is decided shows it when its last container has ended. */
function phaseOf(input: PodStatusInput, statuses: ContainerStatuses, outcome: string): string {
  const isAlive = runningContainers(input.view).length > 0;
  if (!isTerminalPhase(outcome) || !isAlive) return outcome;
  return hasBegun(statuses.main) ? 'Running' : 'Pending';
}

function outcomeOf(input: PodStatusInput, statuses: ContainerStatuses): string {
  const old = input.pod.status?.phase;
  // Nothing leads back from an end.
  return old !== undefined && isTerminalPhase(old) ? old : plainPhase(input, statuses);
}

function plainPhase(input: PodStatusInput, { init, main }: ContainerStatuses): string {
  if (input.failure !== undefined) return 'Failed';
  const { pod, isEnding } = input;
  const initSpecs = pod.spec.initContainers ?? [];
  for (const [index, container] of initSpecs.entries()) {
    const { state, lastState } = init[index] ?? {};
    if (isSidecar(container)) continue;
    const code = state?.terminated?.exitCode;
    const isFailed = code !== undefined && code !== 0;
    const isFinal = pod.spec.restartPolicy === 'Never' || isEnding;
    if (isFailed && isFinal) return 'Failed';
    if (code !== 0 && !hasBegun(main)) {
      return isEnding && lastState?.terminated === undefined && hasBegun(init)
        ? 'Failed'
        : 'Pending';
    }
  }
  if (!hasBegun(main)) return isEnding ? 'Failed' : 'Pending';
  if (main.some(({ state }) => state?.running !== undefined)) return 'Running';
  const ends = main.map(({ state, lastState }) => state?.terminated ?? lastState?.terminated);
  if (ends.some((end) => end === undefined)) return isEnding ? 'Failed' : 'Pending';
  const isOver =
    isEnding ||
    pod.spec.containers.every((container, index) => {
      const end = main[index]?.state?.terminated;
      return end !== undefined && !restartsAfter(pod, container, end.exitCode);
    });
  if (!isOver) return 'Running';
  return ends.every((end) => end?.exitCode === 0) ? 'Succeeded' : 'Failed';
}

/** True once any of them ran. */
function hasBegun(statuses: readonly ApiContainerStatus[]): boolean {
  return statuses.some(
    ({ state, lastState }) =>
      state?.running !== undefined ||
      state?.terminated !== undefined ||
      lastState?.terminated !== undefined,
  );
}

interface Verdict {
  readonly isTrue: boolean;
  readonly reason?: string;
  readonly message?: string;
}

const YES: Verdict = { isTrue: true };

function conditionsOf(
  input: PodStatusInput,
  statuses: ContainerStatuses,
  phase: string,
): PodCondition[] {
  const { pod, view } = input;
  const hasSandbox = readySandbox(view) !== undefined;
  const hasNetwork = usesHostNetwork(pod) || (view.sandboxes[0]?.ips.length ?? 0) > 0;
  const containers = containersReady(pod, statuses, phase);
  const verdicts: [string, Verdict][] = [
    ['PodReadyToStartContainers', { isTrue: hasSandbox && hasNetwork }],
    ['Initialized', initialized(pod, statuses, phase)],
    ['Ready', ready(pod, containers)],
    ['ContainersReady', containers],
    ['PodScheduled', YES],
  ];
  const old = pod.status?.conditions ?? [];
  const own = verdicts.map(([type, verdict]) => conditionOf(input, type, verdict));
  const others = old.filter(({ type }) => !verdicts.some(([name]) => name === type));
  return [...own, ...others];
}

function conditionOf(input: PodStatusInput, type: string, verdict: Verdict): PodCondition {
  const { metadata, status: podState } = input.pod;
  const status = verdict.isTrue ? 'True' : 'False';
  const old = podState?.conditions?.find((one) => one.type === type);
  const isSame = old?.status === status && old.lastTransitionTime !== undefined;
  const { generation } = metadata;
  return {
    type,
    status,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    lastTransitionTime: isSame ? old.lastTransitionTime : formatTime(input.nowMs),
    ...(verdict.reason === undefined ? {} : { reason: verdict.reason }),
    ...(verdict.message === undefined ? {} : { message: verdict.message }),
  };
}

function initialized(pod: Pod, { init, main }: ContainerStatuses, phase: string): Verdict {
  if (phase === 'Succeeded') return { isTrue: true, reason: 'PodCompleted' };
  const specs = pod.spec.initContainers ?? [];
  const incomplete = specs.filter((container, index) => {
    const status = init[index];
    return isSidecar(container) ? status?.started !== true : status?.ready !== true;
  });
  // Sidecars that restart later do not make a pod uninitialized again.
  const isPast = hasBegun(main);
  if (incomplete.length === 0 || (isPast && incomplete.every(isSidecar))) return YES;
  const names = incomplete.map(({ name }) => name).join(' ');
  return {
    isTrue: false,
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${names}]`,
  };
}

function containersReady(pod: Pod, statuses: ContainerStatuses, phase: string): Verdict {
  if (phase === 'Succeeded') return { isTrue: false, reason: 'PodCompleted' };
  if (phase === 'Failed') return { isTrue: false, reason: 'PodFailed' };
  const sidecars = statuses.init.filter((_, index) => {
    const container = pod.spec.initContainers?.[index];
    return container !== undefined && isSidecar(container);
  });
  const unready = [...sidecars, ...statuses.main].filter((status) => !status.ready);
  if (unready.length === 0) return YES;
  const names = unready.map(({ name }) => name).join(' ');
  const message = `containers with unready status: [${names}]`;
  return { isTrue: false, reason: 'ContainersNotReady', message };
}

function ready(pod: Pod, containers: Verdict): Verdict {
  if (!containers.isTrue) return containers;
  const messages = (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const gate = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (gate === undefined) {
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    }
    if (gate.status === 'True') return [];
    return [
      `the status of pod readiness gate "${conditionType}" is not "True", but ${gate.status}`,
    ];
  });
  if (messages.length === 0) return YES;
  return { isTrue: false, reason: 'ReadinessGatesNotReady', message: messages.join(', ') };
}
