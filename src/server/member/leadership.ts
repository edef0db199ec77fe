import type { Env } from '../../base/env/env.js';
import type { Logger } from '../../base/observe/logger.js';
import type { Lessor } from '../../lease/lessor.js';
import type { RawNode } from '../../raft/raw-node.js';
import { NONE, Role, type MemberId, type SoftState } from '../../raft/types.js';
import { idText } from '../../base/bytes/id-text.js';
import type { Leadership } from '../contract/roles.js';

export interface LeadershipParts {
  readonly env: Env;
  readonly log: Logger;
  readonly memberId: MemberId;
  readonly node: Pick<RawNode, 'role' | 'leader' | 'term' | 'commitIndex' | 'appliedIndex'>;
  readonly lessor: Lessor;
  readonly electionMs: number;
  /** Runs each time this member begins to lead. */
  readonly onLead: () => void;
}

/** Follows who leads: turns the core's role changes into the lessor's, and lets others wait for a leader. */
export class LeadershipTracker implements Leadership {
  readonly electionMs: number;
  /** Leaders seen since start, a return of the same one included. */
  changes = 0;
  private readonly p: LeadershipParts;
  private leaderlessSince: number | undefined;
  private lastLeader: MemberId = NONE;
  private whenLed: (() => void)[] = [];

  constructor(parts: LeadershipParts) {
    this.p = parts;
    this.electionMs = parts.electionMs;
    this.leaderlessSince = parts.env.clock.monoMs();
  }

  get isLeader(): boolean {
    return this.p.node.role === Role.leader;
  }

  get leaderId(): MemberId {
    return this.p.node.leader;
  }

  get term(): number {
    return this.p.node.term;
  }

  get committedIndex(): number {
    return this.p.node.commitIndex;
  }

  get appliedIndex(): number {
    return this.p.node.appliedIndex;
  }

  get leaderlessSinceMs(): number | undefined {
    return this.leaderlessSince;
  }

  /** Runs `callback` once this member has a leader. */
  onceLed(callback: () => void): void {
    if (this.leaderId !== NONE) callback();
    else this.whenLed.push(callback);
  }

  onSoftState(state: SoftState): void {
    const nowMs = this.p.env.clock.monoMs();
    if (state.leader === NONE) this.leaderlessSince ??= nowMs;
    else this.leaderAppeared(state.leader);
    if (state.leader !== this.lastLeader) this.reportLeader(this.lastLeader, state.leader);
    this.lastLeader = state.leader;
    this.updateLessor(state, nowMs);
  }

  private leaderAppeared(leader: MemberId): void {
    if (leader !== this.lastLeader) this.changes++;
    this.leaderlessSince = undefined;
    const waiting = this.whenLed;
    this.whenLed = [];
    for (const callback of waiting) callback();
  }

  /** The lines of etcd's raft (node.go). */
  private reportLeader(from: MemberId, to: MemberId): void {
    const { log, memberId } = this.p;
    const own = idText(memberId);
    const [was, is] = [idText(from), idText(to)];
    const change =
      from === NONE
        ? `elected leader ${is}`
        : to === NONE
          ? `lost leader ${was}`
          : `changed leader from ${was} to ${is}`;
    log.info(`raft.node: ${own} ${change} at term ${this.term}`);
  }

  /** Only the leader's lessor keeps time. */
  private updateLessor(state: SoftState, nowMs: number): void {
    const { lessor, log } = this.p;
    if (state.role === Role.leader) {
      if (lessor.isPrimary) return;
      lessor.promote(nowMs, this.electionMs);
      log.info('became leader', { term: this.term });
      this.p.onLead();
    } else if (lessor.isPrimary) {
      lessor.demote();
      log.info('no longer leader', { term: this.term, leader: state.leader });
    }
  }
}
