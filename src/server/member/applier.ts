import type { Env, Timer } from '../../base/env/env.js';
import { invariant } from '../../base/invariant.js';
import type { Logger } from '../../base/observe/logger.js';
import { encodeConfStateRecord } from '../../gen/peer.js';
import type { Store } from '../../mvcc/store.js';
import type { RawNode } from '../../raft/raw-node.js';
import { EntryType, type ConfState, type Entry } from '../../raft/types.js';
import { RpcError } from '../../rpc/service.js';
import {
  applyCommand,
  bodyProblem,
  COMMANDS,
  type Command,
  type Decision,
} from '../apply/commands.js';
import type { StateMachine } from '../apply/state-machine.js';
import {
  bodyOf,
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

interface UnderWay {
  readonly entry: Entry;
  readonly command: Command<unknown>;
  readonly decision: Decision;
  readonly startMs: number;
}

/** Feeds committed entries to the state machine, and their replies to those who wait for them. */
export class EntryApplier implements Applier {
  private readonly p: EntryApplierParts;
  private lastTerm = 0;
  private flushTimer: Timer | null = null;
  /** The command that was begun and is not decided; the state stays as it is meanwhile. */
  private underWay: UnderWay | undefined;
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

  applyEntry(entry: Entry): boolean {
    const { underWay } = this;
    if (underWay !== undefined) {
      invariant(underWay.entry === entry, 'entry {} overtakes another one', entry.index);
      return this.goOn(underWay);
    }
    const { data, term } = entry;
    if (data.length === 0) {
      // A new leader's empty entry: every command of earlier terms that survived has been applied before it.
      this.termApplied(term);
      return true;
    }
    if (term > this.lastTerm) this.termApplied(term);
    if (this.p.skippedIndexes.size > 0 && this.passOver(entry)) return true;
    const problem = envelopeProblem(data);
    if (problem !== null) this.refuse(entry, problem);
    return this.begin(entry);
  }

  private begin(entry: Entry): boolean {
    const startMs = this.p.env.clock.monoMs();
    const command = COMMANDS[kindOf(entry.data) as CommandKind];
    const request = this.decode(command, entry);
    const decision = command.decide?.(this.p.machine, request);
    if (decision === undefined) this.finish(entry, command, request, startMs);
    else return this.goOn({ entry, command, decision, startMs });
    return true;
  }

  /** Decides some more about a command, and executes it once it is decided. */
  private goOn(underWay: UnderWay): boolean {
    const { entry, command, decision, startMs } = underWay;
    if (!decision.step()) {
      this.underWay = underWay;
      return false;
    }
    this.underWay = undefined;
    this.finish(entry, command, decision, startMs);
    return true;
  }

  private finish(entry: Entry, command: Command<unknown>, subject: unknown, startMs: number): void {
    const { env, observer, slow, machine, queue } = this.p;
    const waiter = queue.take(entry.data);
    const result = applyCommand(machine, command, subject, waiter !== undefined, entry.term);
    const ms = env.clock.monoMs() - startMs;
    const isOk = !(result instanceof RpcError);
    observer?.applied(kindOf(entry.data) as CommandKind, isOk, ms / 1000);
    if (ms > slow.limitMs) slow.report(entry, ms, result);
    if (waiter === undefined) return;
    if (result instanceof RpcError) waiter(result, null);
    else waiter(null, result);
  }

  private decode(command: Command<unknown>, entry: Entry): unknown {
    const { data } = entry;
    try {
      return command.decode(bodyOf(data));
    } catch (error) {
      if (error instanceof DecodeError) this.refuse(entry, bodyProblem(data) ?? error.message);
      throw error;
    }
  }

  /** The entry under way changes nothing any more: a snapshot contains it. */
  forget(): void {
    this.underWay = undefined;
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
