import type { Env, Timer } from '../../base/env/env.js';
import type { RawNode } from '../../raft/raw-node.js';
import {
  EntryType,
  MessageType,
  NONE,
  Role,
  type ConfState,
  type Entry,
  type MemberId,
  type Message,
  type Ready,
  type SnapshotMeta,
  type SoftState,
} from '../../raft/types.js';
import type { Logger } from '../../base/observe/logger.js';
import type { WalWriter } from '../../wal/types.js';
import type { RpcError } from '../../rpc/service.js';
import { bodyProblem } from '../apply/commands.js';
import { confChangeProblem, envelopeProblem } from '../contract/command.js';
import { errors } from '../contract/errors.js';
import type { PeerTransport } from '../peer/types.js';
import { contradictionFinding } from './contradiction.js';
import type { ProposalQueue } from './proposal-queue.js';
import type { ReadIndex } from './read-index.js';
import {
  APPLY_SLICE_MS,
  BACKEND_BACKLOG_BYTES,
  BACKLOG_RETRY_MS,
  ENTRIES_PER_LOOK,
  MAX_APPLY_BACKLOG,
} from './limits.js';

/**
 * Drives the consensus core. All input of one turn of the event loop (proposals, reads, messages,
 * ticks) is handed to the core together. The core's work goes out in one batch: one write to the
 * log with one fdatasync, one frame a peer, one run of applies.
 *
 * The log write and the sends of a leader run in parallel; acknowledgements and votes wait for the write they
 * rest on. Applies run in slices so that no turn takes longer than APPLY_SLICE_MS.
 */

/** The state machine as the driver uses it. */
export interface Applier {
  /**
   * Goes on with an entry for some microseconds at least; false while it is not applied: the same entry is given again,
   * and none behind it before.
   */
  applyEntry(entry: Entry): boolean;
  /** The entry given last, if it is not applied yet, will not be given again. */
  forget(): void;
  /** A committed membership change; returns the configuration to persist. */
  applyConfChange(entry: Entry): ConfState;
  /** Entries up to `index` are applied: persist them together, soon. */
  endBatch(index: number, term: number): void;
  /** Bytes handed to the backend that it has not written yet. */
  readonly backlogBytes: number;
}

export interface DriverEvents {
  onSoftState(state: SoftState): void;
  /** The core accepted a leader's snapshot whose state is staged: install it, then call `snapshotInstalled`. */
  onSnapshot(meta: SnapshotMeta): void;
  /** A follower needs the state itself; the message's meta may be replaced by that of a newer image. */
  onSendSnapshot(message: Message): void;
  /** Called after each drained batch with the new applied index, and the bytes of the entries applied since the last call. */
  onApplied(index: number, bytes: number): void;
  /** A tick came `lateMs` after its time, more than a whole interval. */
  onLateHeartbeat(lateMs: number): void;
}

interface PendingSync {
  readonly index: number;
  readonly term: number;
  readonly messages: readonly Message[];
}

export interface DriverParts {
  readonly env: Env;
  readonly log: Logger;
  readonly node: RawNode;
  readonly wal: WalWriter;
  readonly transport: PeerTransport;
  readonly proposals: ProposalQueue;
  readonly reads: ReadIndex;
  readonly applier: Applier;
  readonly events: DriverEvents;
  readonly tickMs: number;
  /** Ticks of the first election timeout to skip: no message can have come before the start. */
  readonly advanceTicks: number;
}

export class RaftDriver {
  private readonly env: Env;
  private readonly log: Logger;
  private readonly node: RawNode;
  private readonly wal: WalWriter;
  private readonly transport: PeerTransport;
  private readonly proposals: ProposalQueue;
  private readonly reads: ReadIndex;
  private readonly applier: Applier;
  private readonly events: DriverEvents;
  private readonly tickMs: number;
  private readonly advanceTicks: number;

  private scheduled = false;
  private running = false;
  private stopped = false;
  private tickTimer: Timer | null = null;
  private nextTickMs = 0;
  private readonly syncing: PendingSync[] = [];
  private applyQueue: (readonly Entry[])[] = [];
  private applyOffset = 0;
  private applyScheduled = false;
  private leader: MemberId = NONE;
  private isLoneVoter = false;
  private localReads = false;

  constructor(parts: DriverParts) {
    this.env = parts.env;
    this.log = parts.log;
    this.node = parts.node;
    this.wal = parts.wal;
    this.transport = parts.transport;
    this.proposals = parts.proposals;
    this.reads = parts.reads;
    this.applier = parts.applier;
    this.events = parts.events;
    this.tickMs = parts.tickMs;
    this.advanceTicks = parts.advanceTicks;
  }

