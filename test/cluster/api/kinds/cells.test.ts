import { expect } from 'chai';
import { ageText, durationText, listText } from '../../../../src/cluster/api/kinds/cells.js';

describe('ages', () => {
  const [m, h, d, y] = [60, 3600, 86_400, 31_536_000];
  /** As k8s.io/apimachinery's HumanDuration shows them. */
  const cases: readonly (readonly [number, string])[] = [
    [-5, '<invalid>'],
    [-1.5, '0s'],
    [0.9, '0s'],
    [119, '119s'],
    [2 * m, '2m'],
    [9 * m + 59, '9m59s'],
    [10 * m + 30, '10m'],
    [3 * h - 1, '179m'],
    [3 * h, '3h'],
    [7 * h + 59 * m, '7h59m'],
    [8 * h + 10 * m, '8h'],
    [47 * h, '47h'],
    [48 * h, '2d'],
    [2 * d + 3 * h, '2d3h'],
    [8 * d + 3 * h, '8d'],
    [2 * y - 1, '729d'],
    [2 * y, '2y'],
    [2 * y + d, '2y1d'],
    [8 * y + d, '8y'],
  ];
  for (const [seconds, text] of cases)
    it(text, () => expect(durationText(seconds * 1000)).to.equal(text));

  it('are unknown without a time', () => {
    expect(ageText(undefined, 0)).to.equal('<unknown>');
    expect(ageText('1970-01-01T00:00:00Z', 5_000)).to.equal('5s');
  });
});

describe('lists in cells', () => {
  it('tell how many are left out', () => {
    expect(listText(['a', 'b', 'c'], 3)).to.equal('a,b,c');
    expect(listText(['a', 'b', 'c', 'd'], 3)).to.equal('a,b,c + 1 more...');
  });
});
