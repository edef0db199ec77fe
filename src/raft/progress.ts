import { invariant } from '../base/invariant.js';
import type { Inflights } from './inflights.js';
import type { Index, MemberId } from './types.js';

export const ProgressState = { probe: 0, replicate: 1, snapshot: 2 } as const;
export type ProgressState = (typeof ProgressState)[keyof typeof ProgressState];

/** No incarnation of the peer has answered in this term. */
const UNKNOWN_INCARNATION = -1;

/**
 * One member as its leader sees it, and the messages it may be sent.
 *
 * probe:     where the logs meet is unknown; one append, then silence until an answer or a heartbeat's answer.
 * replicate: appends are pipelined within the window.
 * snapshot:  the entries the member needs are gone; nothing is sent until the snapshot's fate is known.
 *
 * Invariant: match < next. Every change of state empties the window.
 */
export class Progress {
  readonly id: MemberId;
  readonly inflights: Inflights;
  isLearner: boolean;
  match: Index = 0;
  next: Index;
  state: ProgressState = ProgressState.probe;
  /** Heard from within the current quorum-check period. */
  recentActive = false;
  /** probe: the one message is out. */
  probeSent = false;
  /** snapshot: index of the snapshot offered; the one really sent may be newer. */
  pendingSnapshot: Index = 0;
  /** Send an append at the next opportunity even when it is empty or the window is full. */
  forceAppend = false;
  /** Highest commit index sent to the member. */
  sentCommit: Index = 0;
  /** Highest read round the member acknowledged in this term. */
  ackedRound = 0;
  /** Match at the last timed heartbeat, and whether it had stood still since the one before with appends unanswered. */
  beatMatch: Index = 0;
  beatStuck = false;
  /** The last timed heartbeat has not been answered yet. */
  beatPending = false;
  incarnation = UNKNOWN_INCARNATION;

  constructor(id: MemberId, isLearner: boolean, next: Index, inflights: Inflights) {
    this.id = id;
    this.isLearner = isLearner;
    this.next = next;
    this.inflights = inflights;
  }

  /** Forgets everything of an earlier term; `next` is a guess. */
  resetForTerm(next: Index): void {
    this.match = 0;
    this.next = next;
    this.recentActive = false;
    this.sentCommit = 0;
    this.ackedRound = 0;
    this.beatMatch = 0;
    this.beatStuck = false;
    this.beatPending = false;
    this.incarnation = UNKNOWN_INCARNATION;
    this.enter(ProgressState.probe);
    this.forceAppend = false;
  }

  becomeProbe(): void {
    const next =
      this.state === ProgressState.snapshot
        ? Math.max(this.match, this.pendingSnapshot) + 1
        : this.match + 1;
    this.enter(ProgressState.probe);
    this.next = next;
    this.forceAppend = true;
    this.check();
  }

  /** Tries at the next heartbeat whether the logs meet at `index`, to which the member's own claim gave rise. */
  probeFrom(index: Index): void {
    this.enter(ProgressState.probe);
    this.next = Math.max(this.match, index) + 1;
    this.probeSent = true;
    this.forceAppend = false;
    this.check();
  }

  becomeReplicate(): void {
    this.enter(ProgressState.replicate);
    this.next = this.match + 1;
  }

  /** Requires: the member needs it, which one that holds entry `index` does not. */
  becomeSnapshot(index: Index): void {
    invariant(index > this.match, 'snapshot {} for a member that holds {}', index, this.match);
    this.enter(ProgressState.snapshot);
    this.pendingSnapshot = index;
    this.next = index + 1;
  }

  /** The snapshot did not arrive: start over from the last index known to match. */
  snapshotFailed(): void {
    this.pendingSnapshot = 0;
    this.becomeProbe();
    this.probeSent = true;
    this.forceAppend = false;
  }

  isPaused(): boolean {
    switch (this.state) {
      case ProgressState.probe:
        return this.probeSent;
      case ProgressState.replicate:
        return this.inflights.full();
      case ProgressState.snapshot:
        return true;
    }
  }

  /** Records that the member holds everything up to `index`; returns whether that is news. */
  maybeUpdate(index: Index): boolean {
    if (this.next <= index) this.next = index + 1;
    if (index <= this.match) return false;
    this.match = index;
    this.check();
    return true;
  }

  /**
   * Handles the rejection of an append after `rejected`; `hint` is where the logs may meet at most.
   * Returns false for one that does not concern the present state (R20, R21).
   */
  maybeDecreaseTo(rejected: Index, hint: Index): boolean {
    switch (this.state) {
      case ProgressState.snapshot:
        return false;
      case ProgressState.replicate:
        if (rejected <= this.match || rejected >= this.next) return false;
        this.becomeProbe();
        return true;
      case ProgressState.probe:
        if (this.next - 1 !== rejected) return false;
        this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
        this.probeSent = false;
        this.forceAppend = true;
        this.check();
        return true;
    }
  }

  /**
   * Decides whether an answer tagged with `incarnation` counts (R34). The rule, for one leader's term:
   *
   * 1. the first incarnation that answers is taken for the living one;
   * 2. another one takes over only by answering a later heartbeat `round` than the recorded one ever did, which
   *    proves that it was alive later. Nothing is then assumed about the member's log any more (match 0); it is
   *    probed from the old match;
   * 3. every other answer of an incarnation that is not the recorded one is discarded.
   *
   * Numbers are random, so only rounds can tell which of two processes is the younger. A late answer of a dead
   * process may win by rule 2 for a moment; the next round the living one answers puts that right.
   * Requires: distinct boots draw distinct numbers; `round` is 0 for everything but heartbeat answers.
   */
  admit(incarnation: number, round: number): boolean {
    invariant(incarnation >= 0 && round >= 0, 'incarnation {} or round {}', incarnation, round);
    if (incarnation === this.incarnation) return true;
    if (this.incarnation !== UNKNOWN_INCARNATION) {
      if (round <= this.ackedRound) return false;
      const next = this.match + 1;
      this.match = 0;
      this.sentCommit = 0;
      this.enter(ProgressState.probe);
      this.next = next;
      this.forceAppend = true;
    }
    this.incarnation = incarnation;
    return true;
  }

  private check(): void {
    invariant(this.match < this.next, 'match {} is not below next {}', this.match, this.next);
  }

  private enter(state: ProgressState): void {
    this.state = state;
    this.probeSent = false;
    this.pendingSnapshot = 0;
    this.inflights.reset();
  }
}
