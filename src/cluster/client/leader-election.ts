import type { Logger } from '../../base/observe/logger.js';
import type { Lease, LeaseSpec } from '../../gen/kube-coordination-v1.js';
import { isApiError } from '../api/status.js';
import { formatMicroTime } from '../api/time.js';
import { jittered, sleep, type ClusterEnv } from '../env.js';
import type { KubeClient, ResourceClient } from './client.js';
import { LEASES } from './resource-types.js';

export interface LeaderElectionOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: KubeClient;
  /** Of the Lease that is the lock. */
  readonly namespace: string;
  readonly name: string;
  /** Of this candidate, different from all others: `host_uuid`. */
  readonly identity: string;
  /** Time that others wait for a leader that does not renew; 15 s. Whole seconds. */
  readonly leaseDurationMs?: number;
  /** Time without a renewal after which the leader gives up; 10 s. Shorter than the lease. */
  readonly renewDeadlineMs?: number;
  /** Between two attempts; 2 s. */
  readonly retryPeriodMs?: number;
  /**
   * Does what only a leader may do. `signal` aborts when leadership is lost or no longer wanted,
   * and the promise must settle soon after; the next term, and the release of the lease, wait for
   * it. A term ends when it settles by itself, too.
   */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  /** Someone else, or this candidate, was seen as the new leader. */
  readonly onNewLeader?: (identity: string) => void;
}

/** As client-go: attempts of candidates spread over a little more than two periods. */
const RETRY_JITTER = 1.2;

interface Observed {
  readonly lease: Lease;
  /** Monotonic milliseconds at which it was first seen like this, by this process's own clock. */
  readonly atMs: number;
}

/**
 * A candidate for the leadership of a group, by a Lease as the lock, as client-go's
 * (k8s.io/client-go/tools/leaderelection). Clocks of candidates may differ: each measures on its
 * own how long the lease has not changed. They must run at about the same speed.
 *
 * At most one leads at a time, as long as `lead` ends within leaseDurationMs - renewDeadlineMs of
 * its signal.
 */
