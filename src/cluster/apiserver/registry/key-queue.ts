import { sleep, type ClusterEnv } from '../../env.js';

/**
 * Work on one key after the other, in the order of asking; keys do not wait for each other. It
 * saves work that would be in vain and promises no more: who waited for too long goes on beside.
 */
export class KeyQueue<Value> {
  private readonly env: ClusterEnv;
  private readonly patienceMs: number;
  /** Outcome of the last work asked for, by key; absent when none is under way. */
  private readonly last = new Map<string, Promise<Value | undefined>>();

  /** `patienceMs`: longest wait for other work of the same key. */
  constructor(env: ClusterEnv, patienceMs: number) {
    this.env = env;
    this.patienceMs = patienceMs;
  }

  /** Number of keys that are worked on. */
  get size(): number {
    return this.last.size;
  }

  /**
   * `work` is given the outcome of the work before it, if it waited for that and it did not fail.
   * `outcomeOf` gives the outcome for the next one.
   */
  async run<Result>(
    key: string,
    work: (latest: Value | undefined) => Promise<Result>,
    outcomeOf: (result: Result) => Value | undefined,
  ): Promise<Result> {
    const before = this.last.get(key);
    let settle: (outcome: Value | undefined) => void = () => undefined;
    const own = new Promise<Value | undefined>((resolve) => (settle = resolve));
    this.last.set(key, own);
    let outcome: Value | undefined;
    try {
      const result = await work(before === undefined ? undefined : await this.inTime(before));
      outcome = outcomeOf(result);
      return result;
    } finally {
      if (this.last.get(key) === own) this.last.delete(key);
      settle(outcome);
    }
  }

  private async inTime(before: Promise<Value | undefined>): Promise<Value | undefined> {
    const isOver = new AbortController();
    const timeUp = sleep(this.env, this.patienceMs, isOver.signal).then(() => undefined);
    try {
      return await Promise.race([before, timeUp]);
    } finally {
      isOver.abort();
    }
  }
}
