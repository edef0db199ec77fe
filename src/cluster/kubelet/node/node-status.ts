/** The Node object of this machine. Pure. */
import type {
  ContainerImage,
  Node,
  NodeAddress,
  NodeCondition,
  NodeStatus,
  NodeSystemInfo,
} from '../../../gen/kube-core-v1.js';
import type { Image, RuntimeStatus, RuntimeVersion } from '../../runtime/runtime.js';
import type { KubeletConfig } from '../config.js';
import { formatTime } from '../../api/time.js';
import { quantityValue } from '../quantity-value.js';
import type { HostFacts, HostPressure } from './host-facts.js';

/** Kept free for the node itself: below it, the node is under pressure. */
const MIN_FREE_MEMORY_BYTES = 100 * 1024 * 1024;
const MIN_FREE_DISK = 0.05;
const MIN_FREE_THREADS = 0.05;
/** Part of the disk that pods may not fill. */
const RESERVED_DISK = 0.1;
const MAX_IMAGES = 50;

export interface NodeInput {
  readonly config: KubeletConfig;
  readonly facts: HostFacts;
  readonly pressure: HostPressure;
  readonly runtime: RuntimeVersion;
  /** Undefined when the runtime does not answer. */
  readonly runtimeStatus: RuntimeStatus | undefined;
  readonly plegProblem: string;
  readonly images: readonly Image[];
  /** Port of the kubelet's API; 0 for none. */
  readonly port: number;
  readonly nowMs: number;
}

export function nodeLabels(
  { nodeName, nodeLabels: extra }: KubeletConfig,
  architecture: string,
): Record<string, string> {
  return {
    'beta.kubernetes.io/arch': architecture,
    'beta.kubernetes.io/os': 'linux',
    'kubernetes.io/arch': architecture,
    'kubernetes.io/hostname': nodeName,
    'kubernetes.io/os': 'linux',
    ...extra,
  };
}

/** As the node first registers. The lifecycle controller takes the taint away once the node is ready. */
export function newNode(input: NodeInput): Node {
  const { config, facts, nowMs } = input;
  const [podCIDR] = config.podCidrs;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: config.nodeName,
      labels: nodeLabels(config, facts.architecture),
      annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
    },
    spec: {
      ...(podCIDR === undefined ? {} : { podCIDR, podCIDRs: [...config.podCidrs] }),
      taints: [
        { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule', timeAdded: formatTime(nowMs) },
      ],
    },
    status: nodeStatus(input, undefined),
  };
}

/** `old` is the status there was: conditions that do not change keep their times. */
export function nodeStatus(input: NodeInput, old: NodeStatus | undefined): NodeStatus {
  const { config, facts, port } = input;
  const capacity = capacityOf(config, facts);
  const addresses: NodeAddress[] = [
    ...config.nodeIps.map((address) => ({ type: 'InternalIP', address })),
    { type: 'Hostname', address: config.nodeName },
  ];
  return {
    capacity,
    allocatable: allocatableOf(config, facts),
    conditions: conditionsOf(input, old),
    addresses,
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    nodeInfo: infoOf(input),
    images: imagesOf(input.images),
  };
}

function capacityOf(config: KubeletConfig, facts: HostFacts): Record<string, string> {
  return {
    cpu: String(facts.cpus),
    'ephemeral-storage': `${Math.floor(facts.diskBytes / 1024)}Ki`,
    'hugepages-1Gi': '0',
    'hugepages-2Mi': '0',
    memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`,
    pods: String(config.maxPods),
  };
}

/** Resources that pods may ask for together: capacity less the part the node keeps for itself. */
export function allocatableOf(config: KubeletConfig, facts: HostFacts): Record<string, string> {
  const reserved = (name: string): number => quantityValue(config.reserved[name] ?? '0');
  const milliCpu = Math.max(0, Math.round((facts.cpus - reserved('cpu')) * 1000));
  const memory = facts.memoryBytes - reserved('memory') - MIN_FREE_MEMORY_BYTES;
  const disk = facts.diskBytes * (1 - RESERVED_DISK) - reserved('ephemeral-storage');
  return {
    ...capacityOf(config, facts),
    cpu: milliCpu % 1000 === 0 ? String(milliCpu / 1000) : `${milliCpu}m`,
    'ephemeral-storage': String(Math.max(0, Math.floor(disk))),
    memory: `${Math.max(0, Math.floor(memory / 1024))}Ki`,
  };
}

function infoOf({ config, facts, runtime }: NodeInput): NodeSystemInfo {
  return {
    machineID: facts.machineId,
    systemUUID: facts.systemUuid,
    bootID: facts.bootId,
    kernelVersion: facts.kernelVersion,
    osImage: facts.osImage,
    containerRuntimeVersion: `${runtime.name}://${runtime.version}`,
    kubeletVersion: config.version,
    kubeProxyVersion: '',
    operatingSystem: 'linux',
    architecture: facts.architecture,
  };
}

