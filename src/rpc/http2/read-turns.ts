/**
 * Divides the event loop's time among connections that have more to read than one turn has time
 * for. Clients that flood their connections delay each other and no other client.
 */
import type { TransportEnv } from '../transport.js';
import { READ_SHARE_MS, READ_TURN_MS } from './limits.js';

/** A connection with bytes in memory that it has not read. */
export interface UnfinishedRead {
  /** Reads until `untilMs`, at least a little; false when something is left. */
  readOn(untilMs: number): boolean;
}

export class ReadTurns {
  /** Time at which reading is to pause in this turn of the event loop. */
  endMs = 0;
  private readonly env: TransportEnv;
  private hasBegun = false;
  private line: UnfinishedRead[] = [];

  constructor(env: TransportEnv) {
    this.env = env;
  }

  /** Bytes have come at `nowMs`; the first to come begin a turn. */
  begin(nowMs: number): void {
    if (this.hasBegun) return;
    this.hasBegun = true;
    this.endMs = nowMs + READ_TURN_MS;
    this.env.defer(this.nextTurn);
  }

  /** Puts a connection behind those that wait already. */
  wait(read: UnfinishedRead): void {
    this.line.push(read);
  }

  private readonly nextTurn = (): void => {
    this.hasBegun = false;
    if (this.line.length === 0) return;
    let nowMs = this.env.clock.monoMs();
    this.begin(nowMs);
    const waiting = this.line;
    this.line = [];
    let next = 0;
    const again: UnfinishedRead[] = [];
    while (nowMs < this.endMs && next < waiting.length) {
      const read = waiting[next++];
      if (read?.readOn(Math.min(nowMs + READ_SHARE_MS, this.endMs)) === false) again.push(read);
      nowMs = this.env.clock.monoMs();
    }
    this.line = waiting.slice(next).concat(this.line, again);
  };
}
