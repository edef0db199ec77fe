import {
  answerVote,
  handleTimeoutNow,
  handleVoteRequest,
  handleVoteResponse,
  isSticky,
} from './election.js';
import { handleAppend, handleHeartbeat, handleSnapshot } from './follower.js';
import {
  handleAppendResponse,
  handleForwarded,
  handleHeartbeatResponse,
  registerRead,
  startTransfer,
} from './leader.js';
import type { Raft } from './raft.js';
import { MessageType, NONE, Role } from './types.js';
import type { Message } from './types.js';
import { isWellFormed } from './well-formed.js';

/**
 * Takes a message from another member. Drops one that is not for this member or that no correct
 * member sends, settles the term (§5.1), then passes the message to its rule. Never throws on
 * account of the message.
 */
export function step(r: Raft, m: Message): void {
  if (r.contradiction !== null) return;
  if (!isWellFormed(m) || m.to !== r.id || m.from === r.id || m.from === NONE) return;
  if (m.type === MessageType.propose) {
    handleForwarded(r, m);
    return;
  }
  if (m.type === MessageType.readIndex) {
    const known = r.tracker.get(m.from) !== undefined;
    if (r.role === Role.leader && known) registerRead(r, m.from, m.context, m.incarnation);
    return;
  }
  if (m.term === 0) return;
  if (m.term < r.term) {
    answerStale(r, m);
    return;
  }
  if (m.term > r.term && !enterHigherTerm(r, m)) return;
  dispatch(r, m);
}

/** Returns whether the message is still to be handled. */
function enterHigherTerm(r: Raft, m: Message): boolean {
  switch (m.type) {
    case MessageType.preVote:
      // Asks about a term no member has entered yet.
      return !isSticky(r, m);
    case MessageType.preVoteResponse:
      if (m.reject) r.becomeFollower(m.term, NONE);
      return true;
    case MessageType.vote:
      if (isSticky(r, m)) return false;
      r.becomeFollower(m.term, NONE);
      return true;
    case MessageType.append:
    case MessageType.heartbeat:
    case MessageType.snapshot:
      r.becomeFollower(m.term, m.from);
      return true;
    default:
      r.becomeFollower(m.term, NONE);
      return true;
  }
}

/**
 * Sends the newer term where silence could leave the sender stuck: an old leader without followers,
 * or a candidate that pre-vote keeps from catching up (R9, R10). Everything else of an old term is
 * dropped.
 */
function answerStale(r: Raft, m: Message): void {
  switch (m.type) {
    case MessageType.vote:
    case MessageType.preVote:
      answerVote(r, m, false);
      break;
    case MessageType.append:
    case MessageType.heartbeat:
    case MessageType.snapshot: {
      const answer = r.compose(MessageType.appendResponse, m.from);
      answer.reject = true;
      r.afterSync.push(answer);
      break;
    }
    default:
      break;
  }
}

function dispatch(r: Raft, m: Message): void {
  switch (m.type) {
    case MessageType.append:
      if (acceptLeader(r, m)) handleAppend(r, m);
      break;
    case MessageType.heartbeat:
      if (acceptLeader(r, m)) handleHeartbeat(r, m);
      break;
    case MessageType.snapshot:
      if (acceptLeader(r, m)) handleSnapshot(r, m);
      break;
    case MessageType.appendResponse:
    case MessageType.heartbeatResponse:
      fromFollower(r, m);
      break;
    case MessageType.vote:
    case MessageType.preVote:
      handleVoteRequest(r, m);
      break;
    case MessageType.voteResponse:
    case MessageType.preVoteResponse:
      handleVoteResponse(r, m);
      break;
    case MessageType.readIndexResponse:
      // An answer to a request of this member's earlier life may carry the same context.
      if (m.incarnation === r.config.incarnation)
        r.readStates.push({ context: m.context, index: m.index });
      break;
    case MessageType.timeoutNow:
      handleTimeoutNow(r, m);
      break;
    case MessageType.transferLeader:
      if (r.role === Role.leader) startTransfer(r, m.transferee);
      break;
    default:
      break;
  }
}

/** Follows the sender; a term with two leaders is a contradiction, since some member gave its vote twice. */
function acceptLeader(r: Raft, m: Message): boolean {
  if (r.leader !== NONE && r.leader !== m.from) {
    r.contradict({ kind: 'two-leaders', term: r.term, leader: r.leader, other: m.from });
    return false;
  }
  if (r.role !== Role.follower) r.becomeFollower(r.term, m.from);
  r.heardFromLeader(m.from);
  return true;
}

function fromFollower(r: Raft, m: Message): void {
  if (r.role !== Role.leader) return;
  const p = r.tracker.get(m.from);
  if (p === undefined) return;
  const isHeartbeat = m.type === MessageType.heartbeatResponse;
  if (isHeartbeat && m.context > r.reads.round) return;
  if (!p.admit(m.incarnation, isHeartbeat ? m.context : 0)) return;
  if (isHeartbeat) handleHeartbeatResponse(r, p, m);
  else handleAppendResponse(r, p, m);
}
