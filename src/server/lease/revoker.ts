import type { Timer } from '../../base/env/env.js';
import { ENDLESS } from '../../base/slices/sliced-work.js';
import { encodeLeaseCheckpointRequest } from '../../gen/rpc.js';
import type { LeaseId } from '../../mvcc/types.js';
import { errors } from '../contract/errors.js';
import { encodeLeaseExpiry } from '../contract/lease-expiry.js';
import type { Roles } from '../contract/roles.js';
import { CommandKind } from '../contract/command.js';
import {
  CHECKPOINTS_PER_ENTRY,
  CHECK_MS,
  LEASES_PER_CHECK,
  MAX_REVOCATIONS_IN_FLIGHT,
  PLACED_PER_LOOK,
} from './limits.js';

export type RevokerRoles = Pick<Roles, 'env' | 'lessor' | 'reads' | 'proposals' | 'leadership'>;

/**
 * Ends leases whose time is up: on the leader only, by proposing a revocation for each. Once it
 * leads, it first gives the existing leases their time.
 *
 * Before it takes up expired leases it has its leadership confirmed, so that a leader that was cut
 * off, or slept, takes up none. Leases taken up in one term it does not propose in another, because
 * there a client may have renewed them. After a stall longer than an election timeout it waits for
 * one more check, so that keepalives that arrived meanwhile are read first.
 */
export class LeaseRevoker {
  private readonly roles: RevokerRoles;
  private readonly withCheckpoints: boolean;
  private timer: Timer | undefined = undefined;
  private dueMs = 0;
  private stopped = true;
  /** Waits for its leadership to be confirmed. */
  private confirming = false;
  /** Taken up and not proposed yet; all of `queueTerm`. */
  private queue: LeaseId[] = [];
  private queueTerm = 0;
  private inFlight = 0;
  private pumping = false;
  /** Gives leases their place after promotion. */
  private placing = false;
  private expiredCount = 0;

  constructor(roles: RevokerRoles, options: { readonly checkpoint: boolean }) {
    this.roles = roles;
    this.withCheckpoints = options.checkpoint;
    if (options.checkpoint) roles.lessor.keepCheckpoints();
  }

  /** Leases whose revocation was proposed because their time was up. */
  get expiredTotal(): number {
    return this.expiredCount;
  }

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
    this.queue = [];
  }

  private schedule(): void {
    this.dueMs = this.roles.env.clock.monoMs() + CHECK_MS;
    this.timer = this.roles.env.after(CHECK_MS, this.check);
  }

  private readonly check = (): void => {
    if (this.stopped) return;
    const { roles } = this;
    const nowMs = roles.env.clock.monoMs();
    const heldUp = nowMs - this.dueMs > roles.leadership.electionMs;
    this.schedule();
    if (!this.isInCharge()) {
      this.queue = [];
      return;
    }
    this.placeLeases();
    if (heldUp || this.confirming) return;
    if (roles.lessor.hasExpired(nowMs)) this.confirmAndTake();
    if (this.withCheckpoints) this.logCheckpoints(nowMs);
  };

  private isInCharge(): boolean {
    return !this.stopped && this.roles.leadership.isLeader && this.roles.lessor.isPrimary;
  }

  /** Does nothing once all have their place. */
  private placeLeases(): void {
    if (this.placing) return;
    this.placing = true;
    const { env, lessor } = this.roles;
    const { slices } = this.roles.reads;
    // A lessor that was demoted meanwhile has none to place.
    const step = (): boolean => lessor.placeSome(env.clock.monoMs(), PLACED_PER_LOOK);
    slices.run(ENDLESS, step, () => {
      this.placing = false;
    });
  }

  private confirmAndTake(): void {
    const { roles } = this;
    const { term } = roles.leadership;
    this.confirming = true;
    roles.reads.linearizable((error) => {
      this.confirming = false;
      if (error !== null || !this.isInCharge() || roles.leadership.term !== term) return;
      if (this.queueTerm !== term) {
        this.queue = [];
        this.queueTerm = term;
      }
      const room = LEASES_PER_CHECK - this.queue.length;
      if (room <= 0) return;
      for (const id of roles.lessor.expired(roles.env.clock.monoMs(), room)) this.queue.push(id);
      this.pump();
    });
  }

  /** Proposes what is queued as far as the limit allows. */
  private pump(): void {
    // A refusal may come at once, from within `propose`.
    if (this.pumping) return;
    this.pumping = true;
    let proposed = 0;
    while (this.inFlight < MAX_REVOCATIONS_IN_FLIGHT) {
      const id = this.queue[proposed];
      if (id === undefined) break;
      if (!this.isInCharge() || this.roles.leadership.term !== this.queueTerm) {
        this.queue = [];
        proposed = 0;
        break;
      }
      proposed++;
      if (this.roles.lessor.exists(id)) this.propose(id);
    }
    if (proposed > 0) this.queue = this.queue.slice(proposed);
    this.pumping = false;
  }

  private propose(id: LeaseId): void {
    this.inFlight++;
    this.expiredCount++;
    const request = encodeLeaseExpiry(this.queueTerm, id);
    this.roles.proposals.propose(CommandKind.leaseExpire, request, (error) => {
      this.inFlight--;
      if (error !== null && error !== errors.leaseNotFound) {
        this.roles.lessor.revokeFailed(id, this.roles.env.clock.monoMs());
      }
      this.pump();
    });
  }

  private logCheckpoints(nowMs: number): void {
    const due = this.roles.lessor.dueCheckpoints(nowMs, CHECKPOINTS_PER_ENTRY);
    if (due.length === 0) return;
    const checkpoints = due.map(({ id, remainingSec }) => ({ ID: id, remainingTTL: remainingSec }));
    const request = encodeLeaseCheckpointRequest({ checkpoints });
    this.roles.proposals.propose(CommandKind.leaseCheckpoint, request, () => {
      // One that is lost makes the leases live longer, never shorter, and the next interval brings another.
    });
  }
}
