import { expect } from 'chai';
import fc from 'fast-check';
import { StreamTable } from '../../src/rpc/http2/stream-table.js';
import type { Http2Stream } from '../../src/rpc/http2/stream.js';

function streamOf(id: number): Http2Stream {
  return { id } as Http2Stream;
}

/** A table with `count` open streams whose ids are `spacing` apart, in order. */
function filled(count: number, spacing: number): { table: StreamTable; streams: Http2Stream[] } {
  const table = new StreamTable();
  const streams: Http2Stream[] = [];
  for (let n = 0; n < count; n++) {
    const stream = streamOf(1 + n * spacing);
    table.add(stream);
    streams.push(stream);
  }
  return { table, streams };
}

describe('StreamTable', () => {
  /** Against a Map: ids only ascend, as HTTP/2 demands, but are removed in any order. */
  it('holds the streams a Map would', () => {
    const step = fc.oneof(
      fc.record({ add: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ remove: fc.nat() }),
      fc.record({ remove: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const table = new StreamTable();
        const model = new Map<number, Http2Stream>();
        let id = 1;
        for (const s of steps) {
          if ('add' in s) {
            id += 2 * s.add;
            const stream = streamOf(id);
            table.add(stream);
            model.set(id, stream);
          } else {
            const open = [...model.values()];
            const gone = open[s.remove % (open.length + 1)] ?? streamOf(1);
            table.delete(gone);
            model.delete(gone.id);
            expect(table.has(gone)).equal(false);
          }
          expect(table.size).equal(model.size);
          expect(table.values()).eql([...model.values()]);
          expect(table.oldest).equal([...model.values()][0]);
          for (const [key, stream] of model) expect(table.get(key)).equal(stream);
          expect(table.get(id + 2)).equal(undefined);
        }
      }),
    );
  });

  it('refuses ids that do not ascend', () => {
    const { table } = filled(2, 2);
    expect(() => table.add(streamOf(3))).to.throw('stream ids ascend');
  });

  const COUNT = 100_000;
  /** A binary search in so many. */
  const SEARCH_STEPS = 18;

  for (const [order, arrange] of [
    ['the order they came', (streams: Http2Stream[]) => streams],
    ['the opposite order', (streams: Http2Stream[]) => [...streams].reverse()],
    [
      'no order',
      (streams: Http2Stream[]) => [...streams].sort((a, b) => (a.id % 997) - (b.id % 997)),
    ],
  ] as const) {
    for (const spacing of [2, 2 ** 13]) {
      it(`closes 100,000 streams with ids ${spacing} apart in ${order}, a search each`, () => {
        const { table, streams } = filled(COUNT, spacing);
        const before = table.steps;
        for (const stream of arrange(streams)) table.delete(stream);
        expect(table.size).to.equal(0);
        expect(table.steps - before).to.be.at.most(COUNT * SEARCH_STEPS);
      });
    }
  }

  it('serves a call beside 100,000 open streams for a search and its share of tidying', () => {
    const { table } = filled(COUNT, 2);
    const calls = 300_000;
    const before = table.steps;
    for (let n = 0; n < calls; n++) {
      const call = streamOf(2 * (COUNT + n) + 1);
      table.add(call);
      expect(table.get(call.id)).to.equal(call);
      table.delete(call);
    }
    expect((table.steps - before) / calls).to.be.at.most(SEARCH_STEPS + 4);
  });

  it('gives up the room of many streams when the last has ended', () => {
    const { table, streams } = filled(COUNT, 2);
    for (const stream of streams) table.delete(stream);
    const before = table.steps;
    for (let n = 0; n < 9; n++) table.add(streamOf(2 * (COUNT + n) + 1));
    // The ninth finds eight slots full.
    expect(table.steps - before).to.equal(8);
  });
});
