/**
 * The vocabulary of the consensus core and the contract between it and the member that drives it.
 *
 * The core is a pure state machine: `tick`, `step`, `propose`, ... change it, `ready()` hands out
 * what must now be persisted, sent and applied. It owns the in-memory log, from the last compaction
 * to the last entry. The member reports which prefix of it is durable.
 */

export type Term = number;
export type Index = number;
/** 64-bit member id; 0n is "none". */
export type MemberId = bigint;
export const NONE: MemberId = 0n;

export const EntryType = { normal: 0, confChange: 1 } as const;
export type EntryType = (typeof EntryType)[keyof typeof EntryType];

export interface Entry {
  readonly term: Term;
  readonly index: Index;
  readonly type: EntryType;
  /** Opaque to raft; empty for a new leader's no-op. Never mutated after it is handed over. */
  readonly data: Uint8Array;
}

/** State that must survive a crash besides entries. `commit` may lag. */
export interface HardState {
  readonly term: Term;
  readonly vote: MemberId;
  readonly commit: Index;
}

/** Membership as of an applied index. Ascending, disjoint. */
export interface ConfState {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

export const ConfChangeType = {
  addVoter: 0,
  removeMember: 1,
  updateMember: 2,
  addLearner: 3,
} as const;
export type ConfChangeType = (typeof ConfChangeType)[keyof typeof ConfChangeType];

/** A single-step membership change. `context` is the member's own description (URLs etc.), opaque to raft. */
export interface ConfChange {
  readonly type: ConfChangeType;
  readonly memberId: MemberId;
  readonly context: Uint8Array;
}

export interface SnapshotMeta {
  readonly index: Index;
  readonly term: Term;
  readonly confState: ConfState;
}

export const MessageType = {
  append: 0,
  appendResponse: 1,
  heartbeat: 2,
  heartbeatResponse: 3,
  vote: 4,
  voteResponse: 5,
  preVote: 6,
  preVoteResponse: 7,
  /** Carries `snapshot`; the state itself travels beside it on a connection of its own. */
  snapshot: 8,
  /** Follower -> leader: entries to propose (`entries`, index and term unset). */
  propose: 9,
  /** Follower -> leader: `context` is the asker's own id for the request. */
  readIndex: 10,
  /** Leader -> follower: `index` answers the readIndex whose `context` is echoed. */
  readIndexResponse: 11,
  timeoutNow: 12,
  /** Follower -> leader: asks the leader to hand leadership to `context`-less `transferee`. */
  transferLeader: 13,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** One shape for all messages, so that every handler sees the same hidden class. Build with `message()`. */
export interface Message {
  type: MessageType;
  to: MemberId;
  from: MemberId;
  /** Sender's term; 0 for messages outside terms (propose, readIndex). Pre-votes carry term + 1. */
  term: Term;
  /**
   * append, and appendResponse that acknowledges: term of the entry at `index` (0 in acknowledgements of version 0.1.0);
   * vote: candidate's last term; rejections: hint term.
   */
  logTerm: Term;
  /** append: index before the first entry; appendResponse: acknowledged or rejected index; votes: last index. */
  index: Index;
  entries: readonly Entry[];
  commit: Index;
  reject: boolean;
  /** Rejected append: the index the follower suggests to try (R21). */
  rejectHint: Index;
  /** ReadIndex and heartbeat round numbers, or the asker's request id; 0 none. */
  context: number;
  /** Vote requests: campaign forced by a leadership transfer, ignores leader stickiness. */
  force: boolean;
  transferee: MemberId;
  /** Random number of the sender's boot; acknowledgements of another boot are discarded (R34). */
  incarnation: number;
  snapshot: SnapshotMeta | null;
}

const NO_ENTRIES: readonly Entry[] = [];

/** A message with every field present; `fields` override the zero values. */
export function message(type: MessageType, to: MemberId, fields?: Partial<Message>): Message {
  const m: Message = {
    type,
    to,
    from: NONE,
    term: 0,
    logTerm: 0,
    index: 0,
    entries: NO_ENTRIES,
    commit: 0,
    reject: false,
    rejectHint: 0,
    context: 0,
    force: false,
    transferee: NONE,
    incarnation: 0,
    snapshot: null,
  };
  return fields === undefined ? m : Object.assign(m, fields);
}

export const Role = { follower: 0, preCandidate: 1, candidate: 2, leader: 3 } as const;
export type Role = (typeof Role)[keyof typeof Role];

/** A place in a log. */
export interface Position {
  readonly index: Index;
  readonly term: Term;
}

/**
 * Two facts that no correct history of a cluster contains together. Either a member runs on a copy
 * of its data older than its acknowledgements, or two processes run with one member's identity.
 *
 * committed-entry: `own` is committed here (Raft §5.4.3, leader completeness); the log of `leader`, which leads
 * `term`, holds `theirs`, and no log holds both.
 * two-leaders: `leader` and `other` both lead `term` (Raft §5.2, election safety).
 */
export type Contradiction =
  | {
      readonly kind: 'committed-entry';
      readonly term: Term;
      readonly leader: MemberId;
      readonly own: Position;
      readonly theirs: Position;
    }
  | {
      readonly kind: 'two-leaders';
      readonly term: Term;
      readonly leader: MemberId;
      readonly other: MemberId;
    };

/** Volatile state worth telling the member when it changes. */
export interface SoftState {
  readonly role: Role;
  readonly leader: MemberId;
}

/** A linearizable read may be served once this member has applied `index`. */
export interface ReadState {
  readonly context: number;
  readonly index: Index;
}

export interface RaftConfig {
  readonly id: MemberId;
  /** Ticks; an election timeout is drawn from [electionTicks, 2 * electionTicks). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  /** Bounds of one append message, of the window per follower and of the uncommitted tail. */
  readonly maxAppendBytes: number;
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  readonly maxUncommittedBytes: number;
  /** Most bytes of entries in one Ready's `committed`. */
  readonly maxCommittedBytesPerReady: number;
  /** Applied entries that stay objects in memory; HOT_ENTRIES when left out. */
  readonly hotEntries?: number;
  readonly incarnation: number;
  /** Uniform integer in [0, n). The only randomness the core has. */
  readonly random: (n: number) => number;
}

/** Result of recovery: the state from which the core continues. */
export interface RaftInitialState {
  readonly hardState: HardState;
  readonly confState: ConfState;
  /** The log begins right after this point; 0/0 for a new log. */
  readonly compactedIndex: Index;
  readonly compactedTerm: Term;
  /** Contiguous from compactedIndex + 1, all durable. */
  readonly entries: readonly Entry[];
  /** Last index whose effect is in the state machine; >= compactedIndex. */
  readonly applied: Index;
}

/**
 * One step of work. The member must, in this order:
 *  1. send `messages` at once (a leader's appends travel while its own write is under way);
 *     when `mustSync` is set because the hard state changed, they are sent after the write instead:
 *     the core puts them into `messagesAfterSync` itself, so the member need not decide;
 *  2. persist `hardState` and `entries` (discarding stored entries >= entries[0].index), with an
 *     fsync when `mustSync`; then call `synced(...)` and send `messagesAfterSync`;
 *  3. apply `committed` in order, then call `applied(...)`. Committed entries handed out are always
 *     durable on this member already;
 *  4. answer `readStates` once applied reaches their index.
 * Steps of consecutive Readies may overlap, but each kind of work keeps its order.
 *
 * While a write of a term or vote is under way, or a snapshot is being installed, nothing that
 * needs another write is handed out. A Ready with `snapshot` carries nothing else; until
 * `snapshotInstalled()` only answers to heartbeats follow it. `messagesAfterSync` of a Ready
 * without `mustSync` may be sent at once: the core keeps them back while an earlier write is under
 * way.
 */
export interface Ready {
  readonly softState: SoftState | null;
  readonly hardState: HardState | null;
  readonly entries: readonly Entry[];
  readonly mustSync: boolean;
  readonly messages: readonly Message[];
  readonly messagesAfterSync: readonly Message[];
  /**
   * A snapshot the core accepted from the leader. Its state must be installed and its marker made durable
   * before `snapshotInstalled()`; until then no other work is handed out.
   */
  readonly snapshot: SnapshotMeta | null;
  readonly committed: readonly Entry[];
  readonly readStates: readonly ReadState[];
  /**
   * The member must stop and log the finding. Such a Ready carries nothing else and is the last
   * one: the core sends, acknowledges and applies nothing any more.
   */
  readonly contradiction: Contradiction | null;
}

/** `conf-change-pending`: an earlier membership change, or the leader's first entry, is not applied yet; try again. */
export type ProposeResult =
  'ok' | 'no-leader' | 'transferring' | 'too-much-uncommitted' | 'removed' | 'conf-change-pending';

export interface ProgressStatus {
  readonly match: Index;
  readonly next: Index;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly recentActive: boolean;
  readonly isLearner: boolean;
}

export interface RaftStatus {
  readonly id: MemberId;
  readonly role: Role;
  readonly leader: MemberId;
  readonly hardState: HardState;
  readonly applied: Index;
  readonly stable: Index;
  readonly lastIndex: Index;
  readonly compactedIndex: Index;
  readonly confState: ConfState;
  /** Leader only; empty otherwise. */
  readonly progress: ReadonlyMap<MemberId, ProgressStatus>;
  readonly transferee: MemberId;
}

/** The core as the member sees it. Everything is synchronous; nothing here performs I/O. */
export interface RaftNode {
  /**
   * Advances the timers by one. An expired election timer only marks an election as due. The next
   * tick or `campaignIfDue()` holds it, unless a message from a leader is stepped in between (R27).
   */
  tick(): void;
  /** Holds the election that is due, if any. For callers that have read all waiting input since the tick. */
  campaignIfDue(): void;
  campaign(): void;
  /** Takes a message from another member. Malformed or foreign ones are dropped, never thrown on (R25, R26). */
  step(message: Message): void;
  /** Appends (leader) or forwards (follower) one entry for each of `data`, all or none. */
  propose(data: readonly Uint8Array[]): ProposeResult;
  /** `change.context` plus type and id are encoded by the caller into `data`, which is what is replicated. */
  proposeConfChange(change: ConfChange, data: Uint8Array): ProposeResult;
  /** Applies a committed change (invalid ones are no-ops, R17) and returns the configuration after it. */
  applyConfChange(change: ConfChange | null): ConfState;
  /** Asks for a read index; the answer is a ReadState with `context`, unique per call over this boot. */
  readIndex(context: number): boolean;
  transferLeader(to: MemberId): void;
  /** Forgets a leader whose process has ended (R35); the next tick may campaign. */
  forgetLeader(): void;
  /** The transport lost its connection to the member. */
  reportUnreachable(id: MemberId): void;
  reportSnapshot(id: MemberId, ok: boolean): void;
  hasReady(): boolean;
  ready(): Ready;
  /**
   * The write of a Ready with `mustSync` is durable: (index, term) of its last entry, or (0, hardState.term) when it
   * had no entries. To be called for every such Ready, in order; nothing for the others. Stale terms are ignored (C10).
   */
  synced(index: Index, term: Term): void;
  applied(index: Index): void;
  snapshotInstalled(meta: SnapshotMeta): void;
  /** Drops entries <= index from memory; index must be applied. */
  compactLog(index: Index): void;
  /** Term of a log position the log still holds, else undefined. */
  termAt(index: Index): Term | undefined;
  status(): RaftStatus;
  // Cheap accessors for the hot path.
  readonly role: Role;
  readonly leader: MemberId;
  readonly term: Term;
  readonly commitIndex: Index;
  readonly appliedIndex: Index;
  readonly lastIndex: Index;
}
