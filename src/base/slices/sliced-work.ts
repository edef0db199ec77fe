import type { Env } from '../env/env.js';

/** Longest time that all work of one member together takes of a turn of the event loop. */
const TURN_MS = 2;
/** Time for one piece of work before the next has its share. */
const SHARE_MS = 0.25;

/** The part of the environment it needs. */
export type SlicedWorkEnv = Pick<Env, 'clock' | 'defer'>;

/** Purpose of a piece of work: it ends when its result is no longer needed. */
export interface Job {
  /** Looked at before every share of the work. A question: it changes nothing. */
  readonly isOver: boolean;
  /** Runs once in place of `done` when the work was dropped because the job is over. */
  onOver(): void;
}

/** A job whose caller waits for its end. */
export const ENDLESS: Job = { isOver: false, onOver: () => undefined };

interface Work {
  readonly job: Job;
  readonly step: () => boolean;
  readonly done: () => void;
}

/**
 * Long work of one member, done a step at a time. A turn of the event loop spends about TURN_MS on
 * all of it. Jobs under way take turns, so that short work does not wait for the end of long work.
 */
export class SlicedWork {
  private readonly env: SlicedWorkEnv;
  private readonly waiting: Work[] = [];
  /** Time spent since the turn began. */
  private spentMs = 0;
  private isRunning = false;
  private isTurnDue = false;

  constructor(env: SlicedWorkEnv) {
    this.env = env;
  }

  /**
   * Repeats `step` until it returns true, then runs `done`: within the call as far as the turn has time left, on later
   * turns otherwise. A step does a small part, well below a millisecond. Work whose job is over ends with its `onOver`.
   */
  run(job: Job, step: () => boolean, done: () => void): void {
    const work = { job, step, done };
    if (this.isRunning) {
      // Work that other work begins goes on in its place: behind all others, everything under way would be half done, and in memory.
      this.waiting.unshift(work);
      return;
    }
    this.waiting.push(work);
    this.useTurn();
  }

  private readonly beginTurn = (): void => {
    this.isTurnDue = false;
    this.spentMs = 0;
    if (this.waiting.length > 0) this.useTurn();
  };

  private useTurn(): void {
    const { clock } = this.env;
    const startMs = clock.monoMs();
    const endMs = startMs + TURN_MS - this.spentMs;
    let nowMs = startMs;
    this.isRunning = true;
    try {
      while (nowMs < endMs) {
        const work = this.waiting.shift();
        if (work === undefined) break;
        nowMs = this.share(work, Math.min(endMs, nowMs + SHARE_MS));
      }
    } finally {
      this.isRunning = false;
      this.spentMs += clock.monoMs() - startMs;
      if (!this.isTurnDue) {
        this.isTurnDue = true;
        this.env.defer(this.beginTurn);
      }
    }
  }

  /** Goes on with one piece of work until `untilMs`; returns the time. */
  private share(work: Work, untilMs: number): number {
    const { clock } = this.env;
    if (work.job.isOver) {
      work.job.onOver();
      return clock.monoMs();
    }
    for (;;) {
      const isComplete = work.step();
      if (isComplete) work.done();
      const nowMs = clock.monoMs();
      if (isComplete) return nowMs;
      if (nowMs >= untilMs) {
        this.waiting.push(work);
        return nowMs;
      }
    }
  }
}
