import { expect } from 'chai';
import { BlockCache } from '../../src/storage/block-cache.js';
import { Random } from '../raft/support/random.js';

const SLABS = 16;
const SLAB_BYTES = 1 << 10;
const BUDGET_BYTES = SLABS * SLAB_BYTES;

function blockOf(size: number, fill: number): Buffer {
  return Buffer.alloc(size, fill);
}

describe('BlockCache', () => {
  it('gives back a copy of each added block, also above the numbers it has seen', () => {
    const cache = new BlockCache(BUDGET_BYTES);
    const bytes = blockOf(100, 1);
    cache.add(5000, bytes);
    bytes.fill(2);
    expect(cache.get(5000)).to.deep.equal(blockOf(100, 1));
    expect(cache.get(4999)).to.equal(undefined);
    expect(cache.get(1_000_000)).to.equal(undefined);
  });

  it('forgets a block, and all of them', () => {
    const cache = new BlockCache(BUDGET_BYTES);
    cache.add(0, blockOf(10, 1));
    cache.add(1, blockOf(10, 2));
    cache.remove(0);
    cache.remove(1_000_000);
    expect(cache.get(0)).to.equal(undefined);
    expect(cache.get(1)).to.deep.equal(blockOf(10, 2));
    cache.clear();
    expect(cache.get(1)).to.equal(undefined);
    cache.add(1, blockOf(10, 3));
    expect(cache.get(1)).to.deep.equal(blockOf(10, 3));
  });

  it('writes over the oldest blocks beyond the budget', () => {
    const cache = new BlockCache(BUDGET_BYTES);
    cache.add(0, blockOf(100, 7));
    const perSlab = Math.floor(SLAB_BYTES / 100);
    for (let block = 1; block < perSlab * SLABS; block++) cache.add(block, blockOf(100, block));
    expect(cache.get(0), 'within the budget').to.not.equal(undefined);
    cache.add(perSlab * SLABS, blockOf(100, 9));
    expect(cache.get(0), 'over the budget').to.equal(undefined);
    expect(cache.get(perSlab - 1), 'in the same slab').to.equal(undefined);
    expect(cache.get(perSlab), 'in the next one').to.deep.equal(blockOf(100, perSlab));
  });

  it('does not keep a large block', () => {
    const cache = new BlockCache(BUDGET_BYTES);
    cache.add(3, blockOf(SLAB_BYTES / 8 + 1, 1));
    expect(cache.get(3)).to.equal(undefined);
    cache.add(3, blockOf(SLAB_BYTES / 8, 2));
    expect(cache.get(3)).to.deep.equal(blockOf(SLAB_BYTES / 8, 2));
  });

  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  it(`never shows anything but the last bytes of a block (SEED=${String(seed)})`, () => {
    const random = new Random(seed);
    const cache = new BlockCache(BUDGET_BYTES);
    const last = new Map<number, Buffer>();
    let hits = 0;
    for (let i = 0; i < 20_000; i++) {
      const block = random.below(3000);
      if (random.below(4) > 0) {
        const seen = cache.get(block);
        if (seen === undefined) continue;
        hits++;
        expect(seen).to.deep.equal(last.get(block));
      } else if (random.below(3000) === 0) {
        cache.clear();
        last.clear();
      } else if (random.below(5) === 0) {
        cache.remove(block);
        last.delete(block);
      } else {
        const bytes = blockOf(1 + random.below(SLAB_BYTES / 8), random.below(256));
        cache.add(block, bytes);
        last.set(block, bytes);
      }
    }
    expect(hits).to.be.greaterThan(100);
  });
});
