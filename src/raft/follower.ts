import { invariant } from '../base/invariant.js';
import type { Raft } from './raft.js';
import { entryBytes } from './raft-log.js';
import { EntryType, MessageType, NONE, Role } from './types.js';
import type { Entry, Index, MemberId, Message, Term } from './types.js';

/*
 * A follower's rules for its leader's messages, and the messages it passes on to the leader. The term has been settled
 * by step.ts: every message here is from the leader of the current term.
 */

/** §5.3: takes the entries if the one before them matches, else returns where the logs may meet. */
export function handleAppend(r: Raft, m: Message): void {
  requireFollower(r, m);
  const { log } = r;
  if (r.tracker.conf.voters.length === 0) {
    // The configuration of a cluster's first members is in no log entry: a newcomer needs a
    // snapshot first. It asks for one by rejecting even the empty log.
    reject(r, m.from, 0, 0, 0);
    return;
  }
  if (isContradiction(r, m)) return;
  if (m.index >= log.committed && log.termAt(m.index) !== m.logTerm) {
    const hint = log.lastNotAfter(Math.min(m.index, log.lastIndex), m.logTerm);
    reject(r, m.from, m.index, hint, log.termAt(hint) ?? 0);
    return;
  }
  log.merge(m.entries);
  const last = m.index + m.entries.length;
  log.commitTo(Math.min(m.commit, last));
  acknowledge(r, m, Math.max(last, log.committed));
}

/** Reports an append that states another log than the one committed here; it must not be taken or acknowledged. */
function isContradiction(r: Raft, m: Message): boolean {
  const { log } = r;
  if (contradicts(r, m, m.index, m.logTerm)) return true;
  if (m.index >= log.committed) return false;
  for (let i = 0; i < m.entries.length; i++) {
    const e = m.entries[i] as Entry;
    if (e.index > log.committed) break;
    if (contradicts(r, m, e.index, e.term)) return true;
  }
  return false;
}

function contradicts(r: Raft, m: Message, index: Index, term: Term): boolean {
  const own = r.log.contradictedBy(index, term);
  if (own === null) return false;
  r.contradict({
    kind: 'committed-entry',
    term: r.term,
    leader: m.from,
    own,
    theirs: { index, term },
  });
  return true;
}

export function handleHeartbeat(r: Raft, m: Message): void {
  requireFollower(r, m);
  // A leader never sends more than this member acknowledged; a commit beyond the log is damage or
  // an attack (C29).
  if (m.commit <= r.log.lastIndex) r.log.commitTo(m.commit);
  if (m.context === 0) return;
  const answer = r.compose(MessageType.heartbeatResponse, m.from);
  answer.context = m.context;
  r.messages.push(answer);
}

/** Accepts a snapshot that is ahead of the log; the log begins anew right after it (R22). */
export function handleSnapshot(r: Raft, m: Message): void {
  requireFollower(r, m);
  const { log } = r;
  const meta = m.snapshot;
  // A second snapshot has to wait for the first one to be installed; the leader offers it again.
  if (meta === null || r.pendingSnapshot !== null) return;
  if (contradicts(r, m, meta.index, meta.term)) return;
  if (meta.index <= log.committed) {
    acknowledge(r, m, log.committed);
    return;
  }
  if (log.termAt(meta.index) === meta.term && r.tracker.conf.voters.length > 0) {
    log.commitTo(meta.index);
    acknowledge(r, m, log.committed);
    return;
  }
  const { voters, learners } = meta.confState;
  if (!voters.includes(r.id) && !learners.includes(r.id)) return;
  log.restore(meta.index, meta.term);
  r.tracker.setConf(meta.confState, log.lastIndex + 1);
  r.pendingSnapshot = meta;
  acknowledge(r, m, meta.index);
}

/** Sends what was proposed here to the leader, each membership change in a message of its own. */
export function forwardProposals(r: Raft): void {
  const entries = r.forwarded;
  r.forwarded = [];
  if (r.leader === NONE) return;
  let start = 0;
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) {
    const e = entries[i];
    if (e === undefined) continue;
    const alone = e.type !== EntryType.normal || entries[start]?.type !== EntryType.normal;
    if (i > start && (alone || bytes + entryBytes(e) > r.config.maxAppendBytes)) {
      forward(r, entries.slice(start, i));
      start = i;
      bytes = 0;
    }
    bytes += entryBytes(e);
  }
  if (start < entries.length) forward(r, entries.slice(start));
}

function forward(r: Raft, entries: readonly Entry[]): void {
  const m = r.compose(MessageType.propose, r.leader);
  m.term = 0;
  m.entries = entries;
  r.messages.push(m);
}

/** Names what is acknowledged by index and term, since it may reach beyond what `m` let this member compare. */
function acknowledge(r: Raft, m: Message, index: Index): void {
  const term = r.log.termAt(index);
  invariant(term !== undefined, 'entry {} is acknowledged and not in the log', index);
  const previous = r.afterSync[r.afterSync.length - 1];
  if (
    previous !== undefined &&
    previous.type === MessageType.appendResponse &&
    !previous.reject &&
    previous.to === m.from &&
    previous.term === r.term &&
    previous.index <= index
  ) {
    // Several appends in one turn need one answer: the last covers the earlier ones.
    previous.index = index;
    previous.logTerm = term;
    return;
  }
  const answer = r.compose(MessageType.appendResponse, m.from);
  answer.index = index;
  answer.logTerm = term;
  r.afterSync.push(answer);
}

function requireFollower(r: Raft, m: Message): void {
  invariant(
    r.role === Role.follower && r.leader === m.from && r.term === m.term,
    'the word of {} is taken in role {} of term {}',
    m.from,
    r.role,
    r.term,
  );
}

function reject(r: Raft, to: MemberId, index: Index, hint: Index, hintTerm: number): void {
  const answer = r.compose(MessageType.appendResponse, to);
  answer.index = index;
  answer.reject = true;
  answer.rejectHint = hint;
  answer.logTerm = hintTerm;
  r.afterSync.push(answer);
}
