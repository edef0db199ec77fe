/**
 * The runtime's truth about one pod: its sandboxes and containers with all that were before. The
 * labels and annotations tell whose they are, so that a kubelet that starts anew finds them again.
 */
import type { Pod } from '../../../gen/kube-core-v1.js';
import type { ContainerStatus, PodSandboxStatus } from '../../runtime/runtime.js';

export const POD_NAME_LABEL = 'io.kubernetes.pod.name';
export const POD_NAMESPACE_LABEL = 'io.kubernetes.pod.namespace';
export const POD_UID_LABEL = 'io.kubernetes.pod.uid';
export const CONTAINER_NAME_LABEL = 'io.kubernetes.container.name';
export const CONTAINER_HASH = 'io.kubernetes.container.hash';
export const GRACE_PERIOD = 'io.kubernetes.pod.terminationGracePeriod';
export const MESSAGE_FILE = 'io.kubernetes.container.terminationMessageFile';
export const MESSAGE_POLICY = 'io.kubernetes.container.terminationMessagePolicy';

export interface PodView {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** The newest first. */
  readonly sandboxes: readonly PodSandboxStatus[];
  /** The newest first. Of exited containers, `message` holds the termination message. */
  readonly containers: readonly ContainerStatus[];
}

export function emptyView(pod: Pod): PodView {
  const { uid = '', namespace = '', name = '' } = pod.metadata;
  return { uid, namespace, name, sandboxes: [], containers: [] };
}

/** Containers of one name, the newest first. */
export function historyOf(view: PodView, name: string): ContainerStatus[] {
  return view.containers.filter((container) => container.name === name);
}

export function newestOf(view: PodView, name: string): ContainerStatus | undefined {
  return view.containers.find((container) => container.name === name);
}

/** The sandbox that new containers go into; undefined unless it is the newest and ready. */
export function readySandbox(view: PodView): PodSandboxStatus | undefined {
  const newest = view.sandboxes[0];
  return newest?.isReady === true ? newest : undefined;
}

export function runningContainers(view: PodView): ContainerStatus[] {
  return view.containers.filter(({ state }) => state === 'running' || state === 'unknown');
}

/** True while anything of the pod may still act: a process, or a network. */
export function isAlive(view: PodView): boolean {
  return runningContainers(view).length > 0 || view.sandboxes.some(({ isReady }) => isReady);
}
