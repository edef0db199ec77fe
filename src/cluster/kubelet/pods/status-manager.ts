/**
 * Brings statuses of pods to the API server: the newest of each pod, one write at a time, again
 * until it is there. A pod that ended is deleted when its last status has arrived.
 */
import type { Logger } from '../../../base/observe/logger.js';
import type { Pod, PodStatus } from '../../../gen/kube-core-v1.js';
import { ApiError } from '../../api/status.js';
import type { KubeClient } from '../../client/client.js';
import type { ClusterEnv } from '../../env.js';
import { jittered, sleep } from '../../env.js';
import { PODS } from '../../client/resource-types.js';
import { isTerminalPhase, uidOf } from './pod-spec.js';
import { messageOf } from './start-error.js';
import { statusPatch, withStatus } from './status-patch.js';

const FIRST_RETRY_MS = 200;
const MAX_RETRY_MS = 10_000;

export interface StatusManagerOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: KubeClient;
}

interface Entry {
  /** As the API server last had it, as far as we know. */
  base: Pod;
  wanted: PodStatus;
  /** Delete it once its status is written. */
  isEnding: boolean;
  isWriting: boolean;
  /** It is not there any more: nothing is to be written. */
  isGone: boolean;
}

export class StatusManager {
  readonly #options: StatusManagerOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #stopped = new AbortController();

  constructor(options: StatusManagerOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#stopped.abort();
  }

  /** The pod with its newest status, written or not. */
  known(pod: Pod): Pod {
    const entry = this.#entries.get(uidOf(pod));
    return entry === undefined ? pod : withStatus(pod, entry.wanted);
  }

  /** Wants `status` to be that of the pod. */
  set(pod: Pod, status: PodStatus): void {
    const entry = this.#entryOf(pod);
    entry.wanted = status;
    this.#write(entry);
  }

  /** Wants the pod deleted, now that nothing of it is left on the node. */
  end(pod: Pod): void {
    const entry = this.#entryOf(pod);
    entry.isEnding = true;
    this.#write(entry);
  }

  /**
   * The informer's newer object of a pod, with what others wrote: an end stands, and what else is not
   * as it is gets written again with the next status.
   */
  observe(pod: Pod): void {
    const entry = this.#entries.get(uidOf(pod));
    if (entry === undefined || entry.isWriting || !isNewer(pod, entry.base)) return;
    entry.base = pod;
    const { phase, reason, message } = pod.status ?? {};
    if (isTerminalPhase(phase) && !isTerminalPhase(entry.wanted.phase)) {
      entry.wanted = { ...entry.wanted, phase, reason, message };
    }
  }

  forget(uid: string): void {
    const entry = this.#entries.get(uid);
    if (entry !== undefined) entry.isGone = true;
    this.#entries.delete(uid);
  }

  #entryOf(pod: Pod): Entry {
    const uid = uidOf(pod);
    let entry = this.#entries.get(uid);
    if (entry === undefined) {
      const wanted = pod.status ?? {};
      entry = { base: pod, wanted, isEnding: false, isWriting: false, isGone: false };
      this.#entries.set(uid, entry);
    }
    return entry;
  }

  #write(entry: Entry): void {
    if (entry.isWriting || entry.isGone) return;
    entry.isWriting = true;
    void this.#writeAll(entry).finally(() => {
      entry.isWriting = false;
    });
  }

  async #writeAll(entry: Entry): Promise<void> {
    const { env } = this.#options;
    let retryMs = FIRST_RETRY_MS;
    while (!entry.isGone && !this.#stopped.signal.aborted) {
      try {
        if (!(await this.#writeOnce(entry))) return;
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (isLost(error)) {
          entry.isGone = true;
          return;
        }
        this.#options.log.warn('status of a pod not written', {
          pod: entry.base.metadata.name,
          why: messageOf(error),
        });
        await sleep(env, jittered(env, retryMs, 0.2), this.#stopped.signal);
        retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
      }
    }
  }

  /** Returns false when there is nothing left to write. */
  async #writeOnce(entry: Entry): Promise<boolean> {
    const { name = '', namespace = '' } = entry.base.metadata;
    const pods = this.#options.client.resource(PODS, namespace);
    const { signal } = this.#stopped;
    const patch = statusPatch(entry.base, entry.base.status ?? {}, entry.wanted);
    if (patch !== undefined) {
      entry.base = await pods.patchStatus(name, 'strategic', patch, { signal });
      return true;
    }
    if (!entry.isEnding) return false;
    const uid = uidOf(entry.base);
    await pods.delete(name, { gracePeriodSeconds: 0, preconditions: { uid }, signal });
    entry.isGone = true;
    return false;
  }
}

/** The pod is not there, or another one has its name: the uid in a write does not fit. */
function isLost(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  if (error.code === 404) return true;
  return (error.code === 409 || error.code === 422) && /\buid\b/i.test(error.message);
}

function isNewer(a: Pod, b: Pod): boolean {
  const [left, right] = [a.metadata.resourceVersion ?? '0', b.metadata.resourceVersion ?? '0'];
  return left.length === right.length ? left > right : left.length > right.length;
}
