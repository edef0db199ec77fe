import type { Env } from '../../base/env/env.js';
import type { ProposeResult } from '../../raft/types.js';
import type { RpcError } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import { encodeCommand, sequenceOf, type CommandKind } from '../contract/command.js';
import type { ReplyCallback } from '../contract/roles.js';
import { SequenceRing } from './sequence-ring.js';

/** Commands on their way into the log, and who waits for them. */

interface Proposal {
  readonly data: Uint8Array;
  readonly sequence: number;
  readonly deadlineMs: number;
  readonly done: ReplyCallback;
  /** Term in which the command was handed to raft, 0 before. */
  term: number;
}

export class ProposalQueue {
  private readonly env: Env;
  private readonly timeoutMs: number;
  private readonly origin: number;
  private sequence = 0;
  /** Not yet accepted by raft, oldest first. */
  private queue: Proposal[] = [];
  private queuedBytes = 0;
  /** In the order they were handed to raft, which is the order of their deadlines and terms. */
  private readonly waiters = new SequenceRing<Proposal>();
  failed = 0;

  constructor(env: Env, timeoutMs: number) {
    this.env = env;
    this.timeoutMs = timeoutMs;
    this.origin = env.randomU32();
  }

  get pending(): number {
    return this.queue.length + this.waiters.size;
  }

  get hasQueued(): boolean {
    return this.queue.length > 0;
  }

  get bytesQueued(): number {
    return this.queuedBytes;
  }

  /** Queues a command; `request` is copied. */
  add(kind: CommandKind, request: Uint8Array, done: ReplyCallback): void {
    const sequence = (this.sequence = (this.sequence + 1) >>> 0);
    const data = encodeCommand(kind, this.origin, sequence, request);
    this.queuedBytes += data.length;
    this.queue.push({
      data,
      sequence,
      deadlineMs: this.env.clock.monoMs() + this.timeoutMs,
      done,
      term: 0,
    });
  }

  /**
   * Hands everything queued to `propose` in one call. While there is no leader, or leadership is being handed over, the queue
   * waits; its deadlines go on.
   */
  submit(term: number, propose: (data: readonly Uint8Array[]) => ProposeResult): void {
    if (this.queue.length === 0) return;
    const batch = this.queue;
    const data: Uint8Array[] = new Array<Uint8Array>(batch.length);
    for (let i = 0; i < batch.length; i++) data[i] = (batch[i] as Proposal).data;
    const result = propose(data);
    if (result === 'no-leader' || result === 'transferring') return;
    this.queue = [];
    this.queuedBytes = 0;
    for (const q of batch) {
      if (result === 'ok') {
        q.term = term;
        this.waiters.add(q.sequence, q);
      } else {
        this.failed++;
        q.done(result === 'removed' ? errors.stopped : errors.tooManyRequests, null);
      }
    }
  }

  /** The waiter of a committed command if this member, in this life, proposed it. The waiter is removed. */
  take(data: Uint8Array): ReplyCallback | undefined {
    const sequence = sequenceOf(data, this.origin);
    return sequence === undefined ? undefined : this.waiters.take(sequence)?.done;
  }

  /** Fails what is past its deadline. Called on every tick. */
  expire(nowMs: number): void {
    this.failWhile((waiter) => waiter.deadlineMs <= nowMs, errors.timeout);
    let late = 0;
    for (const q of this.queue) {
      if (q.deadlineMs > nowMs) break;
      late++;
      this.queuedBytes -= q.data.length;
      this.failed++;
      q.done(errors.deadlineExceeded, null);
    }
    if (late > 0) this.queue.splice(0, late);
  }

  /**
   * A leader of `term` has an entry applied here. A proposal of an earlier term that has not been
   * applied by now is most likely lost, and waiting for the deadline would help no client. The
   * outcome stays unknown to the client.
   */
  termApplied(term: number): void {
    this.failWhile((waiter) => waiter.term < term, errors.timeoutLeaderFailure);
  }

  /** Fails the oldest waiters as long as `isOver` returns true. */
  private failWhile(isOver: (waiter: Proposal) => boolean, error: RpcError): void {
    let oldest = this.waiters.peek();
    while (oldest !== undefined && isOver(oldest)) {
      this.waiters.shift();
      this.failed++;
      oldest.done(error, null);
      oldest = this.waiters.peek();
    }
  }

  failAll(error: RpcError): void {
    const { queue } = this;
    this.queue = [];
    this.queuedBytes = 0;
    let oldest = this.waiters.peek();
    while (oldest !== undefined) {
      this.waiters.shift();
      oldest.done(error, null);
      oldest = this.waiters.peek();
    }
    for (const q of queue) q.done(error, null);
  }
}
