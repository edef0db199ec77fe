import { invariant } from '../base/invariant.js';
import type { Progress } from './progress.js';
import { ProgressState } from './progress.js';
import type { Raft } from './raft.js';
import { entryBytes } from './raft-log.js';
import type { PendingRead } from './read-only.js';
import { EntryType, MessageType, NONE, Role } from './types.js';
import type { Entry, Index, MemberId, Message, ProposeResult } from './types.js';

/*
 * A leader's rules: it takes proposals, replicates, commits, confirms reads, hands leadership over.
 *
 * Nothing is sent at once. Events only mark what has become possible. `flush()`, called when a
 * Ready is taken, builds the messages. All input since the last Ready thus travels in one append
 * and one heartbeat per peer.
 */

const NO_ENTRIES: readonly Entry[] = [];

/** Appends an entry for each payload, all or none. */
export function proposeLocally(r: Raft, data: readonly Uint8Array[]): ProposeResult {
  requireLeader(r);
  if (r.isRemoved()) return 'removed';
  if (r.transferee !== NONE) return 'transferring';
  let bytes = 0;
  for (let i = 0; i < data.length; i++) bytes += data[i]?.length ?? 0;
  if (!admitBytes(r, bytes)) return 'too-much-uncommitted';
  const { log, term } = r;
  for (let i = 0; i < data.length; i++) {
    const payload = data[i];
    if (payload === undefined) continue;
    log.push({ term, index: log.lastIndex + 1, type: EntryType.normal, data: payload });
  }
  r.uncommittedBytes += bytes;
  r.appendPending = true;
  return 'ok';
}

/** At most one unapplied membership change exists in the log (C17, R16). Its validity is judged when it is applied. */
export function proposeConfChangeLocally(r: Raft, data: Uint8Array): ProposeResult {
  requireLeader(r);
  if (r.isRemoved()) return 'removed';
  if (r.transferee !== NONE) return 'transferring';
  if (r.pendingConfIndex > r.log.applied) return 'conf-change-pending';
  const { log, term } = r;
  log.push({ term, index: log.lastIndex + 1, type: EntryType.confChange, data });
  r.pendingConfIndex = log.lastIndex;
  r.appendPending = true;
  return 'ok';
}

/** Proposals a follower forwarded; those that cannot be taken are dropped and time out at their origin. */
export function handleForwarded(r: Raft, m: Message): void {
  if (r.role !== Role.leader || r.tracker.get(m.from) === undefined) return;
  const first = m.entries[0];
  if (m.entries.length === 1 && first !== undefined && first.type === EntryType.confChange) {
    proposeConfChangeLocally(r, first.data);
    return;
  }
  const data: Uint8Array[] = [];
  for (const e of m.entries) {
    if (e.type !== EntryType.normal) return;
    data.push(e.data);
  }
  if (data.length > 0) proposeLocally(r, data);
}

/** Registers a linearizable read of this member (from NONE) or of a follower. */
export function registerRead(r: Raft, from: MemberId, context: number, incarnation: number): void {
  requireLeader(r);
  if (!r.committedInTerm) {
    r.reads.postpone(from, context, incarnation);
    return;
  }
  if (r.tracker.isSoleVoter()) {
    answerRead(r, from, context, incarnation, r.log.committed);
    return;
  }
  r.reads.register(from, context, incarnation, r.log.committed);
}

/** Follower's acknowledgement or rejection of an append or snapshot. */
export function handleAppendResponse(r: Raft, p: Progress, m: Message): void {
  p.recentActive = true;
  // Of two logs that differ in what one of them has committed, the one with the commit must report it.
  if (!m.reject && m.logTerm !== 0 && !r.log.holds(m.index, m.logTerm)) {
    p.probeFrom(Math.min(m.index, r.log.lastIndex));
    return;
  }
  if (m.index > r.log.lastIndex) return;
  if (m.reject) {
    if (m.index === 0) {
      // Even the empty log does not match: the member has no configuration at all, which only a snapshot carries.
      if (p.state === ProgressState.probe && p.match === 0) sendSnapshot(r, p);
      return;
    }
    const hint = r.log.lastNotAfter(m.rejectHint, m.logTerm);
    if (p.maybeDecreaseTo(m.index, hint)) r.appendPending = true;
    return;
  }
  const advanced = p.maybeUpdate(m.index);
  switch (p.state) {
    case ProgressState.probe:
      // An old acknowledgement does not concern the present probe.
      if (advanced || m.index === p.match) p.becomeReplicate();
      break;
    case ProgressState.snapshot:
      // The snapshot that was sent may be newer than the one offered: what counts is that the log can go on from there.
      if (advanced && p.match >= r.log.compactedIndex) p.becomeReplicate();
      break;
    case ProgressState.replicate:
      p.inflights.freeTo(m.index);
      break;
  }
  if (advanced) maybeCommit(r);
  r.appendPending = true;
  if (r.transferee === p.id) maybeHandOver(r, p);
}

