/**
 * From what a pod should be and what the runtime has of it to what must be done next. Pure: the
 * same question gives the same answer, so a kubelet that starts anew goes on where another ended.
 */
import type { Container, Pod } from '../../../gen/kube-core-v1.js';
import type { ContainerStatus } from '../../runtime/runtime.js';
import { CONTAINER_HASH, historyOf, newestOf, readySandbox } from './pod-view.js';
import type { PodView } from './pod-view.js';
import {
  containerHash,
  ephemeralContainersOf,
  isSidecar,
  restartsAfter,
  usesHostNetwork,
} from './pod-spec.js';

export interface ProbeFacts {
  /** True when the container with this id failed the probe so often that it must end. */
  hasFailed(probe: 'liveness' | 'startup', containerId: string): boolean;
  /** True once its startup probe has succeeded, and without one. */
  hasStarted(containerId: string): boolean;
}

export interface KillAction {
  readonly container: Container;
  readonly status: ContainerStatus;
  readonly message: string;
  readonly reason: 'definitionChanged' | 'liveness' | 'startup' | 'unknown';
}

export interface StartAction {
  readonly container: Container;
  readonly isInit: boolean;
  /** The container it follows, which ended; undefined for the first. */
  readonly previous: ContainerStatus | undefined;
}

export interface PodActions {
  /** The sandbox is no longer usable: all that runs must end before a new one is made. */
  readonly killAll: boolean;
  /** Number of the sandbox to make; undefined when there is a good one, or none is needed. */
  readonly newSandbox: number | undefined;
  readonly kill: readonly KillAction[];
  /** In this order. */
  readonly start: readonly StartAction[];
}

const NOTHING: PodActions = { killAll: false, newSandbox: undefined, kill: [], start: [] };

export function podActions(pod: Pod, view: PodView, probes: ProbeFacts): PodActions {
  const sandbox = readySandbox(view);
  const hasAddress = usesHostNetwork(pod) || (sandbox?.ips.length ?? 0) > 0;
  const areOthersReady = view.sandboxes.slice(1).some(({ isReady }) => isReady);
  if (sandbox === undefined || !hasAddress || areOthersReady) return freshSandbox(pod, view);
  return new Plan(pod, view, sandbox.id, probes).make();
}

function freshSandbox(pod: Pod, view: PodView): PodActions {
  const newest = view.sandboxes[0];
  const attempt = newest === undefined ? 0 : newest.config.attempt + 1;
  if (attempt > 0 && isOver(pod, view)) return { ...NOTHING, killAll: true };
  return { ...NOTHING, killAll: newest !== undefined, newSandbox: attempt };
}

/** True if no main container would start in a new sandbox. */
function isOver(pod: Pod, view: PodView): boolean {
  return pod.spec.containers.every((container) => {
    const last = newestOf(view, container.name);
    return last?.state === 'exited' && !restartsAfter(pod, container, last.exitCode);
  });
}

/** Actions within a sandbox that is good. */
class Plan {
  readonly #pod: Pod;
  readonly #view: PodView;
  readonly #sandboxId: string;
  readonly #probes: ProbeFacts;
  readonly #kill: KillAction[] = [];
  readonly #start: StartAction[] = [];

  constructor(pod: Pod, view: PodView, sandboxId: string, probes: ProbeFacts) {
    this.#pod = pod;
    this.#view = view;
    this.#sandboxId = sandboxId;
    this.#probes = probes;
  }

  make(): PodActions {
    for (const container of ephemeralContainersOf(this.#pod)) {
      if (newestOf(this.#view, container.name) === undefined) {
        this.#start.push({ container, isInit: false, previous: undefined });
      }
    }
    const isInitialized = this.#planInit();
    if (isInitialized) for (const container of this.#pod.spec.containers) this.#planMain(container);
    return { ...NOTHING, kill: this.#kill, start: this.#start };
  }

  /** Returns true once main containers may start. */
  #planInit(): boolean {
    const hasMain = this.#pod.spec.containers.some(({ name }) => this.#here(name) !== undefined);
    for (const container of this.#pod.spec.initContainers ?? []) {
      const isDone = isSidecar(container)
        ? this.#planSidecar(container, hasMain)
        : hasMain || this.#planInitContainer(container);
      if (!isDone) return false;
    }
    return true;
  }

  #planSidecar(container: Container, hasMain: boolean): boolean {
    const status = this.#here(container.name);
    if (status?.state !== 'running') {
      this.#startAfter(container, status, true);
      // While mains run, a sidecar that ended keeps nobody waiting.
      return hasMain;
    }
    this.#killIfNeeded(container, status);
    return hasMain || this.#probes.hasStarted(status.id);
  }

  #planInitContainer(container: Container): boolean {
    const status = this.#here(container.name);
    if (status?.state === 'running') return false;
    if (status?.state === 'exited' && status.exitCode === 0) return true;
    const isAgain = status?.state !== 'exited' || this.#restarts(container, status);
    if (isAgain) this.#startAfter(container, status, true);
    return false;
  }

  /** An init container fails its pod only under the policy Never. */
  #restarts(container: Container, status: ContainerStatus): boolean {
    const hasOwnRule = container.restartPolicy !== undefined;
    if (hasOwnRule) return restartsAfter(this.#pod, container, status.exitCode);
    return this.#pod.spec.restartPolicy !== 'Never';
  }

  #planMain(container: Container): void {
    const status = newestOf(this.#view, container.name);
    if (status?.state === 'running' && status.sandboxId === this.#sandboxId) {
      this.#killIfNeeded(container, status);
      return;
    }
    const isEnd =
      status?.state === 'exited' && !restartsAfter(this.#pod, container, status.exitCode);
    if (!isEnd) this.#startAfter(container, status, false);
  }

  #killIfNeeded(container: Container, status: ContainerStatus): void {
    const { name } = container;
    if (status.annotations[CONTAINER_HASH] !== containerHash(container)) {
      const message = `Container ${name} definition changed, will be restarted`;
      this.#kill.push({ container, status, message, reason: 'definitionChanged' });
      return;
    }
    for (const probe of ['liveness', 'startup'] as const) {
      if (!this.#probes.hasFailed(probe, status.id)) continue;
      const willRestart = restartsAfter(this.#pod, container, 137);
      const end = willRestart ? ', will be restarted' : '';
      const message = `Container ${name} failed ${probe} probe${end}`;
      this.#kill.push({ container, status, message, reason: probe });
      return;
    }
  }

  /** A container of unknown state may still run: it ends before its successor starts. */
  #startAfter(container: Container, previous: ContainerStatus | undefined, isInit: boolean): void {
    if (previous !== undefined && previous.state !== 'exited' && previous.state !== 'created') {
      const message = `Container ${container.name} is in unknown state, will be restarted`;
      this.#kill.push({ container, status: previous, message, reason: 'unknown' });
      return;
    }
    this.#start.push({ container, isInit, previous });
  }

  /** The newest container of that name, if it is in this sandbox. */
  #here(name: string): ContainerStatus | undefined {
    return historyOf(this.#view, name).find(({ sandboxId }) => sandboxId === this.#sandboxId);
  }
}