export class LeaderElector {
  readonly #options: LeaderElectionOptions;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  readonly #leases: ResourceClient<Lease>;
  #observed: Observed | undefined;
  #reported = '';

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2000;
    this.#leases = options.client.resource(LEASES, options.namespace);
  }

  /** The identity of the leader as last seen; empty when there is none. */
  get leader(): string {
    return this.#observed?.lease.spec.holderIdentity ?? '';
  }

  /** Campaigns, leads, and campaigns again, until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { env } = this.#options;
    while (!signal.aborted) {
      const triedMs = env.monoMs();
      if (await this.#tryOnce(this.#renewDeadlineMs, signal)) await this.#term(triedMs, signal);
      await sleep(env, jittered(env, this.#retryPeriodMs, RETRY_JITTER), signal);
    }
  }

  /** `acquiredMs` is before the lease was taken, so that others see it later. */
  async #term(acquiredMs: number, signal: AbortSignal): Promise<void> {
    const { log, name, identity } = this.#options;
    log.info('leading', { name, identity });
    const term = new AbortController();
    const stop = (): void => term.abort();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const leading = this.#lead(term.signal).finally(stop);
    await this.#renew(acquiredMs, term.signal);
    stop();
    await leading;
    signal.removeEventListener('abort', stop);
    await this.#release();
    log.info('no longer leading', { name, identity });
  }

  async #lead(signal: AbortSignal): Promise<void> {
    const { log, name, lead } = this.#options;
    try {
      await lead(signal);
    } catch (error) {
      log.error('leading failed', { name, error });
    }
  }

  /** Returns when the lease could not be renewed in time, or when `signal` aborts. */
  async #renew(acquiredMs: number, signal: AbortSignal): Promise<void> {
    const { env, log, name, identity } = this.#options;
    let endsMs = acquiredMs + this.#renewDeadlineMs;
    for (;;) {
      await sleep(env, Math.min(this.#retryPeriodMs, endsMs - env.monoMs()), signal);
      if (signal.aborted) return;
      const triedMs = env.monoMs();
      const isRenewed = endsMs > triedMs && (await this.#tryOnce(endsMs - triedMs, signal));
      if (isRenewed) endsMs = triedMs + this.#renewDeadlineMs;
      if (signal.aborted) return;
      if (endsMs > env.monoMs() && this.leader === identity) continue;
      log.warn('leadership lost', { name, leader: this.leader });
      return;
    }
  }

  /** One attempt to take the lease or to renew it, with a limit of time. */
  async #tryOnce(limitMs: number, signal: AbortSignal): Promise<boolean> {
    const { env, log, name } = this.#options;
    const attempt = new AbortController();
    const abort = (): void => attempt.abort();
    const timer = env.after(limitMs, abort);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await this.#acquireOrRenew(attempt.signal);
    } catch (error) {
      if (isApiError(error, 'Conflict') || isApiError(error, 'AlreadyExists')) {
        log.debug('another candidate was faster', { name });
      } else if (!signal.aborted) log.warn('lease not reached', { name, error });
      return false;
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', abort);
      this.#report();
    }
  }

  async #acquireOrRenew(signal: AbortSignal): Promise<boolean> {
    const { env, namespace, name, identity } = this.#options;
    let lease: Lease;
    try {
      lease = await this.#leases.get(name, { signal });
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
      const metadata = { name, namespace };
      const spec = this.#spec(undefined);
      const created: Lease = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata,
        spec,
      };
      this.#observe(await this.#leases.create(created, { signal }));
      return true;
    }
    const observed = this.#observe(lease);
    const { holderIdentity = '', leaseDurationSeconds = 0 } = lease.spec;
    const endsMs = observed.atMs + leaseDurationSeconds * 1000;
    const isHeld = holderIdentity !== '' && endsMs > env.monoMs();
    if (isHeld && holderIdentity !== identity) return false;
    const next = { ...lease, spec: { ...lease.spec, ...this.#spec(lease.spec) } };
    this.#observe(await this.#leases.update(next, { signal }));
    return true;
  }

  #spec(before: LeaseSpec | undefined): LeaseSpec {
    const { env, identity } = this.#options;
    const now = formatMicroTime(env.wallMs());
    const isOwn = before?.holderIdentity === identity;
    const transitions = before?.leaseTransitions ?? 0;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: isOwn ? before.acquireTime : now,
      renewTime: now,
      leaseTransitions: before === undefined || isOwn ? transitions : transitions + 1,
    };
  }

  #observe(lease: Lease): Observed {
    const known = this.#observed;
    const isSame = known?.lease.metadata.resourceVersion === lease.metadata.resourceVersion;
    if (known !== undefined && isSame) return known;
    this.#observed = { lease, atMs: this.#options.env.monoMs() };
    return this.#observed;
  }

  /** Lets others lead at once; without it they wait for the lease to end. */
  async #release(): Promise<void> {
    const { env, log, name, identity } = this.#options;
    const lease = this.#observed?.lease;
    if (lease === undefined || lease.spec.holderIdentity !== identity) return;
    const now = formatMicroTime(env.wallMs());
    const { leaseTransitions } = lease.spec;
    const spec = {
      holderIdentity: '',
      leaseDurationSeconds: 1,
      acquireTime: now,
      renewTime: now,
      leaseTransitions,
    };
    const limit = new AbortController();
    const timer = env.after(this.#renewDeadlineMs, () => limit.abort());
    try {
      this.#observe(await this.#leases.update({ ...lease, spec }, { signal: limit.signal }));
    } catch (error) {
      log.warn('lease not released', { name, error });
    } finally {
      timer.cancel();
      this.#report();
    }
  }

  #report(): void {
    if (this.leader === this.#reported) return;
    this.#reported = this.leader;
    if (this.leader !== '') this.#options.onNewLeader?.(this.leader);
  }
}
