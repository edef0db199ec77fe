import type { Timer } from '../../base/env/env.js';
import { decodePeerReplyFrame, encodePeerRequestFrame } from '../../gen/peer.js';
import type { MemberId } from '../../raft/types.js';
import type { PeerContext } from './context.js';
import { idText } from '../../base/bytes/id-text.js';
import { MAX_SENT_REQUESTS } from './limits.js';
import type { PeerRequest } from '../contract/roles.js';

export type RequestDone = (error: Error | null, body: Uint8Array | null) => void;

interface PendingRequest {
  /** Body of the request's frame. */
  readonly body: Uint8Array;
  readonly timer: Timer;
  readonly done: RequestDone;
}

/**
 * Requests to one peer that wait for its reply. Every request ends once: with the reply, its
 * deadline or a failure.
 */
export class PendingRequests {
  private readonly context: PeerContext;
  private readonly to: MemberId;
  private readonly pending = new Map<number, PendingRequest>();
  private nextSeq = 1;

  constructor(context: PeerContext, to: MemberId) {
    this.context = context;
    this.to = to;
  }

  /** The body to send, or null when there are too many requests; `done` runs in either case. */
  add(
    kind: PeerRequest,
    payload: Uint8Array,
    timeoutMs: number,
    done: RequestDone,
  ): Uint8Array | null {
    const { env } = this.context;
    if (this.pending.size >= MAX_SENT_REQUESTS) {
      this.refuse('too many requests to', done);
      return null;
    }
    const seq = this.nextSeq++;
    const body = encodePeerRequestFrame({ seq, kind, body: payload });
    const timer = env.after(timeoutMs, () => {
      this.pending.delete(seq);
      done(new Error(`member ${idText(this.to)} did not answer within ${timeoutMs} ms`), null);
    });
    this.pending.set(seq, { body, timer, done });
    return body;
  }

  /** Ends a request that cannot be sent, after this returned. */
  refuse(why: string, done: RequestDone): void {
    const error = new Error(`${why} member ${idText(this.to)}`);
    this.context.env.defer(() => done(error, null));
  }

  /** Bodies of the requests that wait, in the order they were made. */
  *bodies(): Iterable<Uint8Array> {
    for (const request of this.pending.values()) yield request.body;
  }

  /** Throws: the decoder's error when `frameBody` is no reply. */
  onReply(frameBody: Uint8Array): void {
    const reply = decodePeerReplyFrame(frameBody);
    const request = this.pending.get(reply.seq);
    if (request === undefined) return;
    this.pending.delete(reply.seq);
    request.timer.cancel();
    if (reply.error === '') request.done(null, reply.body);
    else request.done(new Error(reply.error), null);
  }

  failAll(why: string): void {
    if (this.pending.size === 0) return;
    const failed = [...this.pending.values()];
    this.pending.clear();
    for (const request of failed) {
      request.timer.cancel();
      request.done(new Error(why), null);
    }
  }
}
