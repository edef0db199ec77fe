/**
 * One pass for a pod that should run: carries out its actions, and remembers why the next must
 * wait. All of this memory may be lost: it only delays.
 */
import type { Pod } from '../../../gen/kube-core-v1.js';
import type { ClusterEnv } from '../../env.js';
import type { ProbeManager } from '../probes/probe-manager.js';
import { probeOf } from '../probes/probe.js';
import type { MountedVolumes, PodVolumes } from '../volumes/pod-volumes.js';
import { VolumesError } from '../volumes/pod-volumes.js';
import type { BackOff } from './back-off.js';
import type { WaitReason } from './container-statuses.js';
import { formatDurationMs } from '../../../base/go-duration.js';
import type { Images } from './images.js';
import { Interrupted, unlessAborted } from './interruption.js';
import type { Killer } from './killer.js';
import type { KillAction, PodActions, StartAction } from './pod-actions.js';
import { podActions } from './pod-actions.js';
import type { PodRunner } from './pod-runner.js';
import { containerHash, describePod, graceSecondsOf, uidOf } from './pod-spec.js';
import type { PodView } from './pod-view.js';
import { isAlive } from './pod-view.js';
import type { Recorder } from './recorder.js';
import { containerReference, podReference } from './recorder.js';
import { StartError } from './start-error.js';

export interface PodSyncOptions {
  readonly env: ClusterEnv;
  readonly runner: PodRunner;
  readonly killer: Killer;
  readonly images: Images;
  readonly probes: ProbeManager;
  readonly volumes: PodVolumes;
  readonly recorder: Recorder;
  /** Of containers that end again and again. */
  readonly backOff: BackOff;
  readonly nodeIps: readonly string[];
}

export interface PassContext {
  readonly pod: Pod;
  readonly view: PodView;
  readonly podIps: readonly string[];
  /** Aborts when the pod is to end. */
  readonly signal: AbortSignal;
  /** Asks for another pass after so many milliseconds. */
  readonly wakeIn: (delayMs: number) => void;
}

/** After a start that failed for no known time. */
const RETRY_MS = 10_000;
const FAST_RETRY_MS = 1000;
const FIRST_MOUNT_RETRY_MS = 500;
const MAX_MOUNT_RETRY_MS = 122_000;

export class PodSync {
  readonly #options: PodSyncOptions;
  readonly #waits = new Map<string, WaitReason>();
  /** Monotonic milliseconds from which a container may be tried again, by its name. */
  readonly #retryAt = new Map<string, number>();
  #mountRetryMs = FIRST_MOUNT_RETRY_MS;
  #mountRetryAt = 0;

  constructor(options: PodSyncOptions) {
    this.#options = options;
  }

  waitReason(name: string): WaitReason | undefined {
    return this.#waits.get(name);
  }

  /** Something that a volume waited for has come: it need not wait for its next try. */
  retryVolumes(): void {
    this.#mountRetryAt = 0;
  }

