import type { Env } from '../../base/env/env.js';
import type { RpcError } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import { READ_RETRY_MS } from './limits.js';

type ReadCallback = (error: RpcError | null) => void;

interface Round {
  /** First and last context of the round: every answer in between was asked for after its reads arrived. */
  readonly firstContext: number;
  context: number;
  readonly reads: readonly ReadCallback[];
  readonly deadlineMs: number;
  retryAtMs: number;
}

/**
 * Linearizable reads: everything that arrived while a round was under way shares the next one. A read is released
 * when a quorum confirmed the leader after the read arrived and this member has applied up to the confirmed index.
 *
 * Ref: Ongaro, "Consensus: Bridging Theory and Practice", 6.4; docs/REQUIREMENTS.md, R12.
 */
export class ReadIndex {
  private readonly env: Env;
  private readonly timeoutMs: number;
  private waiting: ReadCallback[] = [];
  private round: Round | null = null;
  /** Confirmed reads that wait for apply, by rising index. */
  private confirmed: {
    readonly index: number;
    readonly reads: readonly ReadCallback[];
    readonly deadlineMs: number;
  }[] = [];
  private lastContext: number;
  slow = 0;
  failed = 0;

  constructor(env: Env, timeoutMs: number) {
    this.env = env;
    this.timeoutMs = timeoutMs;
    // Contexts of another boot of this member must not be mistaken for ours.
    this.lastContext = (env.randomU32() & 0x7fffff) * 0x40000000;
  }

  get hasWork(): boolean {
    return this.waiting.length > 0;
  }

  get pending(): number {
    let n = this.waiting.length + (this.round?.reads.length ?? 0);
    for (const c of this.confirmed) n += c.reads.length;
    return n;
  }

  add(done: ReadCallback): void {
    this.waiting.push(done);
  }

  /** Starts a round for all waiting reads unless one is under way. */
  start(ask: (context: number) => boolean): void {
    if (this.round !== null || this.waiting.length === 0) return;
    const now = this.env.clock.monoMs();
    const context = ++this.lastContext;
    this.round = {
      firstContext: context,
      context,
      reads: this.waiting,
      deadlineMs: now + this.timeoutMs,
      retryAtMs: now + READ_RETRY_MS,
    };
    this.waiting = [];
    ask(context);
  }

  onReadState(context: number, index: number, appliedIndex: number): void {
    const round = this.round;
    // An answer to an earlier round confirms none of the reads of this one.
    if (round === null || context < round.firstContext || context > round.context) return;
    this.round = null;
    if (appliedIndex >= index) release(round.reads, null);
    else this.confirmed.push({ index, reads: round.reads, deadlineMs: round.deadlineMs });
  }

  onApplied(appliedIndex: number): void {
    while (this.confirmed.length > 0) {
      const first = this.confirmed[0];
      if (first === undefined || first.index > appliedIndex) return;
      this.confirmed.shift();
      release(first.reads, null);
    }
  }

  /** Repeats an unanswered round and fails what is past its deadline. Called on every tick. */
  tick(ask: (context: number) => boolean): void {
    const now = this.env.clock.monoMs();
    const round = this.round;
    if (round !== null) {
      if (now >= round.deadlineMs) {
        this.round = null;
        this.failed += round.reads.length;
        release(round.reads, errors.timeout);
      } else if (now >= round.retryAtMs) {
        this.slow++;
        this.askAgain(round, ask);
      }
    }
    while (this.confirmed.length > 0) {
      const first = this.confirmed[0];
      if (first === undefined || first.deadlineMs > now) return;
      this.confirmed.shift();
      this.failed += first.reads.length;
      release(first.reads, errors.timeout);
    }
  }

  /** A round that began without a leader, or was asked of none, need not wait for its next retry. */
  leaderAppeared(ask: (context: number) => boolean): void {
    if (this.round !== null) this.askAgain(this.round, ask);
  }

  private askAgain(round: Round, ask: (context: number) => boolean): void {
    round.context = ++this.lastContext;
    round.retryAtMs = this.env.clock.monoMs() + READ_RETRY_MS;
    ask(round.context);
  }

  /** Fails reads whose confirmation was asked of a leader that is no longer one. */
  leaderChanged(): void {
    const round = this.round;
    if (round === null) return;
    this.round = null;
    this.failed += round.reads.length;
    release(round.reads, errors.leaderChanged);
  }

  failAll(error: RpcError): void {
    const all = this.waiting.concat(
      this.round?.reads ?? [],
      this.confirmed.flatMap((c) => c.reads),
    );
    this.waiting = [];
    this.round = null;
    this.confirmed = [];
    release(all, error);
  }
}

function release(reads: readonly ReadCallback[], error: RpcError | null): void {
  for (const done of reads) done(error);
}
