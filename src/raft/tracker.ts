import { invariant } from '../base/invariant.js';
import { applyChange, canonicalConf, isUsableConf } from './confchange.js';
import { Inflights } from './inflights.js';
import { Progress } from './progress.js';
import { majority, quorumValue, voteOutcome } from './quorum.js';
import type { VoteOutcome } from './quorum.js';
import type { ConfChange, ConfState, Index, MemberId, RaftConfig } from './types.js';

/**
 * The configuration in force on this member, a Progress for each of its members (this one included),
 * and the votes of a running election. All majorities are taken here.
 */
export class Tracker {
  private readonly config: RaftConfig;
  private readonly progress = new Map<MemberId, Progress>();
  private readonly votes = new Map<MemberId, boolean>();
  private readonly scratch: number[] = [];
  conf: ConfState = { voters: [], learners: [] };
  /** Everyone but this member, in order of id. */
  peers: Progress[] = [];
  voters: Progress[] = [];
  self: Progress | undefined;

  constructor(config: RaftConfig, conf: ConfState, next: Index) {
    this.config = config;
    this.setConf(conf, next);
  }

  get(id: MemberId): Progress | undefined {
    return this.progress.get(id);
  }

  isVoter(id: MemberId): boolean {
    const p = this.progress.get(id);
    return p !== undefined && !p.isLearner;
  }

  /** This member alone decides: it is the only voter. */
  isSoleVoter(): boolean {
    return this.voters.length === 1 && this.voters[0] === this.self;
  }

  /** Adopts the configuration after `change`; members that stay keep their progress. */
  apply(change: ConfChange, next: Index): void {
    const after = applyChange(this.conf, change);
    if (after !== this.conf) this.setConf(after, next);
  }

  setConf(conf: ConfState, next: Index): void {
    invariant(
      conf.voters.length + conf.learners.length === 0 || isUsableConf(conf),
      'a configuration without voters, or with a member twice',
    );
    this.conf = canonicalConf(conf);
    for (const id of this.progress.keys()) {
      if (!this.conf.voters.includes(id) && !this.conf.learners.includes(id))
        this.progress.delete(id);
    }
    for (const id of this.conf.voters) this.ensure(id, false, next);
    for (const id of this.conf.learners) this.ensure(id, true, next);
    this.peers = [];
    this.voters = [];
    for (const id of this.conf.voters) this.list(id);
    for (const id of this.conf.learners) this.list(id);
    this.peers.sort((a, b) => (a.id < b.id ? -1 : 1));
    this.self = this.progress.get(this.config.id);
  }

  resetForTerm(next: Index): void {
    for (const p of this.progress.values()) p.resetForTerm(next);
    this.votes.clear();
  }

  /** Highest index a majority of the voters hold durably. */
  committed(): Index {
    const { voters, scratch } = this;
    for (let i = 0; i < voters.length; i++) scratch[i] = voters[i]?.match ?? 0;
    return quorumValue(scratch, voters.length);
  }

  /** Highest read round a majority of the voters acknowledged; this member counts with `ownRound`. */
  confirmedRound(ownRound: number): number {
    const { voters, scratch } = this;
    for (let i = 0; i < voters.length; i++) {
      const p = voters[i];
      scratch[i] = p === this.self ? ownRound : (p?.ackedRound ?? 0);
    }
    return quorumValue(scratch, voters.length);
  }

  /** True if messages of a majority of the voters came since the last call; begins a new period. */
  takeQuorumActive(): boolean {
    let active = 0;
    for (const p of this.voters) if (p === this.self || p.recentActive) active++;
    for (const p of this.peers) p.recentActive = false;
    return active >= majority(this.voters.length);
  }

  /** Records an answer (the first of each member counts) and returns how the election stands. */
  recordVote(id: MemberId, granted: boolean): VoteOutcome {
    invariant(this.isVoter(id), 'a vote of {}, which is no voter', id);
    if (!this.votes.has(id)) this.votes.set(id, granted);
    let yes = 0;
    let no = 0;
    for (const p of this.voters) {
      const vote = this.votes.get(p.id);
      if (vote === true) yes++;
      else if (vote === false) no++;
    }
    return voteOutcome(this.voters.length, yes, no);
  }

  private ensure(id: MemberId, isLearner: boolean, next: Index): void {
    const known = this.progress.get(id);
    if (known !== undefined) {
      known.isLearner = isLearner;
      return;
    }
    const { maxInflightMessages, maxInflightBytes } = this.config;
    const p = new Progress(
      id,
      isLearner,
      next,
      new Inflights(maxInflightMessages, maxInflightBytes),
    );
    // A new member had no chance to answer yet; counting it as silent could depose the leader that added it.
    p.recentActive = true;
    this.progress.set(id, p);
  }

  private list(id: MemberId): void {
    const p = this.progress.get(id);
    if (p === undefined) return;
    if (!p.isLearner) this.voters.push(p);
    if (id !== this.config.id) this.peers.push(p);
  }
}
