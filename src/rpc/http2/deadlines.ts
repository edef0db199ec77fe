/**
 * Deadlines of calls in a timer wheel: adding and removing cost a few assignments, and one timer runs while there
 * are any.
 *
 * A deadline is reported up to `TICK_MS` late and never early. Deadlines beyond one turn of the wheel stay in their
 * slot and are looked at once per turn.
 */
import type { Timer } from '../../base/env/env.js';
import { invariant } from '../../base/invariant.js';
import type { TransportEnv } from '../transport.js';

const TICK_MS = 10;
const SLOTS = 1024;

/** Called at the deadline; at most once, and not after the deadline was removed. */
export interface Expiring {
  expire(): void;
}

/** A place in the wheel. */
export class Deadline {
  readonly deadlineMs: number;
  readonly owner: Expiring;
  slot: Set<Deadline> | undefined;

  constructor(deadlineMs: number, owner: Expiring) {
    this.deadlineMs = deadlineMs;
    this.owner = owner;
  }
}

export class Deadlines {
  private readonly env: TransportEnv;
  private readonly slots: Set<Deadline>[] = Array.from({ length: SLOTS }, () => new Set());
  private count = 0;
  private timer: Timer | undefined;
  /** Ticks since the clock's origin up to which slots have been looked at. */
  private tick = 0;

  constructor(env: TransportEnv) {
    this.env = env;
  }

  /** Returns the handle with which `remove` takes the deadline out again. */
  add(deadlineMs: number, owner: Expiring): Deadline {
    if (this.timer === undefined) {
      this.tick = Math.floor(this.env.clock.monoMs() / TICK_MS);
      this.arm();
    }
    const deadline = new Deadline(deadlineMs, owner);
    // The slot of a deadline that has passed already is the next one to be looked at.
    const tick = Math.max(Math.ceil(deadlineMs / TICK_MS), this.tick + 1);
    deadline.slot = this.slots[tick % SLOTS];
    invariant(deadline.slot !== undefined, 'a deadline that is no number');
    deadline.slot.add(deadline);
    this.count++;
    return deadline;
  }

  remove(deadline: Deadline): void {
    if (deadline.slot?.delete(deadline) === true) this.count--;
  }

  private arm(): void {
    this.timer = this.env.after(TICK_MS, () => {
      this.advance();
      if (this.count > 0) this.arm();
      else this.timer = undefined;
    });
  }

  private advance(): void {
    const nowMs = this.env.clock.monoMs();
    const now = Math.floor(nowMs / TICK_MS);
    // After a pause longer than one turn every slot is looked at once.
    const from = Math.max(this.tick + 1, now - SLOTS + 1);
    for (let tick = from; tick <= now; tick++) {
      const slot = this.slots[tick % SLOTS];
      if (slot === undefined) continue;
      for (const deadline of slot) {
        if (deadline.deadlineMs > nowMs) continue;
        slot.delete(deadline);
        this.count--;
        deadline.owner.expire();
      }
    }
    this.tick = now;
  }
}
