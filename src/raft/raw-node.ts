import { invariant } from '../base/invariant.js';
import * as election from './election.js';
import { forwardProposals } from './follower.js';
import {
  afterConfChange,
  flush,
  isFlushPending,
  maybeCommit,
  proposeConfChangeLocally,
  proposeLocally,
  registerRead,
  startTransfer,
} from './leader.js';
import { ProgressState } from './progress.js';
import type { Progress } from './progress.js';
import { Raft } from './raft.js';
import { step } from './step.js';
import { EntryType, MessageType, NONE, Role } from './types.js';
import type {
  ConfChange,
  ConfState,
  Contradiction,
  Entry,
  HardState,
  Index,
  MemberId,
  Message,
  ProgressStatus,
  ProposeResult,
  RaftConfig,
  RaftInitialState,
  RaftNode,
  RaftStatus,
  ReadState,
  Ready,
  SnapshotMeta,
  SoftState,
  Term,
} from './types.js';

const NO_ENTRIES: readonly Entry[] = [];
const NO_MESSAGES: readonly Message[] = [];
const NO_READS: readonly ReadState[] = [];
const STATE_NAMES = { 0: 'probe', 1: 'replicate', 2: 'snapshot' } as const;

/**
 * The consensus core of one member: a pure state machine (R1). `tick`, `step`, `propose`, ...
 * change it. `ready()` takes out what has to be written, sent and applied. `synced`, `applied`,
 * `snapshotInstalled` report that it was done.
 *
 * It promises election safety, log matching, leader completeness and state machine safety (Raft,
 * figure 3), provided its driver keeps the order described at `Ready`. It has no clock, no
 * randomness but `config.random`, and does no I/O, so a simulator can replay any history.
 *
 * It does not interpret entries, detect stalls of its process (the driver does, with
 * `campaignIfDue`) or move the contents of snapshots. It does not retry reads or proposals: a
 * dropped one gets no answer.
 *
 * Called by the member's raft loop (src/server) and by the simulator; by nothing else.
 */
export class RawNode implements RaftNode {
  private readonly raft: Raft;
  private softState: SoftState = { role: Role.follower, leader: NONE };
  /** Hard state last handed out; term and vote may still be on their way to the disk. */
  private hardState: HardState;
  /** The write of `hardState`'s term and vote is under way, reported as (voteIndex, voteTerm). */
  private voteWriting = false;
  private voteIndex: Index = 0;
  private voteTerm: Term = 0;
  private installing = false;
  /** A contradiction was handed out: nothing follows it. */
  private halted = false;

  constructor(config: RaftConfig, initial: RaftInitialState) {
    this.raft = new Raft(config, initial);
    const { term, vote } = initial.hardState;
    this.hardState = { term, vote, commit: this.raft.log.committed };
  }

  get role(): Role {
    return this.raft.role;
  }

  get leader(): MemberId {
    return this.raft.leader;
  }

  get term(): Term {
    return this.raft.term;
  }

  get commitIndex(): Index {
    return this.raft.log.committed;
  }

  get appliedIndex(): Index {
    return this.raft.log.applied;
  }

  get lastIndex(): Index {
    return this.raft.log.lastIndex;
  }

  /** A snapshot was accepted and is not installed yet. */
  get hasPendingSnapshot(): boolean {
    return this.raft.pendingSnapshot !== null;
  }

  tick(): void {
    election.tick(this.raft);
  }

  campaignIfDue(): void {
    if (this.raft.role !== Role.leader) election.campaignIfDue(this.raft);
  }

  campaign(): void {
    election.campaign(this.raft);
  }

  step(message: Message): void {
    step(this.raft, message);
  }

  propose(data: readonly Uint8Array[]): ProposeResult {
    if (this.raft.role === Role.leader) return proposeLocally(this.raft, data);
    const refusal = this.forwardRefusal();
    if (refusal !== undefined) return refusal;
    for (let i = 0; i < data.length; i++) {
      const payload = data[i];
      if (payload !== undefined) this.enqueueForward(EntryType.normal, payload);
    }
    return 'ok';
  }

  proposeConfChange(_change: ConfChange, data: Uint8Array): ProposeResult {
    if (this.raft.role === Role.leader) return proposeConfChangeLocally(this.raft, data);
    const refusal = this.forwardRefusal();
    if (refusal !== undefined) return refusal;
    this.enqueueForward(EntryType.confChange, data);
    return 'ok';
  }

  applyConfChange(change: ConfChange | null): ConfState {
    const r = this.raft;
    if (change !== null) {
      const before = r.tracker.conf;
      r.tracker.apply(change, r.log.lastIndex + 1);
      if (r.tracker.conf !== before && r.role === Role.leader) afterConfChange(r);
    }
    return r.tracker.conf;
  }

