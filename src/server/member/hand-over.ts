import type { Env } from '../../base/env/env.js';
import type { Logger } from '../../base/observe/logger.js';
import type { RawNode } from '../../raft/raw-node.js';
import { Role, type MemberId } from '../../raft/types.js';
import type { RaftDriver } from './driver.js';

export interface HandOverParts {
  readonly env: Env;
  readonly log: Logger;
  readonly node: RawNode;
  readonly driver: RaftDriver;
  readonly memberId: MemberId;
  readonly electionMs: number;
  readonly heartbeatMs: number;
}

/** Hands leadership to the voter that is furthest; waits for it at most an election timeout. */
export function handOver(parts: HandOverParts, done: () => void): void {
  const { env, log, node, driver } = parts;
  const heir = node.role === Role.leader ? mostCaughtUpVoter(node, parts.memberId) : undefined;
  if (heir === undefined) return done();
  const deadlineMs = env.clock.monoMs() + parts.electionMs;
  log.info('handing leadership over before stopping', { to: heir });
  node.transferLeader(heir);
  driver.schedule();
  const poll = (): void => {
    if (node.role !== Role.leader || env.clock.monoMs() >= deadlineMs) done();
    else env.after(parts.heartbeatMs / 10, poll);
  };
  poll();
}

function mostCaughtUpVoter(node: RawNode, self: MemberId): MemberId | undefined {
  let best: MemberId | undefined;
  let bestMatch = -1;
  for (const [id, p] of node.status().progress) {
    if (id === self || p.isLearner || !p.recentActive || p.match <= bestMatch) continue;
    best = id;
    bestMatch = p.match;
  }
  return best;
}
