/**
 * One pod on this node, from its first sight to its end. A pass compares what should be with what
 * the runtime has, tells the status, and does what is next; passes follow each other until nothing
 * is to be done. States lead one way: syncing, terminating, terminated, finished.
 */
import type { Logger } from '../../../base/observe/logger.js';
import type { Pod } from '../../../gen/kube-core-v1.js';
import type { ClusterTimer } from '../../env.js';
import { jittered } from '../../env.js';
import type { Rejection } from './admission.js';
import { Interrupted } from './interruption.js';
import type { Pleg } from './pleg.js';
import { describePod, graceSecondsOf, isTerminalPhase, uidOf } from './pod-spec.js';
import { podStatus, refusedStatus } from './pod-status.js';
import type { PodStatusInput } from './pod-status.js';
import type { PodSyncOptions } from './pod-sync.js';
import { PodSync } from './pod-sync.js';
import type { PodView } from './pod-view.js';
import { emptyView, isAlive } from './pod-view.js';
import { podReference } from './recorder.js';
import { messageOf } from './start-error.js';
import type { StatusManager } from './status-manager.js';

export interface WorkerOptions extends PodSyncOptions {
  readonly log: Logger;
  readonly pleg: Pleg;
  readonly statuses: StatusManager;
  readonly runtimeName: string;
  /** Decides whether a pod that has not run here before may. */
  readonly admit: (pod: Pod) => Rejection | undefined;
  /** Takes away all that a pod leaves, when the API server no longer has it. */
  readonly cleanUp: (pod: Pod) => Promise<void>;
  readonly onFinished: (uid: string) => void;
}

type WorkerState = 'syncing' | 'terminating' | 'terminated' | 'finished';

const RESYNC_MS = 60_000;
const RESYNC_JITTER = 0.5;
const FAST_RETRY_MS = 1000;

export class PodWorker {
  readonly uid: string;
  readonly #options: WorkerOptions;
  readonly #sync: PodSync;
  #pod: Pod;
  #state: WorkerState = 'syncing';
  /** The API server no longer has the pod. */
  #isRemoved = false;
  #isAdmitted = false;
  #failure: Rejection | undefined;
  /** Ends what a pass waits for, once the pod is to end. */
  readonly #ending = new AbortController();
  #kill: { readonly graceSeconds: number; readonly work: Promise<void> } | undefined;
  #passing: Promise<void> | undefined;
  #isWoken = false;
  #isStopped = false;
  #timer: ClusterTimer | undefined;
  #timerAt = Infinity;

  constructor(pod: Pod, options: WorkerOptions) {
    this.uid = uidOf(pod);
    this.#pod = pod;
    this.#options = options;
    this.#sync = new PodSync(options);
    this.update(pod);
  }

  /** The pod with its newest status. */
  get pod(): Pod {
    return this.#options.statuses.known(this.#pod);
  }

  /** True while the pod takes up room on the node. */
  get isActive(): boolean {
    return this.#isAdmitted && (this.#state === 'syncing' || this.#state === 'terminating');
  }

  /** True while the pod's volumes are in use. */
  get isSyncing(): boolean {
    return this.#state === 'syncing';
  }

  /** A newer object of the pod. */
  update(pod: Pod): void {
    this.#pod = pod;
    const isEnding =
      pod.metadata.deletionTimestamp !== undefined || isTerminalPhase(pod.status?.phase);
    if (isEnding) this.#terminate();
    this.wake();
  }

  /** The API server no longer has the pod: it ends, and nothing of it stays. */
  remove(): void {
    this.#isRemoved = true;
    this.#terminate();
    this.wake();
  }

