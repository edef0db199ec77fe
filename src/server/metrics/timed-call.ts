import type { Clock } from '../../base/env/env.js';
import type { UnaryCall } from '../../rpc/service.js';
import { EndedCall } from './ended-call.js';

export type TimeReport = (isOk: boolean, seconds: number) => void;

/** Reports the time from its creation until the answer is there. */
export class TimedCall extends EndedCall {
  private readonly clock: Clock;
  private readonly report: TimeReport;
  private readonly startMs: number;

  constructor(call: UnaryCall, clock: Clock, report: TimeReport) {
    super(call);
    this.clock = clock;
    this.report = report;
    this.startMs = clock.monoMs();
  }

  protected override ended(_response: Uint8Array | null, _bytes: number, isOk: boolean): void {
    this.report(isOk, (this.clock.monoMs() - this.startMs) / 1000);
  }
}
