import { invariant } from '../base/invariant.js';
import { assertConfig } from './limits.js';
import { RaftLog } from './raft-log.js';
import { ReadOnly } from './read-only.js';
import { Tracker } from './tracker.js';
import { EntryType, message, NONE, Role } from './types.js';
import type {
  Contradiction,
  Entry,
  Index,
  MemberId,
  Message,
  RaftConfig,
  RaftInitialState,
  ReadState,
  SnapshotMeta,
  Term,
  MessageType,
} from './types.js';

const NO_DATA = new Uint8Array(0);

/**
 * State of one consensus participant and the transitions between its roles. The rules that use it
 * are functions: election.ts (timers, votes), follower.ts (a leader's messages), leader.ts
 * (proposals, replication, reads) and step.ts (dispatch of messages). raw-node.ts turns the outcome
 * into Readies.
 *
 * Messages are collected in two lists (R2, R3). `messages` rest on nothing but the current term and
 * vote, `afterSync` also on everything written before them.
 */
export class Raft {
  readonly config: RaftConfig;
  readonly id: MemberId;
  readonly log: RaftLog;
  readonly tracker: Tracker;
  readonly reads = new ReadOnly();

  term: Term;
  vote: MemberId;
  role: Role = Role.follower;
  leader: MemberId = NONE;

  /** Ticks since the last sign of a leader or granted vote; on a leader, since the last check of its quorum. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  electionTimeout = 0;
  electionDue = false;

  // Leader only.
  /** No membership change may be proposed before this index is applied (R8, C17). */
  pendingConfIndex: Index = 0;
  transferee: MemberId = NONE;
  transferElapsed = 0;
  /** Payload bytes of normal entries in (committed, lastIndex] (R23). */
  uncommittedBytes = 0;
  /** Some entry of the current term is committed. */
  committedInTerm = false;
  /** Peers may have something to be sent: entries or a commit index. */
  appendPending = false;
  heartbeatDue = false;

  // Output not handed out yet.
  messages: Message[] = [];
  afterSync: Message[] = [];
  readStates: ReadState[] = [];
  /** Proposals to be forwarded to the leader (R24). */
  forwarded: Entry[] = [];
  /** Accepted and not installed. */
  pendingSnapshot: SnapshotMeta | null = null;
  /** Found once, it ends all work of this core. */
  contradiction: Contradiction | null = null;

  constructor(config: RaftConfig, initial: RaftInitialState) {
    assertConfig(config);
    this.config = config;
    this.id = config.id;
    this.log = new RaftLog(initial, config.hotEntries);
    this.tracker = new Tracker(config, initial.confState, this.log.lastIndex + 1);
    this.term = initial.hardState.term;
    this.vote = initial.hardState.vote;
    this.resetVolatile();
  }

  /** There is a configuration and this member is not part of it. */
  isRemoved(): boolean {
    return this.tracker.self === undefined && this.tracker.conf.voters.length > 0;
  }

  becomeFollower(term: Term, leader: MemberId): void {
    invariant(leader !== this.id, 'a member follows itself in term {}', term);
    this.enterTerm(term);
    this.resetVolatile();
    this.role = Role.follower;
    this.leader = leader;
  }

  /** Asks for an election of term + 1 without entering it (R9). */
  becomePreCandidate(): void {
    invariant(this.role !== Role.leader, 'the leader of term {} campaigns', this.term);
    this.resetVolatile();
    this.role = Role.preCandidate;
    this.leader = NONE;
  }

  becomeCandidate(): void {
    invariant(this.role !== Role.leader, 'the leader of term {} campaigns', this.term);
    this.enterTerm(this.term + 1);
    this.resetVolatile();
    this.role = Role.candidate;
    this.leader = NONE;
    this.vote = this.id;
  }

  becomeLeader(): void {
    invariant(
      this.role === Role.candidate && this.vote === this.id && this.tracker.isVoter(this.id),
      'a member that is no candidate of term {} wins its election',
      this.term,
    );
    this.resetVolatile();
    this.role = Role.leader;
    this.leader = this.id;
    const { log, tracker } = this;
    for (let i = log.committed + 1; i <= log.lastIndex; i++) {
      const e = log.at(i);
      if (e.type === EntryType.normal) this.uncommittedBytes += e.data.length;
    }
    if (tracker.self !== undefined) tracker.self.match = log.stable;
    // Nothing of earlier terms can be committed, read or reconfigured before an entry of this term is (§5.4.2, R8).
    log.push({ term: this.term, index: log.lastIndex + 1, type: EntryType.normal, data: NO_DATA });
    this.pendingConfIndex = log.lastIndex;
    for (const p of tracker.peers) p.forceAppend = true;
    this.appendPending = true;
  }

  /** Starts a message of this member in its current term. */
  compose(type: MessageType, to: MemberId): Message {
    const m = message(type, to);
    m.from = this.id;
    m.term = this.term;
    m.incarnation = this.config.incarnation;
    return m;
  }

  /** Notes the first contradiction: the later ones follow from it. */
  contradict(found: Contradiction): void {
    this.contradiction ??= found;
  }

  /** A sign of life from the leader of the current term. */
  heardFromLeader(from: MemberId): void {
    invariant(
      this.role === Role.follower && from !== NONE,
      'a leader of term {} is followed in role {}',
      this.term,
      this.role,
    );
    this.leader = from;
    this.electionElapsed = 0;
    this.electionDue = false;
  }

  drawElectionTimeout(): void {
    this.electionTimeout =
      this.config.electionTicks + this.config.random(this.config.electionTicks);
  }

  private enterTerm(term: Term): void {
    if (term === this.term) return;
    invariant(term > this.term, 'term {} after term {}', term, this.term);
    this.term = term;
    this.vote = NONE;
    // A promise to an earlier term's leader or candidate rests on writes that were not handed out,
    // or whose entries may have been replaced since. Sent now, it would be a promise that was never
    // kept.
    if (this.afterSync.length > 0) this.afterSync = [];
  }

  /** Everything that belongs to one role in one term, and to nothing longer. */
  private resetVolatile(): void {
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.electionDue = false;
    this.drawElectionTimeout();
    this.pendingConfIndex = 0;
    this.transferee = NONE;
    this.uncommittedBytes = 0;
    this.committedInTerm = false;
    this.appendPending = false;
    this.heartbeatDue = false;
    this.reads.clear();
    if (this.forwarded.length > 0) this.forwarded = [];
    this.tracker.resetForTerm(this.log.lastIndex + 1);
  }
}
