import { Fifo } from '../base/collections/fifo.js';
import type { ClusterEnv } from './env.js';

/** Longest time that long work of one process takes of a turn of the event loop. */
const TURN_MS = 2;

/**
 * Turns of the event loop, shared by all long work of one environment: reconciles, events of a
 * first list, and the like. Work asks between its small steps, and waits when the turn is used up:
 *
 *   const pause = turnsOf(env).pause();
 *   if (pause !== undefined) await pause;
 *
 * Waiting work goes on in the order in which it came, one a turn.
 */
export class Turns {
  readonly #env: ClusterEnv;
  readonly #waiting = new Fifo<() => void>();
  #beganMs: number | undefined;

  constructor(env: ClusterEnv) {
    this.#env = env;
  }

  /** Undefined while the turn has time left. */
  pause(): Promise<void> | undefined {
    const nowMs = this.#env.monoMs();
    this.#beganMs ??= this.#begin(nowMs);
    if (this.#waiting.isEmpty && nowMs - this.#beganMs < TURN_MS) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #begin(nowMs: number): number {
    setImmediate(() => {
      this.#beganMs = undefined;
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#beganMs = this.#begin(this.#env.monoMs());
      next();
    });
    return nowMs;
  }
}

const TURNS = new WeakMap<ClusterEnv, Turns>();

/** The turns of `env`; everything in one process shares them. */
export function turnsOf(env: ClusterEnv): Turns {
  const known = TURNS.get(env);
  if (known !== undefined) return known;
  const turns = new Turns(env);
  TURNS.set(env, turns);
  return turns;
}
