import { expect } from 'chai';
import { acceptsGzip } from '../../../src/base/net/respond.js';

describe('acceptsGzip', () => {
  // Each answer is the one of etcd 3.6's exporter, where that offers zstd in place of gzip included.
  const cases: [string, boolean][] = [
    ['gzip', true],
    ['gzip ; q=1', true],
    ['gzip;q=0.1', true],
    ['deflate, gzip;q=0.1', true],
    ['gzip, zstd;q=0.5', true],
    ['identity;q=0, gzip', true],
    ['', false],
    ['gzip;q=0', false],
    ['gzip;q=abc', false],
    ['*', false],
    ['*;q=0', false],
    ['deflate', false],
    ['x-gzip', false],
    ['GZIP', false],
    ['gzip, identity', false],
    ['identity, gzip', false],
    ['identity;q=0.5, gzip;q=0.4', false],
  ];
  for (const [header, expected] of cases) {
    it(`${expected ? 'yes' : 'no'} for ${JSON.stringify(header)}`, () => {
      expect(acceptsGzip(header)).equal(expected);
    });
  }
});
