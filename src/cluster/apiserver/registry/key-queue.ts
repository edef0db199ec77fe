/** Work on one key at a time, in the order of asking; keys do not wait for each other. */
export class KeyQueue<Value> {
  /** Outcome of the last work asked for, by key; absent when none is under way. */
  private readonly last = new Map<string, Promise<Value | undefined>>();

  /** Number of keys that are worked on. */
  get size(): number {
    return this.last.size;
  }

  /**
   * `work` is given the outcome of the work before it, if it had to wait for that and it did not
   * fail. `outcomeOf` says what the next one is given.
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
      const result = await work(before === undefined ? undefined : await before);
      outcome = outcomeOf(result);
      return result;
    } finally {
      if (this.last.get(key) === own) this.last.delete(key);
      settle(outcome);
    }
  }
}