  start(): void {
    this.nextTickMs = this.env.clock.monoMs() + this.tickMs;
    this.configurationChanged();
    if (this.isLoneVoter) this.node.campaign();
    else for (let i = 0; i < this.advanceTicks; i++) this.node.tick();
    this.armTick();
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    this.tickTimer?.cancel();
    this.proposals.failAll(errors.stopped);
    this.reads.failAll(errors.stopped);
  }

  /** Makes sure the loop runs after the I/O that is ready now has been handled. */
  schedule(): void {
    if (this.scheduled || this.stopped) return;
    this.scheduled = true;
    this.env.defer(this.runScheduled);
  }

  private readonly runScheduled = (): void => {
    this.scheduled = false;
    this.run();
  };

  // ---- time ----

  private armTick(): void {
    const delay = Math.max(1, this.nextTickMs - this.env.clock.monoMs());
    this.tickTimer = this.env.after(delay, this.onTick);
  }

  /**
   * A stalled process (garbage collection, SIGSTOP) wakes up with timers due before it has read its
   * peers' messages. A gap of any length counts as one tick, and an election that falls due waits
   * until queued input was handled (R27).
   */
  private readonly onTick = (): void => {
    if (this.stopped) return;
    const now = this.env.clock.monoMs();
    // Late by more than a tick: more than two passed since the last one.
    const isStall = now - this.nextTickMs > this.tickMs;
    if (isStall) this.events.onLateHeartbeat(now - this.nextTickMs);
    this.nextTickMs = (isStall ? now : this.nextTickMs) + this.tickMs;
    this.armTick();
    this.node.tick();
    this.proposals.expire(now);
    this.reads.tick(this.ask);
    this.env.defer(this.afterTick);
  };

  private readonly afterTick = (): void => {
    if (this.stopped) return;
    this.node.campaignIfDue();
    this.run();
  };

  // ---- input ----

  /** True when committed entries wait for apply in such numbers that more proposals would only make it worse. */
  get overloaded(): boolean {
    return this.node.commitIndex - this.node.appliedIndex > MAX_APPLY_BACKLOG;
  }

  onMessages(messages: readonly Message[]): void {
    if (this.stopped) return;
    for (const m of messages) {
      if (m.type === MessageType.propose) this.stepProposal(m);
      else this.node.step(m);
    }
    this.schedule();
  }

  /**
   * An entry that some member cannot apply would stop that member for good, so none is let into the log. A forwarded
   * proposal has no reply: its proposer's waiter runs into its deadline.
   */
  private stepProposal(m: Message): void {
    const { from } = m;
    const entries = m.entries.filter((entry) => {
      const problem = entryProblem(entry);
      if (problem === null) return true;
      this.log.warn('refused a proposal that this version cannot apply', { from, problem });
      return false;
    });
    if (entries.length > 0) this.node.step({ ...m, entries });
  }

  linearizable(done: (error: RpcError | null) => void): void {
    if (this.stopped) return done(errors.stopped);
    if (this.localReads && this.node.appliedIndex === this.node.commitIndex) {
      // A lone voter is its own quorum: everything it ever acknowledged is applied here.
      return done(null);
    }
    this.reads.add(done);
    this.schedule();
  }

  private readonly ask = (context: number): boolean => this.node.readIndex(context);
  private readonly propose = (data: readonly Uint8Array[]): ReturnType<RawNode['propose']> =>
    this.node.propose(data);

  // ---- the loop ----

  run(): void {
    if (this.running || this.stopped) return;
    this.running = true;
    this.proposals.submit(this.node.term, this.propose);
    this.reads.start(this.ask);
    while (this.node.hasReady() && !this.stopped) this.handle(this.node.ready());
    this.running = false;
    this.drainApply();
  }

  private handle(rd: Ready): void {
    if (rd.contradiction !== null) {
      const { what, next } = contradictionFinding(rd.contradiction);
      this.env.fatal(what, next);
    }
    if (rd.softState !== null) this.onSoftState(rd.softState);
    if (rd.messages.length > 0) this.send(rd.messages);
    this.persist(rd);
    if (rd.snapshot !== null) {
      // All entries that still wait for apply are contained in the snapshot.
      this.applyQueue = [];
      this.applyOffset = 0;
      this.applier.forget();
      this.events.onSnapshot(rd.snapshot);
    }
    if (rd.committed.length > 0) this.applyQueue.push(rd.committed);
    for (const r of rd.readStates)
      this.reads.onReadState(r.context, r.index, this.node.appliedIndex);
    if (this.reads.hasWork) this.reads.start(this.ask);
  }