  /** Something may have changed: looks again. */
  wake(): void {
    this.#isWoken = true;
    this.#passing ??= this.#passes().finally(() => {
      this.#passing = undefined;
      if (this.#isWoken && !this.#isStopped && this.#state !== 'finished') this.wake();
    });
  }

  /** Something that the pod's volumes refer to has changed. */
  refreshVolumes(): void {
    this.#sync.retryVolumes();
    this.wake();
  }

  /** The kubelet ends; the pod goes on. Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#ending.abort();
    await this.#passing;
  }

  #terminate(): void {
    if (this.#state !== 'syncing') return;
    this.#state = 'terminating';
    this.#ending.abort();
    this.#isWoken = true;
  }

  async #passes(): Promise<void> {
    while (this.#isWoken && !this.#isStopped && this.#state !== 'finished') {
      this.#isWoken = false;
      this.#timer?.cancel();
      this.#timerAt = Infinity;
      try {
        await this.#pass();
      } catch (error) {
        if (!(error instanceof Interrupted)) {
          const pod = describePod(this.#pod);
          this.#options.log.warn('pod not synced', { pod, why: messageOf(error) });
          this.#wakeIn(FAST_RETRY_MS);
        }
      }
      this.#wakeIn(jittered(this.#options.env, RESYNC_MS, RESYNC_JITTER));
    }
  }

  #wakeIn(delayMs: number): void {
    const { env } = this.#options;
    const at = env.monoMs() + delayMs;
    if (at >= this.#timerAt || this.#isStopped || this.#state === 'finished') return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = env.after(delayMs, () => this.wake());
  }

  #pass(): Promise<void> {
    switch (this.#state) {
      case 'syncing':
        return this.#syncOnce();
      case 'terminating':
        return this.#end();
      case 'terminated':
        return this.#afterEnd();
      case 'finished':
        return Promise.resolve();
      default:
        return this.#state satisfies never;
    }
  }

  async #view(): Promise<PodView> {
    const views = await this.#options.pleg.fresh();
    return views.get(this.uid) ?? emptyView(this.#pod);
  }

  #statusInput(view: PodView, isEnding: boolean): PodStatusInput {
    const { nodeIps, runtimeName, env, probes } = this.#options;
    return {
      pod: this.pod,
      view,
      facts: {
        waitReason: (name) => this.#sync.waitReason(name),
        isReady: (id) => probes.isReady(this.uid, id),
        hasStarted: (id) => probes.hasStarted(this.uid, id),
      },
      runtimeName,
      isEnding,
      nodeIps,
      nowMs: env.wallMs(),
      failure: this.#failure,
    };
  }

  async #syncOnce(): Promise<void> {
    const view = await this.#view();
    if (!this.#isAdmitted && !this.#admit(view)) return;
    const { pod } = this;
    const podIps = this.#options.runner.podIpsOf(pod, view);
    this.#options.probes.update(pod, view, podIps[0] ?? '', false);
    const { status, isOver } = podStatus(this.#statusInput(view, false));
    this.#options.statuses.set(this.#pod, status);
    if (isOver || this.#isPastDeadline(status.startTime)) {
      this.#terminate();
      return;
    }
    const { signal } = this.#ending;
    const wakeIn = (delayMs: number): void => this.#wakeIn(delayMs);
    if (await this.#sync.act({ pod: this.pod, view, podIps, signal, wakeIn })) this.#isWoken = true;
  }

  /** A pod that has a sandbox here was admitted before, maybe by a kubelet before this one. */
  #admit(view: PodView): boolean {
    const wasHere = view.sandboxes.length > 0 || this.#pod.status?.phase === 'Running';
    const rejection = wasHere ? undefined : this.#options.admit(this.#pod);
    if (rejection === undefined) {
      this.#isAdmitted = true;
      return true;
    }
    const { reason, message } = rejection;
    this.#options.recorder.event(podReference(this.#pod), 'Warning', reason, message);
    this.#failure = { reason, message: `Pod was rejected: ${message}` };
    this.#terminate();
    return false;
  }

  #isPastDeadline(startTime: string | undefined): boolean {
    const limit = this.#pod.spec.activeDeadlineSeconds;
    if (limit === undefined || startTime === undefined) return false;
    const leftMs = Date.parse(startTime) + limit * 1000 - this.#options.env.wallMs();
    if (leftMs > 0) {
      this.#wakeIn(leftMs);
      return false;
    }
    const message = 'Pod was active on the node longer than the specified deadline';
    this.#failure = { reason: 'DeadlineExceeded', message };
    const about = podReference(this.#pod);
    this.#options.recorder.event(about, 'Normal', 'DeadlineExceeded', message);
    return true;
  }

  async #end(): Promise<void> {
    const kill = this.#kill;
    const view = await this.#view();
    if (kill !== this.#kill) {
      // The view may be of a moment before it ended.
      this.#isWoken = true;
      return;
    }
    const { probes, runner, volumes } = this.#options;
    const [podIp = ''] = runner.podIpsOf(this.#pod, view);
    probes.update(this.#pod, view, podIp, true);
    if (isAlive(view)) {
      this.#tell(view, false);
      this.#killAll(view);
      return;
    }
    probes.remove(this.uid);
    this.#tell(view, true);
    await volumes.unmount(this.uid);
    this.#state = 'terminated';
    this.#isWoken = true;
  }

  #tell(view: PodView, isEnding: boolean): void {
    if (this.#isRemoved) return;
    const input = this.#statusInput(view, isEnding);
    const isRefused = this.#failure !== undefined && !this.#isAdmitted;
    const status = isRefused ? refusedStatus(input) : podStatus(input).status;
    this.#options.statuses.set(this.#pod, status);
  }

  /** Begins to end all containers; a shorter grace that comes later hurries them. */
  #killAll(view: PodView): void {
    const graceSeconds = graceSecondsOf(this.#pod);
    if (this.#kill !== undefined && this.#kill.graceSeconds <= graceSeconds) return;
    const work = this.#options.killer.killPod(this.#pod, view, graceSeconds);
    const kill = { graceSeconds, work };
    this.#kill = kill;
    const end = (error?: unknown): void => {
      if (this.#kill === kill) this.#kill = undefined;
      if (error === undefined) return this.wake();
      const pod = describePod(this.#pod);
      this.#options.log.warn('pod not ended', { pod, why: messageOf(error) });
      this.#wakeIn(FAST_RETRY_MS);
    };
    work.then(() => end(), end);
  }

  async #afterEnd(): Promise<void> {
    const { statuses, cleanUp, images, backOff, onFinished } = this.#options;
    if (!this.#isRemoved) {
      // Nothing runs any more, so its object may go.
      if (this.#pod.metadata.deletionTimestamp !== undefined) statuses.end(this.#pod);
      return;
    }
    statuses.forget(this.uid);
    await cleanUp(this.#pod);
    images.forget(this.uid);
    backOff.forget(`${this.uid}_`);
    this.#state = 'finished';
    this.#timer?.cancel();
    onFinished(this.uid);
  }
}
