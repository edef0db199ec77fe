/**
 * Limits how often a client may ping, by the rule grpc-go's servers use, which its clients keep.
 */
import { MAX_PING_STRIKES } from './limits.js';

export class PingPolicy {
  private strikes = 0;
  private lastMs = -Infinity;

  /**
   * Counts a ping; false when there have been too many closer together than `intervalMs`.
   * Pings that follow headers or data from this side are forgiven: clients measure the connection with them.
   */
  allow(nowMs: number, intervalMs: number, traffic: { hasSent: boolean }): boolean {
    const sinceMs = nowMs - this.lastMs;
    this.lastMs = nowMs;
    if (traffic.hasSent) {
      traffic.hasSent = false;
      this.strikes = 0;
      return true;
    }
    if (sinceMs < intervalMs) this.strikes++;
    return this.strikes <= MAX_PING_STRIKES;
  }
}