  private persist(rd: Ready): void {
    if (!rd.mustSync) {
      // A commit index alone may be lost: it rides along with the next write.
      if (rd.hardState !== null) {
        this.wal.append({ hardState: rd.hardState, entries: [], snapshot: null }, false, ignore);
      }
      if (rd.messagesAfterSync.length > 0) this.send(rd.messagesAfterSync);
      return;
    }
    const last = rd.entries.at(-1);
    this.syncing.push({
      index: last?.index ?? 0,
      term: last?.term ?? rd.hardState?.term ?? this.node.term,
      messages: rd.messagesAfterSync,
    });
    this.wal.append(
      { hardState: rd.hardState, entries: rd.entries, snapshot: null },
      true,
      this.onSynced,
    );
  }

  private readonly onSynced = (): void => {
    const done = this.syncing.shift();
    if (done === undefined || this.stopped) return;
    this.node.synced(done.index, done.term);
    if (done.messages.length > 0) this.send(done.messages);
    this.schedule();
  };

  private send(messages: readonly Message[]): void {
    let plain = true;
    for (const m of messages) {
      if (m.snapshot !== null) {
        plain = false;
        this.events.onSendSnapshot(m);
      }
    }
    this.transport.send(plain ? messages : messages.filter((m) => m.snapshot === null));
  }

  private onSoftState(state: SoftState): void {
    if (state.leader !== this.leader) {
      if (this.leader !== NONE) this.reads.leaderChanged();
      this.leader = state.leader;
      if (state.leader !== NONE) this.reads.leaderAppeared(this.ask);
    }
    this.updateLocalReads();
    this.events.onSoftState(state);
    // Proposals may have waited for a leader.
    if (this.proposals.hasQueued) this.schedule();
  }

  private configurationChanged(): void {
    this.isLoneVoter = this.node.status().confState.voters.length === 1;
    this.updateLocalReads();
  }

  private updateLocalReads(): void {
    this.localReads =
      this.isLoneVoter &&
      this.node.role === Role.leader &&
      this.node.termAt(this.node.commitIndex) === this.node.term;
  }

  // ---- apply ----

  private drainApply(): void {
    if (this.applyQueue.length === 0 || this.applyScheduled || this.stopped) return;
    if (this.applier.backlogBytes > BACKEND_BACKLOG_BYTES) {
      this.applyScheduled = true;
      this.env.after(BACKLOG_RETRY_MS, this.resumeApply);
      return;
    }
    const startMs = this.env.clock.monoMs();
    let last: Entry | undefined;
    let bytes = 0;
    let confChanged = false;
    while (!confChanged) {
      const batch = this.applyQueue[0];
      if (batch === undefined) break;
      const from = this.applyOffset;
      const end = Math.min(batch.length, from + ENTRIES_PER_LOOK);
      for (; this.applyOffset < end; this.applyOffset++) {
        const entry = batch[this.applyOffset] as Entry;
        if (entry.type === EntryType.confChange) {
          this.applier.applyConfChange(entry);
          confChanged = true;
        } else if (!this.applier.applyEntry(entry)) {
          break;
        }
        last = entry;
        bytes += entry.data.length;
      }
      if (this.applyOffset === batch.length) {
        this.applyQueue.shift();
        this.applyOffset = 0;
      }
      if (this.env.clock.monoMs() - startMs > APPLY_SLICE_MS) break;
    }
    if (last !== undefined) this.finishBatch(last, bytes);
    if (confChanged) this.configurationChanged();
    if (this.applyQueue.length > 0) {
      this.applyScheduled = true;
      this.env.defer(this.resumeApply);
    }
    if (this.node.hasReady()) this.schedule();
  }

  private readonly resumeApply = (): void => {
    this.applyScheduled = false;
    this.drainApply();
  };

  private finishBatch(last: Entry, bytes: number): void {
    this.applier.endBatch(last.index, last.term);
    this.node.applied(last.index);
    if (this.isLoneVoter && !this.localReads) this.updateLocalReads();
    this.reads.onApplied(last.index);
    this.events.onApplied(last.index, bytes);
  }

  /** The state of an accepted snapshot is in place: the core may go on after it. */
  snapshotInstalled(meta: SnapshotMeta): void {
    this.node.snapshotInstalled(meta);
    this.reads.onApplied(meta.index);
    this.configurationChanged();
    this.schedule();
  }
}

function entryProblem({ type, data }: Entry): string | null {
  if (type === EntryType.confChange) return confChangeProblem(data);
  return data.length === 0 ? 'is empty' : (envelopeProblem(data) ?? bodyProblem(data));
}

function ignore(): void {
  // The outcome of an unsynced write shows in the next synced one.
}
