import { expect } from 'chai';
import fc from 'fast-check';
import { sortInSlices } from '../../../src/base/slices/sliced-sort.js';
import { ENDLESS, SlicedWork } from '../../../src/base/slices/sliced-work.js';
import { jobUntil } from '../../support/jobs.js';
import { FakeEnv } from '../../watch/fakes.js';

interface Row {
  readonly rank: number;
  readonly place: number;
}

const byRank = (a: Row, b: Row): number => a.rank - b.rank;

function rowsOf(ranks: readonly number[]): Row[] {
  return ranks.map((rank, place) => ({ rank, place }));
}

describe('sortInSlices', () => {
  it('sorts as Array.sort does, equal rows in their order, with any slices', () => {
    const ranks = fc.oneof(
      fc.array(fc.nat(20), { maxLength: 3000, size: 'max' }),
      fc.array(fc.nat(1_000_000), { maxLength: 3000, size: 'max' }),
    );
    fc.assert(
      fc.property(ranks, fc.constantFrom(0, 1, 10), (numbers, lookMs) => {
        const rows = rowsOf(numbers);
        const wanted = [...rows].sort(byRank);
        const env = new FakeEnv();
        env.msPerLook = lookMs;
        let sorted: Row[] | undefined;
        sortInSlices(new SlicedWork(env), rows, byRank, ENDLESS, (done) => (sorted = done));
        if (lookMs > 0) env.settle();
        expect(sorted).deep.equal(wanted);
      }),
      { numRuns: 60 },
    );
  });

  it('keeps rows that come in order, or in the opposite one, right at every length around a run', () => {
    for (const count of [0, 1, 2, 255, 256, 257, 511, 512, 513, 1025]) {
      for (const sign of [1, -1]) {
        const rows = rowsOf(Array.from({ length: count }, (_, i) => sign * i));
        const wanted = [...rows].sort(byRank);
        const env = new FakeEnv();
        env.msPerLook = 10;
        let sorted: Row[] | undefined;
        sortInSlices(new SlicedWork(env), rows, byRank, ENDLESS, (done) => (sorted = done));
        env.settle();
        expect(sorted, `${String(count)} rows`).deep.equal(wanted);
      }
    }
  });

  it('ends without an answer when its job is over', () => {
    const env = new FakeEnv();
    env.msPerLook = 10;
    let isOver = false;
    let answered = false;
    const rows = rowsOf(Array.from({ length: 5000 }, (_, i) => -i));
    sortInSlices(
      new SlicedWork(env),
      rows,
      byRank,
      jobUntil(() => isOver),
      () => (answered = true),
    );
    env.turn();
    isOver = true;
    env.settle();
    expect(answered).equal(false);
  });
});
