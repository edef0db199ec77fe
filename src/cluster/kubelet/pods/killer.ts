/** Ends containers with what they are owed: their preStop hook, their signal, their grace. */
import type { Logger } from '../../../base/observe/logger.js';
import type { Container, Pod } from '../../../gen/kube-core-v1.js';
import { sleep } from '../../env.js';
import type { ContainerStatus } from '../../runtime/runtime.js';
import type { HookOptions } from './hooks.js';
import { runHook } from './hooks.js';
import { findContainer, isSidecar } from './pod-spec.js';
import { runningContainers } from './pod-view.js';
import type { PodView } from './pod-view.js';
import type { Recorder } from './recorder.js';
import { containerReference } from './recorder.js';
import { messageOf } from './start-error.js';

/** A container gets so long after its signal, however late it is. */
const MIN_GRACE_SECONDS = 2;

export interface KillerOptions extends HookOptions {
  readonly log: Logger;
  readonly recorder: Recorder;
}

export class Killer {
  readonly #options: KillerOptions;
  /** Monotonic milliseconds at which containers on their way out will be killed, by id. */
  readonly #deadlines = new Map<string, number>();

  constructor(options: KillerOptions) {
    this.#options = options;
  }

  /**
   * Ends all containers of a pod within `graceSeconds`, sidecars after the others in reverse order,
   * then its sandboxes. Asked again with less grace while it works, it hurries.
   */
  async killPod(pod: Pod, view: PodView, graceSeconds: number): Promise<void> {
    const { env, runtime } = this.#options;
    const endMs = env.monoMs() + graceSeconds * 1000;
    const running = runningContainers(view);
    const sidecarNames = (pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
    const others = running.filter(({ name }) => !sidecarNames.includes(name));
    await Promise.all(others.map((status) => this.kill(pod, status, '', graceSeconds)));
    for (const name of sidecarNames.toReversed()) {
      for (const status of running.filter((one) => one.name === name)) {
        await this.kill(pod, status, '', Math.max(0, (endMs - env.monoMs()) / 1000));
      }
    }
    for (const sandbox of view.sandboxes) {
      if (sandbox.isReady) await runtime.stopPodSandbox(sandbox.id);
    }
  }

  /** Ends one container. `message` tells people why; empty for the usual one. */
  async kill(
    pod: Pod,
    status: ContainerStatus,
    message: string,
    graceSeconds: number,
  ): Promise<void> {
    const { env, recorder } = this.#options;
    const deadlineMs = env.monoMs() + graceSeconds * 1000;
    const pending = this.#deadlines.get(status.id);
    if (pending !== undefined && pending <= deadlineMs) return this.#stop(status, pending);
    this.#deadlines.set(status.id, deadlineMs);
    try {
      if (pending === undefined) {
        const text = message === '' ? `Stopping container ${status.name}` : message;
        recorder.event(containerReference(pod, status.name), 'Normal', 'Killing', text);
        const container = findContainer(pod, status.name);
        if (container !== undefined && graceSeconds > 0) {
          await this.#preStop(pod, container, status, graceSeconds);
        }
      }
      await this.#stop(status, deadlineMs);
    } finally {
      this.#deadlines.delete(status.id);
    }
  }

  async #stop(status: ContainerStatus, deadlineMs: number): Promise<void> {
    const { env, runtime } = this.#options;
    const leftSeconds = Math.ceil((deadlineMs - env.monoMs()) / 1000);
    await runtime.stopContainer(status.id, Math.max(MIN_GRACE_SECONDS, leftSeconds));
  }

  async #preStop(
    pod: Pod,
    container: Container,
    status: ContainerStatus,
    graceSeconds: number,
  ): Promise<void> {
    const hook = container.lifecycle?.preStop;
    if (hook === undefined) return;
    const { env, recorder, log } = this.#options;
    const podIp = pod.status?.podIP ?? '127.0.0.1';
    const hasEnded = new AbortController();
    const work = runHook(this.#options, pod, container, status.id, hook, podIp)
      .catch((error: unknown) => {
        const about = containerReference(pod, container.name);
        recorder.event(about, 'Warning', 'FailedPreStopHook', 'PreStopHook failed');
        log.warn('preStop hook failed', { container: container.name, why: messageOf(error) });
      })
      .finally(() => hasEnded.abort());
    await Promise.race([work, sleep(env, graceSeconds * 1000, hasEnded.signal)]);
  }
}
