import type { RpcError, StreamCall } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import type { MemberApi } from '../contract/member-api.js';

/** Election timeouts without a leader after which streams that require one are ended. */
const LEADERLESS_TIMEOUTS = 3;

/**
 * Ends streams whose client asked for a leader (`hasleader: true`) once this member has had none for
 * LEADERLESS_TIMEOUTS election timeouts. One timer for all of them, and none while there are none.
 */
export class LeaderRequired {
  private readonly api: MemberApi;
  private readonly endings = new Set<(error: RpcError) => void>();
  private scheduled = false;

  constructor(api: MemberApi) {
    this.api = api;
  }

  /** Watches over the call if its client asked for that; returns how to stop. */
  guard(call: StreamCall, end: (error: RpcError) => void): () => void {
    if (call.metadata('hasleader') !== 'true') return () => undefined;
    this.endings.add(end);
    this.schedule();
    return () => this.endings.delete(end);
  }

  private schedule(): void {
    if (this.scheduled || this.endings.size === 0) return;
    this.scheduled = true;
    this.api.env.after(this.api.electionMs, () => {
      this.scheduled = false;
      this.check();
      this.schedule();
    });
  }

  private check(): void {
    const { leaderlessSinceMs, electionMs, env } = this.api;
    if (leaderlessSinceMs === undefined) return;
    if (env.clock.monoMs() - leaderlessSinceMs < LEADERLESS_TIMEOUTS * electionMs) return;
    for (const end of [...this.endings]) end(errors.noLeader);
  }
}
