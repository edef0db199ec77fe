/** Carries out what pod-actions decided: makes sandboxes, starts containers. */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../../base/observe/logger.js';
import type { Pod, Service } from '../../../gen/kube-core-v1.js';
import type { ClusterEnv } from '../../env.js';
import type { ContainerConfig, ContainerRuntime, Image } from '../../runtime/runtime.js';
import { RuntimeError } from '../../runtime/runtime.js';
import type { KubeletConfig } from '../config.js';
import type { ReferredObjects } from '../env.js';
import { containerEnv } from '../env.js';
import type { Resolver } from '../files.js';
import { podResolver } from '../files.js';
import { containerResources } from '../resources.js';
import type { MountedVolumes } from '../volumes/pod-volumes.js';
import { containerConfig } from './container-config.js';
import type { ContainerFiles } from './container-files.js';
import { runHook } from './hooks.js';
import type { HookOptions } from './hooks.js';
import type { Images } from './images.js';
import { Interrupted, unlessAborted } from './interruption.js';
import type { Killer } from './killer.js';
import type { StartAction } from './pod-actions.js';
import type { PodPaths } from './pod-paths.js';
import { containerLogName } from './pod-paths.js';
import { describePod, graceSecondsOf, uidOf, usesHostNetwork } from './pod-spec.js';
import { newestOf, readySandbox } from './pod-view.js';
import type { PodView } from './pod-view.js';
import type { Recorder } from './recorder.js';
import { containerReference, podReference } from './recorder.js';
import { sandboxConfig } from './sandbox-config.js';
import { StartError, messageOf } from './start-error.js';

export interface PodRunnerOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly config: KubeletConfig;
  readonly runtime: ContainerRuntime;
  readonly recorder: Recorder;
  readonly images: Images;
  readonly files: ContainerFiles;
  readonly killer: Killer;
  readonly hooks: HookOptions;
  readonly paths: PodPaths;
  readonly objects: ReferredObjects;
  /** All services; undefined until they have been read once. */
  readonly services: () => readonly Service[] | undefined;
  readonly hostResolver: Resolver;
  readonly memoryCapacityBytes: number;
  readonly allocatable: () => Readonly<Record<string, string>>;
}

export class PodRunner {
  readonly #options: PodRunnerOptions;

  constructor(options: PodRunnerOptions) {
    this.#options = options;
  }

  podIpsOf(pod: Pod, view: PodView): readonly string[] {
    return usesHostNetwork(pod) ? this.#options.config.nodeIps : (view.sandboxes[0]?.ips ?? []);
  }

  /** Rejects with an Error after telling people. */
  async createSandbox(pod: Pod, attempt: number): Promise<void> {
    const { runtime, recorder, paths, config } = this.#options;
    try {
      await mkdir(paths.logsOf(pod), { recursive: true });
      const resolver = this.#resolver(pod);
      await runtime.runPodSandbox(sandboxConfig(pod, attempt, resolver, paths, config.cgroupRoot));
    } catch (error) {
      const message = `Failed to create pod sandbox: ${messageOf(error)}`;
      recorder.event(podReference(pod), 'Warning', 'FailedCreatePodSandBox', message);
      throw error;
    }
  }