  readIndex(context: number): boolean {
    const r = this.raft;
    if (r.role === Role.leader) {
      registerRead(r, NONE, context, r.config.incarnation);
      return true;
    }
    if (r.leader === NONE) return false;
    const m = r.compose(MessageType.readIndex, r.leader);
    m.term = 0;
    m.context = context;
    r.messages.push(m);
    return true;
  }

  transferLeader(to: MemberId): void {
    const r = this.raft;
    if (r.role === Role.leader) {
      startTransfer(r, to);
    } else if (r.leader !== NONE) {
      const m = r.compose(MessageType.transferLeader, r.leader);
      m.transferee = to;
      r.messages.push(m);
    }
  }

  forgetLeader(): void {
    election.forgetLeader(this.raft);
  }

  reportUnreachable(id: MemberId): void {
    const p = this.progressOfPeer(id);
    // Pipelined appends are probably lost; find out where to go on once the peer answers heartbeats again.
    if (p !== undefined && p.state === ProgressState.replicate) {
      p.becomeProbe();
      this.raft.appendPending = true;
    }
  }

  reportSnapshot(id: MemberId, ok: boolean): void {
    const p = this.progressOfPeer(id);
    if (p === undefined || p.state !== ProgressState.snapshot) return;
    if (ok) p.becomeProbe();
    else p.snapshotFailed();
    // The peer's own acknowledgement or its next heartbeat answer resumes replication.
    p.probeSent = true;
    p.forceAppend = false;
  }

  hasReady(): boolean {
    const r = this.raft;
    if (r.contradiction !== null) return !this.halted;
    if (r.role !== this.softState.role || r.leader !== this.softState.leader) return true;
    if (!this.installing && r.pendingSnapshot === null) {
      if (r.readStates.length > 0 || r.log.hasCommitted(r.config.maxCommittedBytesPerReady))
        return true;
    }
    if (this.voteWriting) return false;
    const voteChanged = this.isVoteChanged();
    if (this.installing) return !voteChanged && r.messages.length > 0;
    if (voteChanged) return !r.log.isOverwriting();
    if (r.pendingSnapshot !== null) return true;
    if (r.log.isOverwriting()) return false;
    return (
      r.messages.length > 0 ||
      r.log.hasUnstable() ||
      r.log.committed !== this.hardState.commit ||
      (r.role === Role.leader ? isFlushPending(r) : r.forwarded.length > 0) ||
      (r.afterSync.length > 0 && !r.log.isWriting())
    );
  }

  ready(): Ready {
    const r = this.raft;
    if (r.contradiction !== null) return this.lastReady(r.contradiction);
    if (r.role === Role.leader) flush(r);
    else if (r.forwarded.length > 0) forwardProposals(r);
    const softState = this.takeSoftState();
    if (this.installing) return this.readyWhileInstalling(softState);
    const voteChanged = this.isVoteChanged();
    const maySync = !this.voteWriting && !r.log.isOverwriting();
    if (r.pendingSnapshot !== null && !this.voteWriting && !voteChanged)
      return this.readyWithSnapshot(softState);

    const entries = maySync && r.pendingSnapshot === null ? r.log.takeUnstable() : NO_ENTRIES;
    const hardState = maySync ? this.takeHardState() : null;
    const newVote = maySync && voteChanged;
    const mustSync = newVote || entries.length > 0;
    if (newVote) {
      const last = entries[entries.length - 1];
      this.voteWriting = true;
      this.voteIndex = last === undefined ? 0 : last.index;
      this.voteTerm = last === undefined ? r.term : last.term;
    }
    let messages = NO_MESSAGES;
    let messagesAfterSync = NO_MESSAGES;
    if (maySync) {
      // A message that carries a new term or vote must not be seen before these are durable (R3).
      const early = this.takeMessages();
      if (newVote) messagesAfterSync = early;
      else messages = early;
      if (r.pendingSnapshot === null && (mustSync || !r.log.isWriting())) {
        messagesAfterSync = this.takeAfterSync(messagesAfterSync);
      }
    }
    const stateFree = r.pendingSnapshot === null;
    return {
      softState,
      hardState,
      entries,
      mustSync,
      messages,
      messagesAfterSync,
      snapshot: null,
      committed: stateFree ? r.log.takeCommitted(r.config.maxCommittedBytesPerReady) : NO_ENTRIES,
      readStates: stateFree ? this.takeReadStates() : NO_READS,
      contradiction: null,
    };
  }

  synced(index: Index, term: Term): void {
    const r = this.raft;
    const moved = r.log.stableTo(index, term);
    if (this.voteWriting && index === this.voteIndex && term === this.voteTerm) {
      this.voteWriting = false;
      election.ownVoteDurable(r, this.hardState.term);
    }
    if (!moved || r.role !== Role.leader || r.tracker.self === undefined) return;
    r.tracker.self.match = r.log.stable;
    maybeCommit(r);
  }

  applied(index: Index): void {
    this.raft.log.appliedTo(index);
  }