export function handleHeartbeatResponse(r: Raft, p: Progress, m: Message): void {
  if (m.context > r.reads.round) return;
  p.recentActive = true;
  if (m.context > p.ackedRound) {
    p.ackedRound = m.context;
    confirmReads(r);
  }
  if (p.beatPending) {
    p.beatPending = false;
    if (p.state === ProgressState.probe) {
      p.probeSent = false;
      p.forceAppend = true;
    } else if (p.beatStuck && p.match === p.beatMatch) {
      // A whole beat without progress: the append may be lost, and only a rejection would show it
      // (C6).
      p.forceAppend = true;
    }
  }
  if (p.forceAppend) r.appendPending = true;
}

/** Commits what a majority holds durably, if it is of this term (§5.4.2, R7); returns whether that is news. */
export function maybeCommit(r: Raft): boolean {
  requireLeader(r);
  const { log, tracker } = r;
  const index = tracker.committed();
  if (index <= log.committed || log.termAt(index) !== r.term) return false;
  for (let i = log.committed + 1; i <= index; i++) {
    const e = log.at(i);
    if (e.type === EntryType.normal) r.uncommittedBytes -= e.data.length;
  }
  invariant(r.uncommittedBytes >= 0, 'more bytes were committed than proposed');
  log.commitTo(index);
  r.appendPending = true;
  if (!r.committedInTerm) {
    r.committedInTerm = true;
    const early = r.reads.takeEarly();
    for (const read of early) registerRead(r, read.from, read.context, read.incarnation);
  }
  return true;
}

/** Answers the reads whose round a majority acknowledged. */
function confirmReads(r: Raft): void {
  if (!r.reads.hasPending()) return;
  const round = r.tracker.confirmedRound(r.reads.round);
  const confirmed: readonly PendingRead[] = r.reads.takeConfirmed(round);
  for (const read of confirmed)
    answerRead(r, read.from, read.context, read.incarnation, read.index);
}

/** Hands leadership to `to`, once it has the whole log (thesis §3.10, R19). */
export function startTransfer(r: Raft, to: MemberId): void {
  requireLeader(r);
  if (r.transferee === to) return;
  r.transferee = NONE;
  const p = r.tracker.get(to);
  if (p === undefined || p.isLearner || to === r.id) return;
  // The transfer has one election timeout; proposals are refused meanwhile (C26).
  r.transferElapsed = 0;
  r.transferee = to;
  if (p.match === r.log.lastIndex) {
    maybeHandOver(r, p);
    return;
  }
  p.forceAppend = true;
  r.appendPending = true;
}

/** After a change of membership: majorities may be smaller now, new members have to be contacted. */
export function afterConfChange(r: Raft): void {
  if (!r.tracker.isVoter(r.id)) {
    // A leader outside its own configuration must not count itself or go on leading (C20, §4.2.2 of the thesis).
    r.becomeFollower(r.term, NONE);
    return;
  }
  if (r.transferee !== NONE && !r.tracker.isVoter(r.transferee)) r.transferee = NONE;
  for (const p of r.tracker.peers)
    if (p.match === 0 && p.state === ProgressState.probe) p.forceAppend = true;
  r.appendPending = true;
  maybeCommit(r);
  confirmReads(r);
}

/** Builds the messages that events since the last flush made possible. */
export function flush(r: Raft): void {
  requireLeader(r);
  const beat = r.heartbeatDue;
  const heartbeat = beat || r.reads.roundPending;
  const round = heartbeat ? r.reads.startRound() : 0;
  if (heartbeat && r.tracker.isSoleVoter()) confirmReads(r);
  const { committed } = r.log;
  for (const p of r.tracker.peers) {
    if (beat) {
      p.beatStuck = p.match + 1 < p.next && p.match === p.beatMatch;
      p.beatMatch = p.match;
      p.beatPending = true;
    }
    // Before the append, whose entries may be large.
    if (heartbeat) sendHeartbeat(r, p, round);
    if (!r.appendPending) continue;
    replicateTo(r, p);
    if (p.sentCommit < Math.min(p.match, committed)) sendHeartbeat(r, p, 0);
  }
  r.heartbeatDue = false;
  r.appendPending = false;
}

