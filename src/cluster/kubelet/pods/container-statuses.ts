/** Statuses of a pod's containers, from what the runtime has and why the next start waits. */
import type {
  Container,
  ContainerState,
  ContainerStatus as ApiContainerStatus,
  Pod,
} from '../../../gen/kube-core-v1.js';
import type { ContainerStatus } from '../../runtime/runtime.js';
import { formatTime } from '../../api/time.js';
import { ephemeralContainersOf, isSidecar, restartsAfter } from './pod-spec.js';
import type { PodView } from './pod-view.js';
import { historyOf } from './pod-view.js';

/** Reason for which a container does not run though it should. */
export interface WaitReason {
  readonly reason: string;
  readonly message: string;
}

export interface ContainerFacts {
  /** Reason for which the last attempt to start the container of this name failed. */
  waitReason(name: string): WaitReason | undefined;
  /** True while its readiness probe holds, and without one. */
  isReady(containerId: string): boolean;
  /** True once its startup probe has succeeded, and without one. */
  hasStarted(containerId: string): boolean;
}

export interface StatusInput {
  readonly pod: Pod;
  readonly view: PodView;
  readonly facts: ContainerFacts;
  /** Before `://` in container ids. */
  readonly runtimeName: string;
  /** The pod will start nothing any more. */
  readonly isEnding: boolean;
}

export interface ContainerStatuses {
  readonly init: ApiContainerStatus[];
  readonly main: ApiContainerStatus[];
  readonly ephemeral: ApiContainerStatus[];
}

export function containerStatuses(input: StatusInput): ContainerStatuses {
  const { pod } = input;
  const old = pod.status;
  const init = (pod.spec.initContainers ?? []).map((container) =>
    statusOf(input, container, old?.initContainerStatuses, true),
  );
  const main = pod.spec.containers.map((container) =>
    statusOf(input, container, old?.containerStatuses, false),
  );
  const ephemeral = ephemeralContainersOf(pod).map((container) =>
    statusOf(input, container, old?.ephemeralContainerStatuses, false),
  );
  return { init, main, ephemeral };
}

function statusOf(
  input: StatusInput,
  container: Container,
  old: readonly ApiContainerStatus[] | undefined,
  isInit: boolean,
): ApiContainerStatus {
  const history = historyOf(input.view, container.name);
  const newest = history[0];
  const before = old?.find(({ name }) => name === container.name);
  if (newest === undefined) return unseen(input, container, before, isInit);
  const state = stateOf(input, container, newest, isInit);
  const last = state.waiting === undefined ? history[1] : firstExited(history);
  const isRunning = state.running !== undefined;
  const hasStarted = isRunning && input.facts.hasStarted(newest.id);
  const isOnce = isInit && !isSidecar(container);
  const isReady = hasStarted && input.facts.isReady(newest.id);
  return {
    name: container.name,
    state,
    lastState:
      last?.state === 'exited' ? { terminated: terminatedState(input.runtimeName, last) } : {},
    ready: isOnce ? state.terminated?.exitCode === 0 : isReady,
    restartCount: newest.attempt,
    image: newest.image === '' ? (container.image ?? '') : newest.image,
    imageID: newest.imageId,
    containerID: `${input.runtimeName}://${newest.id}`,
    started: hasStarted,
  };
}

function firstExited(history: readonly ContainerStatus[]): ContainerStatus | undefined {
  return history.find(({ state }) => state === 'exited');
}

function stateOf(
  input: StatusInput,
  container: Container,
  newest: ContainerStatus,
  isInit: boolean,
): ContainerState {
  switch (newest.state) {
    case 'running':
      return { running: { startedAt: formatTime(newest.startedAtMs) } };
    case 'exited': {
      const wait = input.facts.waitReason(container.name);
      const isEnd = input.isEnding || wait === undefined || !startsAgain(input, container, newest);
      if (!isEnd) return waitingState(wait);
      return { terminated: terminatedState(input.runtimeName, newest) };
    }
    case 'created':
    case 'unknown':
      return waitingState(input.facts.waitReason(container.name) ?? firstWait(input, isInit));
    default:
      return newest.state satisfies never;
  }
}

function waitingState({ reason, message }: WaitReason): ContainerState {
  return { waiting: { reason, ...(message === '' ? {} : { message }) } };
}

function startsAgain(input: StatusInput, container: Container, newest: ContainerStatus): boolean {
  // In a new sandbox init containers run again, whatever became of them.
  const isOld = newest.sandboxId !== input.view.sandboxes[0]?.id;
  return isOld || restartsAfter(input.pod, container, newest.exitCode);
}

function firstWait(input: StatusInput, isInit: boolean): WaitReason {
  const hasInit = (input.pod.spec.initContainers ?? []).length > 0;
  return { reason: hasInit && !isInit ? 'PodInitializing' : 'ContainerCreating', message: '' };
}

/** Of a container that the runtime has none of: not begun, or lost. */
function unseen(
  input: StatusInput,
  container: Container,
  before: ApiContainerStatus | undefined,
  isInit: boolean,
): ApiContainerStatus {
  const wait = input.facts.waitReason(container.name) ?? firstWait(input, isInit);
  const wasStarted = before?.containerID !== undefined && before.containerID !== '';
  const base = {
    name: container.name,
    ready: false,
    restartCount: before?.restartCount ?? 0,
    image: container.image ?? '',
    imageID: before?.imageID ?? '',
    started: false,
  };
  const waiting = waitingState(wait);
  if (!wasStarted) return { ...base, state: waiting, lastState: {} };
  const kept = { ...base, image: before.image, containerID: before.containerID };
  const ended = before.state?.terminated ?? lostState(before);
  if (!input.isEnding) return { ...kept, state: waiting, lastState: { terminated: ended } };
  const isReady = isInit && !isSidecar(container) && ended.exitCode === 0;
  return {
    ...kept,
    ready: isReady,
    state: { terminated: ended },
    lastState: before.lastState ?? {},
  };
}

type Terminated = NonNullable<ContainerState['terminated']>;

function lostState(before: ApiContainerStatus): Terminated {
  const was = before.state?.running === undefined ? '' : '. The container used to be Running';
  return {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: `The container could not be located when the pod was terminated${was}`,
  };
}

function terminatedState(runtimeName: string, status: ContainerStatus): Terminated {
  const { exitCode, reason, message } = status;
  return {
    exitCode,
    reason: reason === '' ? (exitCode === 0 ? 'Completed' : 'Error') : reason,
    ...(message === '' ? {} : { message }),
    startedAt: formatTime(status.startedAtMs),
    finishedAt: formatTime(status.finishedAtMs),
    containerID: `${runtimeName}://${status.id}`,
  };
}