  snapshotInstalled(meta: SnapshotMeta): void {
    const r = this.raft;
    invariant(
      this.installing && r.pendingSnapshot !== null && r.pendingSnapshot.index === meta.index,
      'snapshot {} was installed but not handed out',
      meta.index,
    );
    r.log.installed();
    r.pendingSnapshot = null;
    this.installing = false;
  }

  compactLog(index: Index): void {
    this.raft.log.compactTo(index);
  }

  termAt(index: Index): Term | undefined {
    return this.raft.log.termAt(index);
  }

  status(): RaftStatus {
    const r = this.raft;
    const progress = new Map<MemberId, ProgressStatus>();
    if (r.role === Role.leader) {
      for (const p of r.tracker.peers) progress.set(p.id, progressStatus(p));
      if (r.tracker.self !== undefined) {
        progress.set(r.id, {
          match: r.log.stable,
          next: r.log.lastIndex + 1,
          state: 'replicate',
          recentActive: true,
          isLearner: r.tracker.self.isLearner,
        });
      }
    }
    return {
      id: r.id,
      role: r.role,
      leader: r.leader,
      hardState: { term: r.term, vote: r.vote, commit: r.log.committed },
      applied: r.log.applied,
      stable: r.log.stable,
      lastIndex: r.log.lastIndex,
      compactedIndex: r.log.compactedIndex,
      confState: r.tracker.conf,
      progress,
      transferee: r.transferee,
    };
  }

  private progressOfPeer(id: MemberId): Progress | undefined {
    const r = this.raft;
    return r.role === Role.leader && id !== r.id ? r.tracker.get(id) : undefined;
  }

  private forwardRefusal(): ProposeResult | undefined {
    if (this.raft.isRemoved()) return 'removed';
    return this.raft.leader === NONE ? 'no-leader' : undefined;
  }

  private enqueueForward(type: EntryType, data: Uint8Array): void {
    this.raft.forwarded.push({ term: 0, index: 0, type, data });
  }

  private isVoteChanged(): boolean {
    return this.raft.term !== this.hardState.term || this.raft.vote !== this.hardState.vote;
  }

  private takeSoftState(): SoftState | null {
    const { role, leader } = this.raft;
    if (role === this.softState.role && leader === this.softState.leader) return null;
    this.softState = { role, leader };
    return this.softState;
  }

  private takeHardState(): HardState | null {
    const r = this.raft;
    // The commit index of a snapshot must not be on disk before the snapshot is.
    const commit = r.pendingSnapshot === null ? r.log.committed : this.hardState.commit;
    if (!this.isVoteChanged() && commit === this.hardState.commit) return null;
    const before = this.hardState;
    invariant(commit >= before.commit, 'commit {} after {}', commit, before.commit);
    invariant(
      r.term > before.term ||
        (r.term === before.term && (before.vote === NONE || r.vote === before.vote)),
      'term {} after {}, or a second vote in it',
      r.term,
      before.term,
    );
    this.hardState = { term: r.term, vote: r.vote, commit };
    return this.hardState;
  }

  private takeMessages(): readonly Message[] {
    const messages = this.raft.messages;
    if (messages.length === 0) return NO_MESSAGES;
    this.raft.messages = [];
    return messages;
  }

  private takeAfterSync(before: readonly Message[]): readonly Message[] {
    const messages = this.raft.afterSync;
    if (messages.length === 0) return before;
    this.raft.afterSync = [];
    return before.length === 0 ? messages : before.concat(messages);
  }

  private takeReadStates(): readonly ReadState[] {
    const states = this.raft.readStates;
    if (states.length === 0) return NO_READS;
    this.raft.readStates = [];
    return states;
  }

  private readyWithSnapshot(softState: SoftState | null): Ready {
    this.installing = true;
    return emptyReady(softState, NO_MESSAGES, this.raft.pendingSnapshot);
  }

  private lastReady(contradiction: Contradiction): Ready {
    this.halted = true;
    return { ...emptyReady(null, NO_MESSAGES, null), contradiction };
  }

  /** Heartbeats are answered meanwhile: installing may take long, and a silent majority deposes its leader. */
  private readyWhileInstalling(softState: SoftState | null): Ready {
    const send = !this.voteWriting && !this.isVoteChanged();
    return emptyReady(softState, send ? this.takeMessages() : NO_MESSAGES, null);
  }
}

function emptyReady(
  softState: SoftState | null,
  messages: readonly Message[],
  snapshot: SnapshotMeta | null,
): Ready {
  return {
    softState,
    hardState: null,
    entries: NO_ENTRIES,
    mustSync: false,
    messages,
    messagesAfterSync: NO_MESSAGES,
    snapshot,
    committed: NO_ENTRIES,
    readStates: NO_READS,
    contradiction: null,
  };
}

function progressStatus(p: Progress): ProgressStatus {
  return {
    match: p.match,
    next: p.next,
    state: STATE_NAMES[p.state],
    recentActive: p.recentActive,
    isLearner: p.isLearner,
  };
}
