import { durationText } from '../../base/observe/units.js';
import type { MemberOptions } from './options.js';

/**
 * Logs and counts heartbeats to `peers` others that left `lateMs` after their time: followers may elect another leader
 * then (etcd: server/etcdserver/raft.go).
 */
export function reportLateHeartbeat(
  { log, heartbeatMs, observer }: Pick<MemberOptions, 'log' | 'heartbeatMs' | 'observer'>,
  peers: number,
  lateMs: number,
): void {
  if (peers === 0) return;
  observer?.heartbeatsLate(peers);
  log.warn(
    'leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk',
    {
      peers,
      'heartbeat-interval': durationText(heartbeatMs),
      'expected-duration': durationText(2 * heartbeatMs),
      'exceeded-duration': durationText(lateMs - heartbeatMs),
    },
  );
}
