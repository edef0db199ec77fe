import { expect } from 'chai';
import { doublingBounds, Histogram } from '../../../src/base/observe/histogram.js';

describe('Histogram', () => {
  it('counts a value in the first bucket whose bound it does not exceed', () => {
    const histogram = new Histogram([1, 2, 4]);
    for (const observed of [0, 1, 1.5, 4, 5]) histogram.observe(observed);
    expect([...histogram.counts]).deep.equal([2, 1, 1, 1]);
    expect(histogram.total).equal(5);
    expect(histogram.sum).equal(11.5);
  });

  it('doubles its bounds', () => {
    expect(doublingBounds(0.001, 3)).deep.equal([0.001, 0.002, 0.004]);
  });
});