/** The largest first, as the scheduler is most interested in those. */
function imagesOf(images: readonly Image[]): ContainerImage[] {
  return images
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, MAX_IMAGES)
    .map(({ digests, tags, sizeBytes }) => ({ names: [...digests, ...tags], sizeBytes }));
}

interface Verdict {
  readonly type: string;
  readonly isTrue: boolean;
  readonly reason: string;
  readonly message: string;
}

/** Ready comes last: clients take the last condition for it. */
function conditionsOf(input: NodeInput, old: NodeStatus | undefined): NodeCondition[] {
  const verdicts = [...pressures(input.pressure), readiness(input)];
  if (input.runtimeStatus !== undefined) verdicts.unshift(facilities(input.runtimeStatus));
  const now = formatTime(input.nowMs);
  return verdicts.map(({ type, isTrue, reason, message }) => {
    const status = isTrue ? 'True' : 'False';
    const before = old?.conditions?.find((one) => one.type === type);
    const since = before?.status === status ? before.lastTransitionTime : undefined;
    const times = { lastHeartbeatTime: now, lastTransitionTime: since ?? now };
    return { type, status, ...times, reason, message };
  });
}

/** Tells people what isolates containers here, before a pod that needs more fails. */
function facilities({ description }: RuntimeStatus): Verdict {
  const reason = 'FacilitiesProbed';
  return { type: 'RuntimeFacilities', isTrue: true, reason, message: description };
}

function pressures(pressure: HostPressure): Verdict[] {
  const lacksMemory = pressure.memoryAvailableBytes < MIN_FREE_MEMORY_BYTES;
  const lacksDisk = pressure.diskAvailableFraction < MIN_FREE_DISK;
  const lacksThreads = pressure.threadsAvailableFraction < MIN_FREE_THREADS;
  return [
    {
      type: 'MemoryPressure',
      isTrue: lacksMemory,
      reason: lacksMemory ? 'KubeletHasInsufficientMemory' : 'KubeletHasSufficientMemory',
      message: `kubelet has ${lacksMemory ? 'insufficient' : 'sufficient'} memory available`,
    },
    {
      type: 'DiskPressure',
      isTrue: lacksDisk,
      reason: lacksDisk ? 'KubeletHasDiskPressure' : 'KubeletHasNoDiskPressure',
      message: `kubelet has ${lacksDisk ? '' : 'no '}disk pressure`,
    },
    {
      type: 'PIDPressure',
      isTrue: lacksThreads,
      reason: lacksThreads ? 'KubeletHasInsufficientPID' : 'KubeletHasSufficientPID',
      message: `kubelet has ${lacksThreads ? 'insufficient' : 'sufficient'} PID available`,
    },
  ];
}

function readiness({ runtimeStatus, plegProblem }: NodeInput): Verdict {
  const problems = runtimeStatus === undefined ? ['container runtime is down'] : [];
  for (const { type, isTrue, reason, message } of runtimeStatus?.conditions ?? []) {
    const what =
      type === 'NetworkReady'
        ? 'container runtime network not ready'
        : 'container runtime not ready';
    if (!isTrue) problems.push(`${what}: ${type}=false reason:${reason} message:${message}`);
  }
  if (plegProblem !== '') problems.push(plegProblem);
  if (problems.length === 0) {
    const message = 'kubelet is posting ready status';
    return { type: 'Ready', isTrue: true, reason: 'KubeletReady', message };
  }
  const text = problems.length === 1 ? problems.join('') : `[${problems.join(', ')}]`;
  return { type: 'Ready', isTrue: false, reason: 'KubeletNotReady', message: text };
}
