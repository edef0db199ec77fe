/** All pods of the node: a worker for each, and an end for what belongs to none. */
import type { Logger } from '../../../base/observe/logger.js';
import type { Pod } from '../../../gen/kube-core-v1.js';
import type { Informer } from '../../client/informer.js';
import type { ClusterEnv, ClusterTimer } from '../../env.js';
import type { PodLeftovers } from './leftovers.js';
import type { Pleg } from './pleg.js';
import { isTerminalPhase, uidOf } from './pod-spec.js';
import type { WorkerOptions } from './pod-worker.js';
import { PodWorker } from './pod-worker.js';
import type { StatusManager } from './status-manager.js';
import { messageOf } from './start-error.js';

const HOUSEKEEPING_MS = 2000;

export interface PodManagerOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly informer: Informer<Pod>;
  readonly pleg: Pleg;
  readonly statuses: StatusManager;
  readonly leftovers: PodLeftovers;
  readonly worker: Omit<WorkerOptions, 'onFinished'>;
  /** Called with every object of a pod that is to run here, and when it is no longer. */
  readonly onPod: (pod: Pod) => void;
  readonly onPodGone: (uid: string) => void;
}

export class PodManager {
  readonly #options: PodManagerOptions;
  readonly #workers = new Map<string, PodWorker>();
  #timer: ClusterTimer | undefined;
  #housekeeping: Promise<void> = Promise.resolve();
  #removeHandler: (() => void) | undefined;
  #isStopped = false;

  constructor(options: PodManagerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#removeHandler = this.#options.informer.addHandler({
      onAdd: (pod) => this.#take(pod),
      onUpdate: (pod) => this.#take(pod),
      onDelete: (pod) => this.#release(pod),
    });
    this.#arm();
  }

  /** Containers go on. Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#removeHandler?.();
    this.#timer?.cancel();
    await this.#housekeeping;
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop()));
  }

  worker(uid: string): PodWorker | undefined {
    return this.#workers.get(uid);
  }

  get workers(): readonly PodWorker[] {
    return [...this.#workers.values()];
  }

  /** Pods with their newest statuses. */
  get pods(): Pod[] {
    return this.workers.map(({ pod }) => pod);
  }

  /** Pods that take up room, besides `except`. */
  activePods(except: Pod): Pod[] {
    const uid = except.metadata.uid;
    return this.workers.filter((worker) => worker.isActive && worker.uid !== uid).map((w) => w.pod);
  }

  #take(pod: Pod): void {
    const uid = uidOf(pod);
    this.#options.statuses.observe(pod);
    if (!isTerminalPhase(pod.status?.phase)) this.#options.onPod(pod);
    const known = this.#workers.get(uid);
    if (known !== undefined) return known.update(pod);
    const worker = new PodWorker(pod, {
      ...this.#options.worker,
      onFinished: () => this.#workers.delete(uid),
    });
    this.#workers.set(uid, worker);
  }

  #release(pod: Pod): void {
    const uid = uidOf(pod);
    this.#options.onPodGone(uid);
    const worker = this.#workers.get(uid);
    if (worker === undefined) return;
    worker.update(pod);
    worker.remove();
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.env.after(HOUSEKEEPING_MS, () => {
      this.#housekeeping = this.#keepHouse().finally(() => this.#arm());
    });
  }

  async #keepHouse(): Promise<void> {
    // Before all pods are known, everything would look as if it belonged to none.
    if (!this.#options.informer.hasSynced) return;
    try {
      const { leftovers, pleg } = this.#options;
      const views = await pleg.fresh();
      await leftovers.collect(views, (uid) => this.#workers.has(uid));
    } catch (error) {
      this.#options.log.warn('housekeeping failed', { why: messageOf(error) });
    }
  }
}
