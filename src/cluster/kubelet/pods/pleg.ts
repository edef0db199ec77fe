/**
 * The pod lifecycle event generator: asks the runtime what there is, every second and whenever the
 * runtime reports something, and wakes the pods that changed. Nothing else is believed about
 * containers. One listing serves everybody who waits for one.
 */
import type { Logger } from '../../../base/observe/logger.js';
import type { ClusterEnv, ClusterTimer } from '../../env.js';
import type {
  ContainerRuntime,
  ContainerStatus,
  ContainerSummary,
  PodSandboxStatus,
} from '../../runtime/runtime.js';
import { RuntimeError } from '../../runtime/runtime.js';
import type { PodView } from './pod-view.js';
import { POD_NAMESPACE_LABEL, POD_NAME_LABEL, POD_UID_LABEL } from './pod-view.js';

const RELIST_MS = 1000;
/** Without a listing for so long, the node is not healthy. */
const UNHEALTHY_MS = 3 * 60 * 1000;

export interface PlegOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly runtime: ContainerRuntime;
  /** Called for each pod of which something changed since the listing before. */
  readonly onChange: (uid: string) => void;
  /** Termination message that an ended container left. */
  readonly readMessage: (container: ContainerStatus) => Promise<string>;
}

export class Pleg {
  readonly #options: PlegOptions;
  #views: ReadonlyMap<string, PodView> = new Map();
  #prints = new Map<string, string>();
  #details = new Map<string, ContainerStatus>();
  /** A listing that has not begun yet: who asks now gets that one. */
  #next: Promise<ReadonlyMap<string, PodView>> | undefined;
  #current: Promise<unknown> = Promise.resolve();
  #lastListMs: number;
  #timer: ClusterTimer | undefined;
  #endEvents: (() => void) | undefined;

  constructor(options: PlegOptions) {
    this.#options = options;
    this.#lastListMs = options.env.monoMs();
  }

  start(): void {
    this.#endEvents = this.#options.runtime.onEvent(() => void this.#relistQuietly());
    this.#tick();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#endEvents?.();
  }

  /** Empty when listings have succeeded lately, else why the node is not healthy. */
  problem(): string {
    const sinceMs = this.#options.env.monoMs() - this.#lastListMs;
    if (sinceMs < UNHEALTHY_MS) return '';
    return `PLEG is not healthy: pleg was last seen active ${Math.floor(sinceMs / 1000)}s ago; threshold is 3m0s`;
  }

  /** Pods as a listing found them that began after this call. Rejects when the runtime does not answer. */
  async fresh(): Promise<ReadonlyMap<string, PodView>> {
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      const listing = this.#list();
      this.#current = listing.catch(() => undefined);
      return listing;
    });
    return this.#next;
  }

  /** Pods as the latest listing found them. */
  get latest(): ReadonlyMap<string, PodView> {
    return this.#views;
  }

  #tick(): void {
    void this.#relistQuietly().then(() => {
      this.#timer = this.#options.env.after(RELIST_MS, () => this.#tick());
    });
  }

  async #relistQuietly(): Promise<void> {
    try {
      await this.fresh();
    } catch (error) {
      this.#options.log.warn('the runtime did not list its containers', { error });
    }
  }

  async #list(): Promise<ReadonlyMap<string, PodView>> {
    const { runtime, env } = this.#options;
    const startedMs = env.monoMs();
    const [sandboxes, containers] = await Promise.all([
      runtime.listPodSandboxes(),
      runtime.listContainers(),
    ]);
    const statuses = await this.#detailsOf(containers);
    this.#views = viewsOf(sandboxes, statuses);
    this.#lastListMs = startedMs;
    this.#reportChanges();
    return this.#views;
  }

  /** Statuses change only with the state of a container, except while it is not known. */
  async #detailsOf(containers: readonly ContainerSummary[]): Promise<ContainerStatus[]> {
    const details = new Map<string, ContainerStatus>();
    for (const container of containers) {
      const known = this.#details.get(container.id);
      const isKnown = known?.state === container.state && container.state !== 'unknown';
      const status = isKnown ? known : await this.#detail(container.id);
      if (status !== undefined) details.set(container.id, status);
    }
    this.#details = details;
    return [...details.values()];
  }

  async #detail(id: string): Promise<ContainerStatus | undefined> {
    try {
      const status = await this.#options.runtime.containerStatus(id);
      if (status.state !== 'exited') return status;
      const message = await this.#options.readMessage(status);
      return message === '' ? status : { ...status, message };
    } catch (error) {
      // Removed since it was listed.
      if (error instanceof RuntimeError && error.reason === 'NotFound') return undefined;
      throw error;
    }
  }

  #reportChanges(): void {
    const prints = new Map<string, string>();
    for (const [uid, view] of this.#views) prints.set(uid, fingerprint(view));
    const before = this.#prints;
    this.#prints = prints;
    for (const uid of new Set([...prints.keys(), ...before.keys()])) {
      if (prints.get(uid) !== before.get(uid)) this.#options.onChange(uid);
    }
  }
}

function fingerprint(view: PodView): string {
  const sandboxes = view.sandboxes.map(({ id, isReady, ips }) => `${id}${isReady}${ips.join()}`);
  const containers = view.containers.map(({ id, state }) => `${id}${state}`);
  return [...sandboxes, '/', ...containers].join(' ');
}

interface GrowingView {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly sandboxes: PodSandboxStatus[];
  readonly containers: ContainerStatus[];
}

/** By uid. Sandboxes and containers without a pod's labels belong to somebody else. */
function viewsOf(
  sandboxes: readonly PodSandboxStatus[],
  containers: readonly ContainerStatus[],
): Map<string, PodView> {
  const views = new Map<string, GrowingView>();
  const viewOf = (labels: Readonly<Record<string, string>>): GrowingView | undefined => {
    const uid = labels[POD_UID_LABEL];
    if (uid === undefined) return undefined;
    let view = views.get(uid);
    if (view === undefined) {
      const namespace = labels[POD_NAMESPACE_LABEL] ?? '';
      view = { uid, namespace, name: labels[POD_NAME_LABEL] ?? '', sandboxes: [], containers: [] };
      views.set(uid, view);
    }
    return view;
  };
  for (const sandbox of sandboxes) viewOf(sandbox.config.labels)?.sandboxes.push(sandbox);
  for (const container of containers) viewOf(container.labels)?.containers.push(container);
  for (const view of views.values()) {
    view.sandboxes.sort((a, b) =>
      newestFirst(a.config.attempt, b.config.attempt, a.createdAtMs, b.createdAtMs),
    );
    view.containers.sort((a, b) => newestFirst(a.createdAtMs, b.createdAtMs, a.attempt, b.attempt));
  }
  return views;
}

/** Orders by the first pair of numbers, then by the second, the larger before the smaller. */
function newestFirst(a: number, b: number, thenA: number, thenB: number): number {
  return a === b ? thenB - thenA : b - a;
}