/** True if flush() has anything to look at. */
export function isFlushPending(r: Raft): boolean {
  return r.appendPending || r.heartbeatDue || r.reads.roundPending;
}

function admitBytes(r: Raft, bytes: number): boolean {
  // The first proposal is always admitted, however large; otherwise it could never be.
  return r.uncommittedBytes === 0 || r.uncommittedBytes + bytes <= r.config.maxUncommittedBytes;
}

function answerRead(
  r: Raft,
  from: MemberId,
  context: number,
  incarnation: number,
  index: Index,
): void {
  if (from === NONE) {
    r.readStates.push({ context, index });
    return;
  }
  const m = r.compose(MessageType.readIndexResponse, from);
  m.context = context;
  m.incarnation = incarnation;
  m.index = index;
  r.messages.push(m);
}

function maybeHandOver(r: Raft, p: Progress): void {
  if (p.match === r.log.lastIndex) r.messages.push(r.compose(MessageType.timeoutNow, p.id));
}

/**
 * Sends a heartbeat of `round`. Round 0 wants no answer and only carries the commit index:
 * followers serve reads and watches from it, and the next append may be far off (C28). The commit
 * index never exceeds the entries the peer holds (R31).
 */
function sendHeartbeat(r: Raft, p: Progress, round: number): void {
  const m = r.compose(MessageType.heartbeat, p.id);
  m.commit = Math.min(p.match, r.log.committed);
  m.context = round;
  if (m.commit > p.sentCommit) p.sentCommit = m.commit;
  r.messages.push(m);
}

/** Sends as many appends as the state of the peer permits. */
function replicateTo(r: Raft, p: Progress): void {
  const { log } = r;
  while (!p.isPaused() || (p.forceAppend && p.state !== ProgressState.snapshot)) {
    const prev = p.next - 1;
    const prevTerm = log.termAt(prev);
    if (prevTerm === undefined) {
      sendSnapshot(r, p);
      return;
    }
    const blocked = p.isPaused();
    const entries = blocked
      ? NO_ENTRIES
      : log.slice(p.next, log.lastIndex, r.config.maxAppendBytes);
    if (entries.length === 0 && !p.forceAppend) return;
    p.forceAppend = false;
    sendAppend(r, p, prev, prevTerm, entries);
    if (p.state === ProgressState.probe) p.probeSent = true;
    if (p.state === ProgressState.probe || entries.length === 0) return;
  }
}

function sendAppend(
  r: Raft,
  p: Progress,
  prev: Index,
  prevTerm: number,
  entries: readonly Entry[],
): void {
  invariant(prev + 1 === p.next, 'append after {} to a member whose next is {}', prev, p.next);
  const m = r.compose(MessageType.append, p.id);
  m.index = prev;
  m.logTerm = prevTerm;
  m.entries = entries;
  m.commit = r.log.committed;
  r.messages.push(m);
  const last = prev + entries.length;
  const told = Math.min(last, m.commit);
  if (told > p.sentCommit) p.sentCommit = told;
  if (p.state === ProgressState.replicate && entries.length > 0) {
    let bytes = 0;
    for (let i = 0; i < entries.length; i++) bytes += entrySize(entries[i]);
    p.next = last + 1;
    p.inflights.add(last, bytes);
  }
}

/** The rules here are a leader's: applied in another role they would promise what only a leader can keep. */
function requireLeader(r: Raft): void {
  invariant(r.role === Role.leader, "a leader's rule in role {} of term {}", r.role, r.term);
}

function entrySize(e: Entry | undefined): number {
  return e === undefined ? 0 : entryBytes(e);
}

/** Offers a snapshot to a peer that needs entries this log no longer has; only to one that is there to take it. */
function sendSnapshot(r: Raft, p: Progress): void {
  p.forceAppend = false;
  const index = r.log.applied;
  const term = r.log.termAt(index);
  if (!p.recentActive || term === undefined || index === 0) return;
  const m = r.compose(MessageType.snapshot, p.id);
  m.snapshot = { index, term, confState: r.tracker.conf };
  m.commit = r.log.committed;
  p.becomeSnapshot(index);
  r.messages.push(m);
}
