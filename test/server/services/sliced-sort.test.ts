import { expect } from 'chai';
import fc from 'fast-check';
import type { Env } from '../../../src/env/env.js';
import { sortInSlices } from '../../../src/server/services/sliced-sort.js';

interface Row {
  readonly rank: number;
  readonly place: number;
}

const byRank = (a: Row, b: Row): number => a.rank - b.rank;

/** Time passes by `lookMs` with each look at the clock; what is deferred waits for `turn`. */
class Turns {
  turns = 0;
  private nowMs = 0;
  private readonly deferred: (() => void)[] = [];
  readonly env: Env;

  constructor(lookMs: number) {
    this.env = {
      clock: { monoMs: () => (this.nowMs += lookMs) },
      defer: (run: () => void) => this.deferred.push(run),
    } as unknown as Env;
  }

  /** Runs the next deferred callback; false when there is none. */
  turn(): boolean {
    const run = this.deferred.shift();
    if (run === undefined) return false;
    this.turns++;
    run();
    return true;
  }
}

function rowsOf(ranks: readonly number[]): Row[] {
  return ranks.map((rank, place) => ({ rank, place }));
}

describe('sortInSlices', () => {
  it('sorts as Array.sort does, equal rows in their order, whatever the slices', () => {
    const ranks = fc.oneof(
      fc.array(fc.nat(20), { maxLength: 3000, size: 'max' }),
      fc.array(fc.nat(1_000_000), { maxLength: 3000, size: 'max' }),
    );
    fc.assert(
      fc.property(ranks, fc.constantFrom(0, 1, 10), (numbers, lookMs) => {
        const rows = rowsOf(numbers);
        const wanted = [...rows].sort(byRank);
        const turns = new Turns(lookMs);
        let sorted: Row[] | undefined;
        sortInSlices(
          turns.env,
          rows,
          byRank,
          3,
          () => false,
          (done) => (sorted = done),
        );
        while (turns.turn());
        expect(sorted).deep.equal(wanted);
        if (lookMs === 0) expect(turns.turns).equal(0);
      }),
      { numRuns: 60 },
    );
  });

  it('keeps rows that come in order, or in the opposite one, right at every length around a run', () => {
    for (const count of [0, 1, 2, 255, 256, 257, 511, 512, 513, 1025]) {
      for (const sign of [1, -1]) {
        const rows = rowsOf(Array.from({ length: count }, (_, i) => sign * i));
        const wanted = [...rows].sort(byRank);
        const turns = new Turns(10);
        let sorted: Row[] | undefined;
        sortInSlices(
          turns.env,
          rows,
          byRank,
          3,
          () => false,
          (done) => (sorted = done),
        );
        while (turns.turn());
        expect(sorted, `${String(count)} rows`).deep.equal(wanted);
      }
    }
  });

  it('ends without an answer when nobody waits any more', () => {
    const turns = new Turns(10);
    let isOver = false;
    let answered = false;
    const rows = rowsOf(Array.from({ length: 5000 }, (_, i) => -i));
    sortInSlices(
      turns.env,
      rows,
      byRank,
      3,
      () => isOver,
      () => (answered = true),
    );
    expect(turns.turn()).equal(true);
    isOver = true;
    expect(turns.turn()).equal(true);
    expect(turns.turn(), 'nothing goes on').equal(false);
    expect(answered).equal(false);
  });
});
