import type { MemberMetrics } from './metrics.js';
import type { PeerMetrics } from '../peer/context.js';

/** Counts the traffic with each peer where the metrics page looks for it. */
export function peerMetrics(metrics: MemberMetrics): PeerMetrics {
  return {
    sent: (to, bytes) => void (metrics.peer(to).sentBytes += bytes),
    received: (from, bytes) => void (metrics.peer(from).receivedBytes += bytes),
    sendFailure: (to) => void metrics.peer(to).sentFailures++,
    receiveFailure: (from) => void metrics.peer(from).receivedFailures++,
    roundTrip: (to, seconds) => metrics.peer(to).roundTrip.observe(seconds),
    activePeer: (id, change) => {
      const counters = metrics.peer(id);
      counters.isConnected = change > 0;
      if (change < 0) counters.disconnects++;
    },
  };
}
