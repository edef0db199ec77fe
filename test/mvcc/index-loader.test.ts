import { expect } from 'chai';
import { IndexLoader } from '../../src/mvcc/index-loader.js';
import { KeyIndex } from '../../src/mvcc/key-index.js';
import { Random } from '../raft/support/random.js';

const ROWS = 60_000;
const KEYS = 25_000;
const ALL = { start: '', end: null };

describe('IndexLoader', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

  function load(nextKey: (i: number) => string): { byRow: KeyIndex; byLeaf: KeyIndex } {
    const random = new Random(seed);
    const byRow = new KeyIndex();
    const byLeaf = new KeyIndex();
    const loader = new IndexLoader(byLeaf);
    for (let i = 0; i < ROWS; i++) {
      const key = nextKey(i);
      const main = 2 + (i >>> 1);
      const sub = i & 1;
      const version = random.chance(200) ? 0 : 1 + random.below(5);
      const create = version === 0 ? 0 : 1 + random.below(main);
      const size = 1 + random.below(1000);
      if (version === 0) byRow.restoreTombstone(key, main, sub);
      else byRow.restorePut(key, main, sub, create, version, size);
      loader.add(key, main, sub, create, version, size);
    }
    loader.finish();
    return { byRow, byLeaf };
  }

  function expectEqual(byRow: KeyIndex, byLeaf: KeyIndex): void {
    byLeaf.check();
    expect(byLeaf.size).to.equal(byRow.size);
    expect(byLeaf.live).to.equal(byRow.live);
    const newest = 2 + (ROWS >>> 1);
    for (const revision of [1, 2, 777, 10_000, 29_990, newest]) {
      expect(byLeaf.list(ALL, revision, 0, undefined), `at ${revision}`).to.deep.equal(
        byRow.list(ALL, revision, 0, undefined),
      );
      const part = { start: 'key 3', end: 'key 7' };
      const counted = byLeaf.count(part, revision, revision === newest);
      expect(counted, `at ${revision}`).to.equal(byLeaf.list(part, revision, 0, undefined).length);
    }
  }

  it(`makes the index that rows taken one by one make, in any order of keys (SEED=${seed})`, () => {
    const random = new Random(seed + 1);
    const { byRow, byLeaf } = load(() => `key ${random.below(KEYS)}`);
    expectEqual(byRow, byLeaf);
  }).timeout(20_000);

  it('makes it of keys that ascend', () => {
    const { byRow, byLeaf } = load((i) => `key ${String(i).padStart(9, '0')}`);
    expectEqual(byRow, byLeaf);
  }).timeout(20_000);
});