  /**
   * Starts one container in the pod's sandbox. Rejects with StartError after telling people, and with
   * Interrupted when `signal` aborts.
   */
  async start(
    pod: Pod,
    view: PodView,
    action: StartAction,
    mounted: MountedVolumes,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#start(pod, view, action, mounted, signal);
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      const failure =
        error instanceof StartError ? error : new StartError('RunContainerError', messageOf(error));
      this.#report(pod, action, failure);
      throw failure;
    }
  }

  async #start(
    pod: Pod,
    view: PodView,
    action: StartAction,
    mounted: MountedVolumes,
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime, images } = this.#options;
    const { container } = action;
    const image = await unlessAborted(images.ensure(pod, container), signal);
    const before = newestOf(view, container.name);
    // A container that was made and never started is no attempt.
    if (before?.state === 'created') await runtime.removeContainer(before.id);
    const attempt = nextAttempt(pod, view, container.name);
    const made = await this.#config(pod, view, action, image, attempt, mounted);
    // From here on the end of the pod waits, so that it finds whatever was made.
    if (signal.aborted) throw new Interrupted();
    const id = await this.#create(pod, view, made);
    this.#tell(pod, container.name, 'Created', 'Container created');
    try {
      await runtime.startContainer(id);
    } catch (error) {
      throw new StartError('RunContainerError', messageOf(error));
    }
    this.#tell(pod, container.name, 'Started', 'Container started');
    await unlessAborted(this.#postStart(pod, view, action, id), signal);
  }

  async #config(
    pod: Pod,
    view: PodView,
    { container }: StartAction,
    image: Image,
    attempt: number,
    mounted: MountedVolumes,
  ): Promise<ContainerConfig> {
    const { config, files, paths, objects } = this.#options;
    const services = this.#options.services();
    if (services === undefined) {
      const why = 'services have not yet been read at least once, cannot construct envvars';
      throw new StartError('CreateContainerConfigError', why);
    }
    const podIps = this.podIpsOf(pod, view);
    const addresses = { hostIps: config.nodeIps, podIps };
    const allocatable = this.#options.allocatable();
    const env = await configured(
      containerEnv({ pod, container, addresses, allocatable, services, objects }),
    );
    const { clusterDomain } = config;
    const parts = { pod, container, attempt, env, podIps, clusterDomain, mounted };
    const mounts = await configured(files.mountsOf(parts));
    const messageFile = paths.message(uidOf(pod), container.name, attempt);
    const { memoryCapacityBytes } = this.#options;
    const limits = { memoryCapacityBytes, minOomScoreAdj: config.minOomScoreAdj };
    const resources = containerResources(pod, container, limits);
    return containerConfig({ pod, container, attempt, image, env, mounts, resources, messageFile });
  }

  async #create(pod: Pod, view: PodView, config: ContainerConfig): Promise<string> {
    const sandbox = readySandbox(view);
    if (sandbox === undefined) throw new StartError('CreateContainerError', 'the sandbox is gone');
    const log = join(
      this.#options.paths.logsOf(pod),
      containerLogName(config.name, config.attempt),
    );
    try {
      await mkdir(dirname(log), { recursive: true });
      return await this.#options.runtime.createContainer(sandbox.id, config);
    } catch (error) {
      throw new StartError('CreateContainerError', messageOf(error));
    }
  }

  async #postStart(pod: Pod, view: PodView, { container }: StartAction, id: string): Promise<void> {
    const hook = container.lifecycle?.postStart;
    if (hook === undefined) return;
    const { hooks, killer, recorder, runtime, log } = this.#options;
    const [podIp = ''] = this.podIpsOf(pod, view);
    try {
      await runHook(hooks, pod, container, id, hook, podIp);
    } catch (error) {
      log.warn('postStart hook failed', { pod: describePod(pod), why: messageOf(error) });
      const about = containerReference(pod, container.name);
      recorder.event(about, 'Warning', 'FailedPostStartHook', 'PostStartHook failed');
      const status = await runtime.containerStatus(id).catch(() => undefined);
      if (status !== undefined) {
        await killer.kill(pod, status, 'FailedPostStartHook', graceSecondsOf(pod));
      }
      throw new StartError('PostStartHookError', messageOf(error));
    }
  }

  #report(pod: Pod, { container }: StartAction, { reason, message }: StartError): void {
    const isOfImage = reason.includes('Image');
    const text = `Error: ${isOfImage ? reason : message}`;
    // A hook has told already.
    if (reason !== 'PostStartHookError') {
      this.#options.recorder.event(
        containerReference(pod, container.name),
        'Warning',
        'Failed',
        text,
      );
    }
  }

  #tell(pod: Pod, container: string, reason: string, message: string): void {
    this.#options.recorder.event(containerReference(pod, container), 'Normal', reason, message);
  }

  #resolver(pod: Pod): Resolver {
    return podResolver(pod, this.#options.hostResolver, this.#options.config);
  }
}

/** Number of containers of that name the pod had, also when the runtime no longer has them. */
function nextAttempt(pod: Pod, view: PodView, name: string): number {
  const newest = newestOf(view, name);
  if (newest !== undefined) return newest.state === 'created' ? newest.attempt : newest.attempt + 1;
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const known = [...containerStatuses, ...initContainerStatuses].find((one) => one.name === name);
  const hadOne = known?.containerID !== undefined && known.containerID !== '';
  return hadOne ? known.restartCount + 1 : 0;
}

/** Turns errors of the making of a container's configuration into errors of the configuration. */
async function configured<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof StartError || error instanceof RuntimeError) throw error;
    throw new StartError('CreateContainerConfigError', messageOf(error));
  }
}
