import type { Env, Timer } from '../../base/env/env.js';
import type { Logger } from '../../base/observe/logger.js';
import type { MemberInfo } from '../../gen/peer.js';
import type { MemberId } from '../../raft/types.js';
import type { ClusterView, Leadership } from '../contract/roles.js';

/** Between two lines of log about a missing leader, and before the first. */
const REPORT_INTERVAL_MS = 30_000;

export interface LeaderWatchParts {
  readonly env: Env;
  readonly log: Logger;
  readonly leadership: Pick<Leadership, 'leaderlessSinceMs'>;
  readonly cluster: Pick<ClusterView, 'memberId' | 'members'>;
  /** True if the connection to a peer is up. */
  readonly isReachable: (id: MemberId) => boolean;
}

/**
 * Logs every 30 s that this member has no leader: since when, the unreachable peers, and the next
 * step.
 */
export class LeaderWatch {
  private readonly p: LeaderWatchParts;
  private timer: Timer | null = null;

  constructor(parts: LeaderWatchParts) {
    this.p = parts;
  }

  start(): void {
    this.wait(REPORT_INTERVAL_MS);
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  private wait(ms: number): void {
    this.timer = this.p.env.after(ms, this.look);
  }

  private readonly look = (): void => {
    const sinceMs = this.p.leadership.leaderlessSinceMs;
    const ageMs = sinceMs === undefined ? 0 : this.p.env.clock.monoMs() - sinceMs;
    if (sinceMs === undefined || ageMs >= REPORT_INTERVAL_MS) {
      if (sinceMs !== undefined) this.report(ageMs);
      this.wait(REPORT_INTERVAL_MS);
    } else {
      this.wait(REPORT_INTERVAL_MS - ageMs);
    }
  };

  private report(ageMs: number): void {
    const { env, log, cluster, isReachable } = this.p;
    const others = cluster.members().filter((m) => m.ID !== cluster.memberId);
    const away = others.filter((m) => !isReachable(m.ID));
    log.warn('this member has no leader; it serves neither writes nor linearizable reads', {
      since: new Date(env.clock.wallMs() - ageMs).toISOString(),
      seconds: Math.round(ageMs / 1000),
      members: others.length + 1,
      unreachable: away.map(peerText),
      next: nextStep(away),
    });
  }
}

function peerText({ name, peerURLs }: MemberInfo): string {
  return `${name} ${peerURLs.join(',')}`;
}

function nextStep(away: readonly MemberInfo[]): string {
  return away.length === 0
    ? 'look at the logs of the other members: all are reachable, but no majority of them elects a leader'
    : 'start the unreachable members; if they run, check the network to their peer URLs, and that they have the same ' +
        '--initial-cluster and --initial-cluster-token';
}
