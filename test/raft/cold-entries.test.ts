import { expect } from 'chai';

import { ColdEntries } from '../../src/raft/cold-entries.js';
import { EntryType } from '../../src/raft/types.js';
import type { Entry } from '../../src/raft/types.js';
import { Random, seeds } from './support/random.js';

function drawEntry(random: Random, index: number, term: number): Entry {
  const size = random.pick([0, 1, 40, 300, 5000, 32 * 1024, 32 * 1024 + 1, 300_000]) ?? 0;
  const data = new Uint8Array(size);
  for (let i = 0; i < Math.min(size, 8); i++) data[i] = random.u32();
  if (size > 0) data[size - 1] = random.u32();
  const type = random.chance(100) ? EntryType.confChange : EntryType.normal;
  return { term, index, type, data };
}

describe('ColdEntries', () => {
  it('behave like a list of entries', () => {
    for (const seed of seeds(1, 30)) {
      const random = new Random(seed);
      const cold = new ColdEntries();
      const model = new Map<number, Entry>();
      let first = 1 + random.below(1000);
      let next = first;
      let term = 1;
      for (let step = 0; step < 300; step++) {
        if (random.chance(50)) term++;
        if (random.chance(950)) {
          const entry = drawEntry(random, next, term);
          cold.add(entry);
          model.set(next++, entry);
        } else if (random.chance(900)) {
          const to = first + random.below(next - first + 1) - 1;
          cold.dropTo(to);
          for (; first <= to; first++) model.delete(first);
        } else {
          cold.clear();
          model.clear();
          next += random.below(100);
          first = next;
        }
        if (next === first) continue;
        const at = first + random.below(next - first);
        expect(cold.term(at), `SEED=${seed}`).to.equal(model.get(at)?.term);
        const { data, ...rest } = cold.entry(at);
        const expected = model.get(at);
        expect(rest, `SEED=${seed}`).to.deep.equal({
          term: expected?.term,
          index: at,
          type: expected?.type,
        });
        expect(Buffer.compare(data, expected?.data ?? new Uint8Array(1)), `SEED=${seed}`).to.equal(
          0,
        );
      }
    }
  });

  it('give payloads that stay as they are when the slab is used again', () => {
    const cold = new ColdEntries();
    const entry = (index: number, fill: number): Entry => {
      return { term: 1, index, type: EntryType.normal, data: new Uint8Array(300).fill(fill) };
    };
    for (let i = 1; i <= 1000; i++) cold.add(entry(i, 1));
    const held = cold.entry(1).data;
    cold.dropTo(1000);
    for (let i = 1001; i <= 3000; i++) cold.add(entry(i, 2));
    expect(Buffer.compare(held, entry(1, 1).data)).to.equal(0);
    expect(Buffer.compare(cold.entry(1001).data, held)).not.to.equal(0);
  });

  it('refuse a gap, and an entry they do not have', () => {
    const cold = new ColdEntries();
    expect(() => cold.entry(1)).to.throw('entry 1 is not among');
    cold.add({ term: 1, index: 5, type: EntryType.normal, data: new Uint8Array(1) });
    expect(() => cold.add({ term: 1, index: 7, type: EntryType.normal, data: new Uint8Array(1) }))
      .to //
      .throw('entry 7 does not follow');
    expect(() => cold.term(4)).to.throw('entry 4 is not among');
  });
});
