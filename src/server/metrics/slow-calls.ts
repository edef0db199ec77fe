import type { Clock } from '../../base/env/env.js';
import type { Status } from '../../rpc/service.js';
import type { Logger } from '../../base/observe/logger.js';

/** Time between two lines: when everything is slow, writing about each call would make it slower. */
const INTERVAL_MS = 100;

/** Logs unary calls that took longer than `--warning-unary-request-duration`. */
export class SlowCallLog {
  private readonly clock: Clock;
  private readonly log: Logger;
  private nextMs = 0;
  private unlogged = 0;

  constructor(clock: Clock, log: Logger) {
    this.clock = clock;
    this.log = log;
  }

  readonly onSlowCall = (path: string, code: Status, seconds: number): void => {
    const nowMs = this.clock.monoMs();
    if (nowMs < this.nextMs) {
      this.unlogged++;
      return;
    }
    this.nextMs = nowMs + INTERVAL_MS;
    this.log.warn('request took too long', {
      path,
      'grpc-code': code,
      'time spent': `${Math.round(seconds * 1000)}ms`,
      ...(this.unlogged === 0 ? {} : { 'others-not-logged': this.unlogged }),
    });
    this.unlogged = 0;
  };
}
