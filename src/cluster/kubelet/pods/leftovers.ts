/** Ends and removes what pods leave behind: containers, sandboxes, files. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../../base/observe/logger.js';
import type { ContainerRuntime, ContainerStatus } from '../../runtime/runtime.js';
import type { PodVolumes } from '../volumes/pod-volumes.js';
import type { Pleg } from './pleg.js';
import type { PodPaths } from './pod-paths.js';
import type { PodView } from './pod-view.js';
import { GRACE_PERIOD, isAlive, runningContainers } from './pod-view.js';
import { messageOf } from './start-error.js';

/** Of one name: the newest, and the one before it for `kubectl logs --previous`. */
const KEPT_CONTAINERS = 2;
const DEFAULT_GRACE_SECONDS = 30;

export interface LeftoversOptions {
  readonly log: Logger;
  readonly runtime: ContainerRuntime;
  readonly pleg: Pleg;
  readonly paths: PodPaths;
  readonly volumes: PodVolumes;
}

export class PodLeftovers {
  readonly #options: LeftoversOptions;
  /** Pods being removed now. */
  readonly #busy = new Set<string>();

  constructor(options: LeftoversOptions) {
    this.#options = options;
  }

  /** Removes all of a pod that has ended: sandboxes with their containers, volumes, logs. */
  async removePod(uid: string): Promise<void> {
    const { runtime, pleg, paths, volumes } = this.#options;
    const view = (await pleg.fresh()).get(uid);
    for (const { id } of view?.sandboxes ?? []) await runtime.removePodSandbox(id);
    const rest = (await pleg.fresh()).get(uid)?.containers ?? [];
    for (const { id } of rest) await runtime.removeContainer(id);
    await volumes.unmount(uid);
    await rm(paths.pod(uid), { recursive: true, force: true });
    const logs = await namesIn(paths.logsDirectory);
    for (const name of logs.filter((one) => one.endsWith(`_${uid}`))) {
      await rm(join(paths.logsDirectory, name), { recursive: true, force: true });
    }
  }

  /** One round over the node. `isKnown` tells which pods have somebody who cares for them. */
  async collect(
    views: ReadonlyMap<string, PodView>,
    isKnown: (uid: string) => boolean,
  ): Promise<void> {
    for (const view of views.values()) {
      if (isKnown(view.uid)) await this.#prune(view);
      else this.#endOrphan(view);
    }
    await this.#removeFiles(views, isKnown);
  }

  /** A pod that the API server no longer has ends with the grace that it had. */
  #endOrphan(view: PodView): void {
    const { uid } = view;
    if (this.#busy.has(uid)) return;
    this.#busy.add(uid);
    const { runtime, log } = this.#options;
    const work = async (): Promise<void> => {
      if (isAlive(view)) log.info('ending a pod that is not known', { uid, name: view.name });
      await Promise.all(
        runningContainers(view).map((one) => runtime.stopContainer(one.id, graceOf(one))),
      );
      await this.removePod(uid);
    };
    work()
      .catch((error: unknown) => {
        log.warn('pod that is not known was not removed', { uid, why: messageOf(error) });
      })
      .finally(() => this.#busy.delete(uid));
  }

  /** Old containers and sandboxes of a pod that goes on. */
  async #prune(view: PodView): Promise<void> {
    const { runtime } = this.#options;
    const seen = new Map<string, number>();
    const kept = new Set<string>();
    for (const container of view.containers) {
      const count = (seen.get(container.name) ?? 0) + 1;
      seen.set(container.name, count);
      if (count <= KEPT_CONTAINERS || container.state !== 'exited') kept.add(container.sandboxId);
      else await this.#removeContainer(container);
    }
    for (const sandbox of view.sandboxes.slice(1)) {
      if (!sandbox.isReady && !kept.has(sandbox.id)) await runtime.removePodSandbox(sandbox.id);
    }
  }

  async #removeContainer({ id, logPath }: ContainerStatus): Promise<void> {
    await this.#options.runtime.removeContainer(id);
    await rm(logPath, { force: true });
  }

  async #removeFiles(
    views: ReadonlyMap<string, PodView>,
    isKnown: (uid: string) => boolean,
  ): Promise<void> {
    const { paths, volumes } = this.#options;
    const isLeft = (uid: string): boolean =>
      !isKnown(uid) && !views.has(uid) && !this.#busy.has(uid);
    for (const uid of (await namesIn(paths.podsDirectory)).filter(isLeft)) {
      await volumes.unmount(uid);
      await rm(paths.pod(uid), { recursive: true, force: true });
    }
    for (const name of await namesIn(paths.logsDirectory)) {
      const uid = name.slice(name.lastIndexOf('_') + 1);
      if (!isLeft(uid)) continue;
      await rm(join(paths.logsDirectory, name), { recursive: true, force: true });
    }
  }
}

function graceOf({ annotations }: ContainerStatus): number {
  return Number(annotations[GRACE_PERIOD] ?? DEFAULT_GRACE_SECONDS);
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch {
    // Nothing was ever made there.
    return [];
  }
}