  /** Returns true when something was done, so that there may be more to do. */
  async act(context: PassContext): Promise<boolean> {
    const { pod, view, signal } = context;
    const { probes, killer, recorder, runner } = this.#options;
    const uid = uidOf(pod);
    const actions = podActions(pod, view, {
      hasFailed: (probe, id) => probes.hasFailed(uid, probe, id),
      hasStarted: (id) => probes.hasStarted(uid, id),
    });
    if (actions.killAll && isAlive(view)) {
      const message = 'Pod sandbox changed, it will be killed and re-created.';
      recorder.event(podReference(pod), 'Normal', 'SandboxChanged', message);
      await unlessAborted(killer.killPod(pod, view, graceSecondsOf(pod)), signal);
      return true;
    }
    for (const action of actions.kill) await unlessAborted(this.#kill(pod, action), signal);
    const mounted = await this.#mount(context);
    if (mounted === undefined) return actions.kill.length > 0;
    if (signal.aborted) throw new Interrupted();
    if (actions.newSandbox !== undefined) {
      await runner.createSandbox(pod, actions.newSandbox);
      return true;
    }
    const hasStarted = await this.#startAll(context, actions, mounted);
    return hasStarted || actions.kill.length > 0;
  }

  async #startAll(
    context: PassContext,
    actions: PodActions,
    mounted: MountedVolumes,
  ): Promise<boolean> {
    let hasStarted = false;
    for (const start of actions.start) {
      if (await this.#start(context, start, mounted)) hasStarted = true;
    }
    return hasStarted;
  }

  async #mount({ pod, podIps, wakeIn }: PassContext): Promise<MountedVolumes | undefined> {
    const { env, volumes, nodeIps, recorder } = this.#options;
    const waitMs = this.#mountRetryAt - env.monoMs();
    if (waitMs > 0) {
      wakeIn(waitMs);
      return undefined;
    }
    try {
      const mounted = await volumes.mount(pod, { hostIps: nodeIps, podIps });
      this.#mountRetryMs = FIRST_MOUNT_RETRY_MS;
      return mounted;
    } catch (error) {
      if (!(error instanceof VolumesError)) throw error;
      for (const { volume, message } of error.failures) {
        const text = `MountVolume.SetUp failed for volume "${volume}" : ${message}`;
        recorder.event(podReference(pod), 'Warning', 'FailedMount', text);
      }
      this.#mountRetryAt = env.monoMs() + this.#mountRetryMs;
      wakeIn(this.#mountRetryMs);
      this.#mountRetryMs = Math.min(MAX_MOUNT_RETRY_MS, this.#mountRetryMs * 2);
      return undefined;
    }
  }

  async #kill(pod: Pod, { container, status, message, reason }: KillAction): Promise<void> {
    const isProbe = reason === 'liveness' || reason === 'startup';
    const probe = isProbe ? probeOf(container, reason) : undefined;
    const grace =
      probe?.terminationGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
    await this.#options.killer.kill(pod, status, message, grace);
  }

  /** Returns true when the state of the container, or why it waits, may have changed. */
  async #start(
    context: PassContext,
    action: StartAction,
    mounted: MountedVolumes,
  ): Promise<boolean> {
    const { env, runner, images } = this.#options;
    const { pod, view, signal, wakeIn } = context;
    const { name } = action.container;
    const waitMs = (this.#retryAt.get(name) ?? 0) - env.monoMs();
    if (waitMs > 0) {
      wakeIn(waitMs);
      return false;
    }
    const backOff = this.#backOff(context, action);
    if (backOff !== 'none') return backOff === 'news';
    try {
      await runner.start(pod, view, action, mounted, signal);
      this.#waits.delete(name);
      this.#retryAt.delete(name);
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      const { reason, message } = error;
      this.#waits.set(name, { reason, message });
      const retryMs = retryAfter(reason, images.waitMs(pod, action.container));
      this.#retryAt.set(name, env.monoMs() + retryMs);
    }
    return true;
  }

  /** A container that ended waits longer each time before it starts again. */
  #backOff(
    { pod, wakeIn }: PassContext,
    { container, previous }: StartAction,
  ): 'none' | 'waiting' | 'news' {
    if (previous?.state !== 'exited') return 'none';
    const { backOff, recorder } = this.#options;
    const key = `${uidOf(pod)}_${container.name}_${containerHash(container)}`;
    const leftMs = backOff.remainingMs(key, previous.finishedAtMs);
    if (leftMs === 0) {
      backOff.next(key, previous.finishedAtMs);
      return 'none';
    }
    wakeIn(leftMs);
    const where = describePod(pod);
    const delay = formatDurationMs(backOff.delayMs(key));
    const message = `back-off ${delay} restarting failed container=${container.name} pod=${where}`;
    if (this.#waits.get(container.name)?.message === message) return 'waiting';
    this.#waits.set(container.name, { reason: 'CrashLoopBackOff', message });
    const text = `Back-off restarting failed container ${container.name} in pod ${where}`;
    recorder.event(containerReference(pod, container.name), 'Warning', 'BackOff', text);
    return 'news';
  }
}

/** Milliseconds to wait after a start that failed. Images have a back-off of their own. */
function retryAfter(reason: string, imageWaitMs: number): number {
  // Soon, so that the status says that pulls are in back-off.
  if (reason === 'ErrImagePull') return Math.min(FAST_RETRY_MS, imageWaitMs);
  return reason === 'ImagePullBackOff' ? imageWaitMs : RETRY_MS;
}
