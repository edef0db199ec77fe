import type { Env } from '../../base/env/env.js';
import type { PeerLog } from './context.js';
import { LOG_BURST_LINES, LOG_PERIOD_MS, MAX_LOG_COUNTERS } from './limits.js';

interface Counter {
  sinceMs: number;
  lines: number;
  suppressed: number;
}

/**
 * A log in which no peer can fill the disk: of each text about one peer it lets `LOG_BURST_LINES`
 * lines through in `LOG_PERIOD_MS`. The first line of the next period has in `suppressed-lines` the
 * number left out.
 */
export class LimitedLog {
  private readonly env: Env;
  private readonly inner: PeerLog;
  private readonly counters = new Map<string, Counter>();

  constructor(env: Env, inner: PeerLog) {
    this.env = env;
    this.inner = inner;
  }

  readonly log: PeerLog = (level, msg, fields = {}) => {
    const counter = this.counterOf(`${msg} ${String(fields['peer'])}`);
    const nowMs = this.env.clock.monoMs();
    let extra = {};
    if (nowMs - counter.sinceMs >= LOG_PERIOD_MS) {
      if (counter.suppressed > 0) extra = { 'suppressed-lines': counter.suppressed };
      counter.sinceMs = nowMs;
      counter.lines = 0;
      counter.suppressed = 0;
    }
    if (counter.lines >= LOG_BURST_LINES) {
      counter.suppressed++;
      return;
    }
    counter.lines++;
    this.inner(level, msg, { ...fields, ...extra });
  };

  private counterOf(key: string): Counter {
    const known = this.counters.get(key);
    if (known !== undefined) return known;
    if (this.counters.size >= MAX_LOG_COUNTERS) this.dropOldest();
    const counter = { sinceMs: this.env.clock.monoMs(), lines: 0, suppressed: 0 };
    this.counters.set(key, counter);
    return counter;
  }

  private dropOldest(): void {
    for (const key of this.counters.keys()) {
      this.counters.delete(key);
      return;
    }
  }
}
