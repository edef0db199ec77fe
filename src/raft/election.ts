import { invariant } from '../base/invariant.js';
import type { Raft } from './raft.js';
import { MessageType, NONE, Role } from './types.js';
import type { MemberId, Message, Term } from './types.js';

/*
 * Timers and votes (§5.2, §5.4.1; pre-vote and leader stickiness: thesis §9.6, §4.2.3).
 */

/** After its leader's process has ended, a member campaigns within so many ticks (R35). */
const FORGET_TICKS = 3;

export function tick(r: Raft): void {
  if (r.role === Role.leader) {
    tickLeader(r);
    return;
  }
  campaignIfDue(r);
  r.electionElapsed++;
  if (r.electionElapsed >= r.electionTimeout && isPromotable(r)) r.electionDue = true;
}

export function campaignIfDue(r: Raft): void {
  if (!r.electionDue) return;
  r.electionDue = false;
  campaign(r);
}

/** Starts an election unless this member may not lead now. */
export function campaign(r: Raft): void {
  if (r.role === Role.leader || !mayCampaign(r)) return;
  if (!r.config.preVote) {
    campaignForReal(r, false);
    return;
  }
  r.becomePreCandidate();
  requestVotes(r, MessageType.preVote, r.term + 1, false);
  // A pre-vote promises nothing, so the own one needs no disk.
  count(r, r.id, true);
}

/** The write of a term and vote is durable: only now may a candidate count its own vote (C11). */
export function ownVoteDurable(r: Raft, term: Term): void {
  invariant(term <= r.term, 'a vote of term {} is durable in term {}', term, r.term);
  if (r.role === Role.candidate && r.term === term) count(r, r.id, true);
}

/** Answers a vote or pre-vote request whose term is not below the own one. Learners vote too (C15). */
export function handleVoteRequest(r: Raft, m: Message): void {
  invariant(m.term >= r.term, 'a request for votes of term {} in term {}', m.term, r.term);
  const pre = m.type === MessageType.preVote;
  const free =
    r.vote === m.from || (r.vote === NONE && r.leader === NONE) || (pre && m.term > r.term);
  const granted = free && r.log.isUpToDate(m.index, m.logTerm);
  answerVote(r, m, granted);
  if (granted && !pre) {
    r.vote = m.from;
    r.electionElapsed = 0;
    r.electionDue = false;
  }
}

/** A granted pre-vote echoes the term asked for; everything else carries the own term (R9). */
export function answerVote(r: Raft, m: Message, granted: boolean): void {
  const pre = m.type === MessageType.preVote;
  const answer = r.compose(pre ? MessageType.preVoteResponse : MessageType.voteResponse, m.from);
  answer.reject = !granted;
  if (pre && granted) answer.term = m.term;
  r.afterSync.push(answer);
}

export function handleVoteResponse(r: Raft, m: Message): void {
  if (m.type === MessageType.preVoteResponse) {
    if (r.role !== Role.preCandidate || m.term !== (m.reject ? r.term : r.term + 1)) return;
  } else if (r.role !== Role.candidate) return;
  if (r.tracker.isVoter(m.from)) count(r, m.from, !m.reject);
}

/** The leader hands over: campaign at once, past pre-vote and stickiness. */
export function handleTimeoutNow(r: Raft, m: Message): void {
  if (r.role === Role.follower && r.leader === m.from && mayCampaign(r)) campaignForReal(r, true);
}

/** True if a request for votes of a higher term must be ignored because a leader is alive (R10). */
export function isSticky(r: Raft, m: Message): boolean {
  if (m.force && m.type === MessageType.vote) return false;
  return r.config.checkQuorum && r.leader !== NONE && r.electionElapsed < r.config.electionTicks;
}

export function forgetLeader(r: Raft): void {
  if (r.role !== Role.follower || r.leader === NONE) return;
  r.leader = NONE;
  r.electionElapsed = Math.max(0, r.electionTimeout - 1 - r.config.random(FORGET_TICKS));
}

function tickLeader(r: Raft): void {
  r.heartbeatElapsed++;
  r.electionElapsed++;
  if (r.transferee !== NONE && ++r.transferElapsed >= r.config.electionTicks) r.transferee = NONE;
  if (r.electionElapsed >= r.config.electionTicks) {
    r.electionElapsed = 0;
    if (!r.tracker.takeQuorumActive() && r.config.checkQuorum) {
      r.becomeFollower(r.term, NONE);
      return;
    }
  }
  if (r.heartbeatElapsed >= r.config.heartbeatTicks) {
    r.heartbeatElapsed = 0;
    r.heartbeatDue = true;
  }
}

function isPromotable(r: Raft): boolean {
  return r.tracker.isVoter(r.id) && r.pendingSnapshot === null;
}

/**
 * A member whose configuration is behind its commit index could win with a majority that no longer
 * is one (C16). A leader applies change k before it proposes k + 1, and sends its commit index
 * along with every entry. So a member that holds change k + 1 has change k committed, and no
 * candidate is more than one change behind.
 */
function mayCampaign(r: Raft): boolean {
  return isPromotable(r) && !r.log.hasUnappliedConfChange();
}

function campaignForReal(r: Raft, force: boolean): void {
  invariant(isPromotable(r), 'a member that may not lead campaigns after term {}', r.term);
  r.becomeCandidate();
  requestVotes(r, MessageType.vote, r.term, force);
}

function requestVotes(
  r: Raft,
  type: typeof MessageType.vote | typeof MessageType.preVote,
  term: Term,
  force: boolean,
): void {
  for (const p of r.tracker.peers) {
    if (p.isLearner) continue;
    const m = r.compose(type, p.id);
    m.term = term;
    m.index = r.log.lastIndex;
    m.logTerm = r.log.lastTerm();
    m.force = force;
    r.messages.push(m);
  }
}

function count(r: Raft, from: MemberId, granted: boolean): void {
  switch (r.tracker.recordVote(from, granted)) {
    case 'won':
      if (r.role === Role.preCandidate) campaignForReal(r, false);
      else r.becomeLeader();
      break;
    case 'lost':
      r.becomeFollower(r.term, NONE);
      break;
    case 'pending':
      break;
  }
}
