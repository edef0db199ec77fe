import type { Env, Timer } from '../../base/env/env.js';
import type { Logger } from '../../base/observe/logger.js';
import { encodeConfStateRecord } from '../../gen/peer.js';
import type { Store } from '../../mvcc/store.js';
import type { RawNode } from '../../raft/raw-node.js';
import { EntryType, type ConfState, type Entry } from '../../raft/types.js';
import { RpcError } from '../../rpc/service.js';
import type { ApplyResult, StateMachine } from '../apply/state-machine.js';
import {
  bodyOf,
  bodyProblem,
  confChangeProblem,
  envelopeProblem,
  kindOf,
  readConfChange,
  type CommandKind,
} from '../contract/command.js';
import { errors } from '../contract/errors.js';
import type { MemberObserver } from '../contract/member-observer.js';
import type { Applier } from './driver.js';
import type { SlowApplyLog } from './slow-apply.js';
import type { ProposalQueue } from './proposal-queue.js';
import { DecodeError } from '../../base/protobuf/runtime.js';
import { FLUSH_BYTES, FLUSH_DELAY_MS } from './limits.js';

export interface EntryApplierParts {
  readonly env: Env;
  readonly log: Logger;
  readonly node: RawNode;
  readonly store: Store;
  readonly machine: StateMachine;
  readonly queue: ProposalQueue;
  /** Indexes of entries that the operator lets this member pass over (--unsafe-skip-entries). */
  readonly skippedIndexes: ReadonlySet<number>;
  readonly observer: MemberObserver | undefined;
  readonly slow: SlowApplyLog;
  /** The member list changed. */
  readonly onMembersChanged: () => void;
}

/** Feeds committed entries to the state machine, and their replies to those who wait for them. */
export class EntryApplier implements Applier {
  private readonly p: EntryApplierParts;
  private lastTerm = 0;
  private flushTimer: Timer | null = null;
  private isStopped = false;

  constructor(parts: EntryApplierParts) {
    this.p = parts;
  }

  get backlogBytes(): number {
    return this.p.store.backend.pendingBytes;
  }

  /** Nothing is handed to the backend by itself any more. */
  stop(): void {
    this.isStopped = true;
    this.flushTimer?.cancel();
  }

  applyEntry(entry: Entry): void {
    const { data, term } = entry;
    if (data.length === 0) {
      // A new leader's empty entry: every command of earlier terms that survived has been applied before it.
      this.termApplied(term);
      return;
    }
    if (term > this.lastTerm) this.termApplied(term);
    if (this.p.skippedIndexes.size > 0 && this.passOver(entry)) return;
    const problem = envelopeProblem(data);
    if (problem !== null) this.refuse(entry, problem);
    const waiter = this.p.queue.take(data);
    const result = this.timed(entry, waiter !== undefined);
    if (waiter === undefined) return;
    if (result instanceof RpcError) waiter(result, null);
    else waiter(null, result);
  }

  private timed(entry: Entry, wantReply: boolean): ApplyResult {
    const { env, observer, slow } = this.p;
    const startMs = env.clock.monoMs();
    const result = this.run(entry, wantReply);
    const ms = env.clock.monoMs() - startMs;
    const isOk = !(result instanceof RpcError);
    observer?.applied(kindOf(entry.data) as CommandKind, isOk, ms / 1000);
    if (ms > slow.limitMs) slow.report(entry, ms, result);
    return result;
  }

  private run(entry: Entry, wantReply: boolean): ApplyResult {
    const { data, term } = entry;
    try {
      return this.p.machine.apply(kindOf(data) as CommandKind, bodyOf(data), term, wantReply);
    } catch (error) {
      // The state machine decodes before it changes anything.
      if (error instanceof DecodeError) this.refuse(entry, bodyProblem(data) ?? error.message);
      throw error;
    }
  }

  /** Passes over an entry that the operator named; false for every other. */
  private passOver(entry: Entry): boolean {
    const { index, data, type } = entry;
    if (!this.p.skippedIndexes.has(index)) return false;
    const isChange = type === EntryType.confChange;
    this.p.log.warn('passed over a log entry, as --unsafe-skip-entries asks', {
      index,
      kind: isChange ? 'membership change' : kindOf(data),
      bytes: data.length,
    });
    if (!isChange) this.p.queue.take(data)?.(errors.stopped, null);
    return true;
  }

  /** Ends the process: a member that passed over an entry by itself would no longer hold what the others hold. */
  private refuse(entry: Entry, problem: string): never {
    return this.p.env.fatal(
      `log entry ${entry.index} of term ${entry.term} ${problem}: it was written by a newer version, or is damaged`,
      'start the version of mainstay that wrote it; if no version can apply it, start every member of the cluster ' +
        `once with --unsafe-skip-entries=${entry.index}, which gives its change up`,
    );
  }

  private termApplied(term: number): void {
    this.lastTerm = term;
    this.p.queue.termApplied(term);
  }

  applyConfChange(entry: Entry): ConfState {
    const { node, store, machine } = this.p;
    if (this.passOver(entry)) return node.applyConfChange(null);
    const problem = confChangeProblem(entry.data);
    if (problem !== null) this.refuse(entry, problem);
    const change = readConfChange(entry.data);
    const confState = node.applyConfChange(change);
    machine.members.change(store.backend, change);
    const { voters, learners } = confState;
    store.backend.setConfState(
      encodeConfStateRecord({ voters: [...voters], learners: [...learners] }),
    );
    this.p.onMembersChanged();
    return confState;
  }

  endBatch(index: number, term: number): void {
    const { backend } = this.p.store;
    backend.setApplied(index, term);
    this.flushSoon();
  }

  /**
   * Hands the applied changes to the backend, a little later: small changes then share a batch of the engine. Reads see
   * them at once, and the log holds them.
   */
  private flushSoon(): void {
    if (this.isStopped) return;
    if (this.backlogBytes >= FLUSH_BYTES) return this.p.store.backend.flush();
    this.flushTimer ??= this.p.env.after(FLUSH_DELAY_MS, this.flushNow);
  }

  private readonly flushNow = (): void => {
    this.flushTimer = null;
    this.p.store.backend.flush();
  };
}
