/**
 * Simulated time: a queue of events ordered by (time, sequence), and random streams derived from one seed. Two
 * runs of one seed execute the same events in the same order.
 */

/** A seeded generator with a name of its own, so that one concern's draws do not shift another's. */
export class Random {
  private state: number;

  constructor(seed: number, stream: string) {
    let h = seed >>> 0;
    for (let i = 0; i < stream.length; i++)
      h = Math.imul(h ^ stream.charCodeAt(i), 0x9e3779b1) >>> 0;
    this.state = h === 0 ? 1 : h;
    for (let i = 0; i < 8; i++) this.u32();
  }

  u32(): number {
    let s = this.state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.state = s >>> 0;
    // The low bits of a plain xorshift are weak: mix before use.
    let x = Math.imul(this.state ^ (this.state >>> 15), 0x2c1b3c6d);
    x ^= x >>> 12;
    return x >>> 0;
  }

  /** Uniform in [0, 1). */
  unit(): number {
    return this.u32() / 0x100000000;
  }

  /** Uniform integer in [0, n). */
  below(n: number): number {
    return this.u32() % n;
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  between(low: number, high: number): number {
    return low + this.unit() * (high - low);
  }

  /** Exponentially distributed with this mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.unit()) * mean;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

interface Event {
  readonly at: number;
  readonly sequence: number;
  run: (() => void) | null;
}

export class Scheduler {
  /** Milliseconds since the run began. */
  now = 0;
  executed = 0;
  private sequence = 0;
  private readonly heap: Event[] = [];

  /** Runs `run` after `delayMs`; the returned function cancels it. */
  after(delayMs: number, run: () => void): () => void {
    const event: Event = { at: this.now + Math.max(0, delayMs), sequence: this.sequence++, run };
    this.push(event);
    return () => {
      event.run = null;
    };
  }

  /** Executes events up to `untilMs`. */
  run(untilMs: number): void {
    for (;;) {
      const next = this.heap[0];
      if (next === undefined || next.at > untilMs) break;
      this.pop();
      if (next.run === null) continue;
      this.now = next.at;
      this.executed++;
      next.run();
    }
    this.now = untilMs;
  }

  private push(event: Event): void {
    const { heap } = this;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(event, heap[parent] as Event)) break;
      heap[i] = heap[parent] as Event;
      i = parent;
    }
    heap[i] = event;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event))
        child++;
      if (!before(heap[child] as Event, last)) break;
      heap[i] = heap[child] as Event;
      i = child;
    }
    heap[i] = last;
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
