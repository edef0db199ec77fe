import type { RpcError } from '../../rpc/service.js';
import { ENVELOPE_BYTES, type CommandKind } from '../contract/command.js';
import { errors } from '../contract/errors.js';
import type { Proposals, ReplyCallback } from '../contract/roles.js';
import type { QuotaGate } from '../upkeep/quota-gate.js';
import type { RaftDriver } from './driver.js';
import type { ProposalQueue } from './proposal-queue.js';

export interface ProposalGateParts {
  readonly queue: ProposalQueue;
  readonly driver: RaftDriver;
  readonly quota: QuotaGate;
  readonly timeoutMs: number;
  readonly maxRequestBytes: number;
  readonly maxQueuedBytes: number;
}

/** Lets a command into the queue for the log, or refuses it: stopping, too large, too many, no space. */
export class ProposalGate implements Proposals {
  readonly timeoutMs: number;
  private readonly p: ProposalGateParts;
  private isStopped = false;

  constructor(parts: ProposalGateParts) {
    this.p = parts;
    this.timeoutMs = parts.timeoutMs;
  }

  stop(): void {
    this.isStopped = true;
  }

  propose(kind: CommandKind, request: Uint8Array, done: ReplyCallback): void {
    const refusal = this.refusal(request);
    if (refusal !== null) return done(refusal, null);
    if (this.p.quota.refuses(kind, request)) {
      // The alarm comes first: a client that was refused finds it raised.
      this.p.quota.raiseAlarm(
        (alarm, alarmed) => this.enqueue(alarm.kind, alarm.request, alarmed),
        () => done(errors.noSpace, null),
      );
      return;
    }
    this.enqueue(kind, request, done);
  }

  private enqueue(kind: CommandKind, request: Uint8Array, done: ReplyCallback): void {
    this.p.queue.add(kind, request, done);
    this.p.driver.schedule();
  }

  private refusal(request: Uint8Array): RpcError | null {
    const { driver, queue, maxRequestBytes, maxQueuedBytes } = this.p;
    if (this.isStopped) return errors.stopped;
    if (request.length + ENVELOPE_BYTES > maxRequestBytes) return errors.requestTooLarge;
    if (driver.overloaded || queue.bytesQueued > maxQueuedBytes) return errors.tooManyRequests;
    return null;
  }
}
