import { expect } from 'chai';
import fc from 'fast-check';
import { SequenceRing } from '../../../src/server/member/sequence-ring.js';

/** Against a Map, which keeps the order of insertion: any gaps, any order of removal, numbers that wrap. */
describe('SequenceRing', () => {
  it('answers as a Map would', () => {
    const step = fc.oneof(
      fc.record({ add: fc.integer({ min: 1, max: 900 }) }),
      fc.record({ take: fc.nat() }),
      fc.constant({ shift: true }),
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 400 }),
        fc.constantFrom(0, 1, 2 ** 32 - 50),
        (steps, start) => {
          const ring = new SequenceRing<string>();
          const model = new Map<number, string>();
          let sequence = start;
          for (const s of steps) {
            if ('add' in s) {
              sequence = (sequence + s.add) >>> 0;
              ring.add(sequence, `item ${String(sequence)}`);
              model.set(sequence, `item ${String(sequence)}`);
            } else if ('take' in s) {
              const keys = [...model.keys()];
              const wanted = keys[s.take % (keys.length + 1)] ?? s.take >>> 0;
              expect(ring.take(wanted)).equal(model.get(wanted));
              model.delete(wanted);
            } else if (model.size > 0) {
              const [oldest] = model.keys();
              ring.shift();
              model.delete(oldest as number);
            }
            expect(ring.size).equal(model.size);
            expect(ring.peek()).equal([...model.values()][0]);
          }
        },
      ),
    );
  });
});
