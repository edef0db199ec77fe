import type { CallContext, RpcError, StreamCall } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import type { Roles } from '../contract/roles.js';
import { LEADERLESS_TIMEOUTS } from './limits.js';

type LeaderRoles = Pick<Roles, 'env' | 'leadership'>;

/** True if the client of this call wants it refused while there is no leader. */
function requiresLeader(call: CallContext): boolean {
  return call.metadata('hasleader') === 'true';
}

function lacksLeader({ env, leadership }: LeaderRoles, timeouts: number): boolean {
  const { leaderlessSinceMs, electionMs } = leadership;
  if (leaderlessSinceMs === undefined) return false;
  return env.clock.monoMs() - leaderlessSinceMs >= timeouts * electionMs;
}

/**
 * The refusal of a new call whose client requires a leader, or null.
 *
 * Ref: newUnaryInterceptor and newStreamInterceptor of etcd's api/v3rpc/interceptor.go. There a
 * follower keeps naming the leader it lost until its election timeout has passed. Here the leader
 * is dropped when its connection closes, so the time since then counts.
 */
export function leaderRefusal(
  roles: LeaderRoles,
  kind: 'unary' | 'stream',
  call: CallContext,
): RpcError | null {
  if (!requiresLeader(call)) return null;
  return lacksLeader(roles, LEADERLESS_TIMEOUTS[kind]) ? errors.noLeader : null;
}

/**
 * Ends streams whose client requires a leader once this member has had none for some election timeouts. One timer for
 * all of them, and none while there are none.
 */
export class LeaderRequired {
  private readonly roles: LeaderRoles;
  private readonly endings = new Set<(error: RpcError) => void>();
  private scheduled = false;

  constructor(roles: LeaderRoles) {
    this.roles = roles;
  }

  /** Watches over the call if its client asked for that; returns how to stop. */
  guard(call: StreamCall, end: (error: RpcError) => void): () => void {
    if (!requiresLeader(call)) return () => undefined;
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
    if (!lacksLeader(this.roles, LEADERLESS_TIMEOUTS.stream)) return;
    for (const end of [...this.endings]) end(errors.noLeader);
  }
}
