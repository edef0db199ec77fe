import type { RpcError, StreamCall } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import type { Roles } from '../contract/roles.js';

/** Election timeouts without a leader after which streams that require one are ended. */
const LEADERLESS_TIMEOUTS = 3;

/**
 * Ends streams whose client asked for a leader (`hasleader: true`) once this member has had none for
 * LEADERLESS_TIMEOUTS election timeouts. One timer for all of them, and none while there are none.
 */
export class LeaderRequired {
  private readonly roles: Pick<Roles, 'env' | 'leadership'>;
  private readonly endings = new Set<(error: RpcError) => void>();
  private scheduled = false;

  constructor(roles: Pick<Roles, 'env' | 'leadership'>) {
    this.roles = roles;
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
    this.roles.env.after(this.roles.leadership.electionMs, () => {
      this.scheduled = false;
      this.check();
      this.schedule();
    });
  }

  private check(): void {
    const { leaderlessSinceMs, electionMs } = this.roles.leadership;
    const { env } = this.roles;
    if (leaderlessSinceMs === undefined) return;
    if (env.clock.monoMs() - leaderlessSinceMs < LEADERLESS_TIMEOUTS * electionMs) return;
    for (const end of [...this.endings]) end(errors.noLeader);
  }
}
