import { invariant } from '../base/invariant.js';
import { PENDING_READS_MAX } from './limits.js';
import type { Index, MemberId } from './types.js';

/** A linearizable read waiting for proof that this member still leads. */
export interface PendingRead {
  /** The asker; NONE for this member itself. */
  readonly from: MemberId;
  readonly context: number;
  /** The asker's boot, echoed so that an answer cannot be taken for one to a later boot's request. */
  readonly incarnation: number;
  /** The commit index when the read arrived. */
  readonly index: Index;
  /** The first heartbeat round that is sent after the read arrived. */
  readonly round: number;
}

/**
 * The leader's linearizable reads (R12, thesis §6.4).
 *
 * Heartbeats carry a round number that only ever grows on this member. A read belongs to the next
 * round to be sent. The sender of an acknowledgement of round c thus still followed this leader
 * after every read with round <= c had arrived. It proves nothing for later reads. Everything is
 * dropped when the term changes.
 */
export class ReadOnly {
  /** The last round sent. Starts above 0, which marks heartbeats that want no answer. */
  round = 1;
  /** Some read waits for a round that has not been sent. */
  roundPending = false;
  /** In order of arrival, so rounds ascend. */
  private pending: PendingRead[] = [];
  /** Reads that arrived before this leader committed an entry of its term (D4). */
  private early: PendingRead[] = [];

  register(from: MemberId, context: number, incarnation: number, index: Index): void {
    if (this.pending.length >= PENDING_READS_MAX) return;
    this.pending.push({ from, context, incarnation, index, round: this.round + 1 });
    this.roundPending = true;
  }

  postpone(from: MemberId, context: number, incarnation: number): void {
    if (this.early.length >= PENDING_READS_MAX) return;
    this.early.push({ from, context, incarnation, index: 0, round: 0 });
  }

  startRound(): number {
    this.round++;
    this.roundPending = false;
    return this.round;
  }

  hasPending(): boolean {
    return this.pending.length > 0;
  }

  /** Removes and returns the reads that a majority's acknowledgement of `round` confirms. */
  takeConfirmed(round: number): readonly PendingRead[] {
    invariant(round <= this.round, 'round {} is confirmed, {} was sent last', round, this.round);
    let n = 0;
    while (n < this.pending.length && (this.pending[n]?.round ?? Infinity) <= round) n++;
    return this.pending.splice(0, n);
  }

  takeEarly(): readonly PendingRead[] {
    const early = this.early;
    if (early.length > 0) this.early = [];
    return early;
  }

  clear(): void {
    this.pending = [];
    this.early = [];
    this.roundPending = false;
  }
}
