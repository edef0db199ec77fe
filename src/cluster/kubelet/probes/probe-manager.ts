/** The probes of all pods: one prober for each probe of each container that runs. */
import type { Container, Pod } from '../../../gen/kube-core-v1.js';
import type { ClusterEnv } from '../../env.js';
import type { ContainerRuntime, ContainerStatus } from '../../runtime/runtime.js';
import { allContainers, uidOf } from '../pods/pod-spec.js';
import type { PodView } from '../pods/pod-view.js';
import type { Recorder } from '../pods/recorder.js';
import type { NetworkProbes } from './network.js';
import type { ProbeKind } from './probe.js';
import { probeOf } from './probe.js';
import type { ProbeResult } from './prober.js';
import { Prober } from './prober.js';

export interface ProbeManagerOptions {
  readonly env: ClusterEnv;
  readonly runtime: ContainerRuntime;
  readonly network: NetworkProbes;
  readonly recorder: Recorder;
  /** Called when a probe of this pod has a new result. */
  readonly onResult: (uid: string) => void;
}

const ALL_KINDS: readonly ProbeKind[] = ['startup', 'liveness', 'readiness'];
/** Of a pod that ends: whether it still serves is asked until the end. */
const ENDING_KINDS: readonly ProbeKind[] = ['readiness'];

export class ProbeManager {
  readonly #options: ProbeManagerOptions;
  /** By pod, then by container id and kind. */
  readonly #pods = new Map<string, Map<string, Prober>>();

  constructor(options: ProbeManagerOptions) {
    this.#options = options;
  }

  /** Starts and ends probers so that they are those of the containers that run. */
  update(pod: Pod, view: PodView, podIp: string, isEnding: boolean): void {
    const uid = uidOf(pod);
    const before = this.#pods.get(uid) ?? new Map<string, Prober>();
    const now = new Map<string, Prober>();
    for (const container of allContainers(pod)) {
      const status = view.containers.find((one) => one.name === container.name);
      if (status?.state !== 'running') continue;
      for (const kind of isEnding ? ENDING_KINDS : ALL_KINDS) {
        const key = keyOf(status.id, kind);
        const prober = before.get(key) ?? this.#prober(pod, container, status, podIp, kind);
        if (prober !== undefined) now.set(key, prober);
      }
    }
    for (const [key, prober] of before) if (now.get(key) !== prober) prober.stop();
    this.#pods.set(uid, now);
  }

  remove(uid: string): void {
    for (const prober of this.#pods.get(uid)?.values() ?? []) prober.stop();
    this.#pods.delete(uid);
  }

  stop(): void {
    for (const uid of [...this.#pods.keys()]) this.remove(uid);
  }

  isReady(uid: string, containerId: string): boolean {
    const prober = this.#find(uid, containerId, 'readiness');
    return prober === undefined || prober.result === 'success';
  }

  hasStarted(uid: string, containerId: string): boolean {
    const prober = this.#find(uid, containerId, 'startup');
    return prober === undefined || prober.result === 'success';
  }

  hasFailed(uid: string, kind: 'liveness' | 'startup', containerId: string): boolean {
    return this.#find(uid, containerId, kind)?.result === 'failure';
  }

  #find(uid: string, containerId: string, kind: ProbeKind): Prober | undefined {
    return this.#pods.get(uid)?.get(keyOf(containerId, kind));
  }

  #prober(
    pod: Pod,
    container: Container,
    status: ContainerStatus,
    podIp: string,
    kind: ProbeKind,
  ): Prober | undefined {
    const probe = probeOf(container, kind);
    if (probe === undefined) return undefined;
    const { env, runtime, network, recorder } = this.#options;
    const uid = uidOf(pod);
    return new Prober({
      env,
      recorder,
      pod,
      kind,
      probe,
      context: { runtime, network, container, containerId: status.id, podIp },
      startedAtMs: status.startedAtMs,
      initial: initialResult(pod, status, kind),
      mayRun: () => this.hasStarted(uid, status.id),
      onResult: () => {
        if (kind === 'startup') this.#hurry(uid, status.id);
        this.#options.onResult(uid);
      },
    });
  }

  /** Runs the probes that waited for the container's start at once. */
  #hurry(uid: string, containerId: string): void {
    for (const kind of ['readiness', 'liveness'] as const) {
      this.#find(uid, containerId, kind)?.hurry();
    }
  }
}

function keyOf(containerId: string, kind: ProbeKind): string {
  return `${containerId}/${kind}`;
}

/**
 * A container that was found running keeps the standing that it has in the API, so that a kubelet's
 * restart takes no pod out of service.
 */
function initialResult(pod: Pod, status: ContainerStatus, kind: ProbeKind): ProbeResult {
  if (kind === 'liveness') return 'success';
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const known = [...containerStatuses, ...initContainerStatuses].find(({ containerID = '' }) =>
    containerID.endsWith(`://${status.id}`),
  );
  if (kind === 'startup') return known?.started === true ? 'success' : 'unknown';
  return known?.ready === true ? 'success' : 'failure';
}
