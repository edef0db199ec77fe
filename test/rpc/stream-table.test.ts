import { expect } from 'chai';
import fc from 'fast-check';
import { StreamTable } from '../../src/rpc/http2/stream-table.js';
import type { Http2Stream } from '../../src/rpc/http2/stream.js';

/** Against a Map: ids only ascend, as HTTP/2 demands, but are removed in any order. */
describe('StreamTable', () => {
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
            const stream = { id } as Http2Stream;
            table.add(stream);
            model.set(id, stream);
          } else {
            const open = [...model.values()];
            const gone = open[s.remove % (open.length + 1)] ?? ({ id: 1 } as Http2Stream);
            table.delete(gone);
            model.delete(gone.id);
            expect(table.has(gone)).equal(false);
          }
          expect(table.size).equal(model.size);
          expect(table.values()).eql([...model.values()]);
          for (const [key, stream] of model) expect(table.get(key)).equal(stream);
          expect(table.get(id + 2)).equal(undefined);
        }
      }),
    );
  });
});
