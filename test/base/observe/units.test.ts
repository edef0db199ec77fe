import { expect } from 'chai';
import { durationText, sizeText } from '../../../src/base/observe/units.js';

describe('units of log lines', () => {
  it('spells durations as Go does', () => {
    const cases: [number, string][] = [
      [0.0871, '87.1µs'],
      [16.331862, '16.332ms'],
      [300, '300ms'],
      [1500, '1.5s'],
      [61_250, '1m1.25s'],
      [3_600_000, '1h0m0s'],
      [0, '0µs'],
    ];
    for (const [ms, text] of cases) expect(durationText(ms)).equal(text);
  });

  it('spells sizes in powers of 1000', () => {
    const cases: [number, string][] = [
      [0, '0 B'],
      [999, '999 B'],
      [1500, '1.5 kB'],
      [20_480, '20 kB'],
      [9_960, '10 kB'],
      [82_854_982, '83 MB'],
      [2_147_483_648, '2.1 GB'],
    ];
    for (const [bytes, text] of cases) expect(sizeText(bytes)).equal(text);
  });
});
