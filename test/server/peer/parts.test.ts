import { expect } from 'chai';
import fc from 'fast-check';
import type { Frame } from '../../../src/server/peer/frames.js';
import { FrameError, FrameReader, FrameType } from '../../../src/server/peer/frames.js';
import { MAX_BODY_BYTES, PART_BYTES } from '../../../src/server/peer/limits.js';
import { BodyAssembler, BodyCutter } from '../../../src/server/peer/parts.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

/** The body of the frame `bytes`, as a receiver reads it. */
function bodyOf(bytes: Buffer): Buffer {
  const reader = new FrameReader();
  reader.admit();
  reader.push(bytes);
  const frame = reader.next();
  if (frame === null) throw new Error('a frame was cut short');
  expect(frame.type).to.equal(FrameType.part);
  return frame.body;
}

function part(type: number, totalBytes: number, offset: number, content: number): Buffer {
  const bytes = Buffer.alloc(9 + content);
  bytes[0] = type;
  bytes.writeUInt32LE(totalBytes, 1);
  bytes.writeUInt32LE(offset, 5);
  return bytes;
}

describe('parts of long bodies', () => {
  it('give back the body, for any pieces and any frames between', () => {
    const pieces = fc.array(fc.integer({ min: 0, max: 2 * PART_BYTES }), { maxLength: 4 });
    fc.assert(
      fc.property(pieces, pieces, fc.infiniteStream(fc.boolean()), (first, second, turns) => {
        const bodies = [first, second].map((sizes, which) =>
          [1, ...sizes].map((size, i) => new Uint8Array(size).fill(i + 7 * which + 1)),
        );
        const types = [FrameType.messages, FrameType.reply] as const;
        const cutters = bodies.map((body, which) => new BodyCutter(types[which as 0 | 1], body));
        const assembler = new BodyAssembler();
        const whole: Frame[] = [];
        while (cutters.some((cutter) => cutter.restBytes > 0)) {
          const cutter = cutters[turns.next().value === true ? 1 : 0];
          if (cutter === undefined || cutter.restBytes === 0) continue;
          const frame = assembler.add(bodyOf(cutter.next()));
          if (frame !== null) whole.push(frame);
        }
        expect(whole).to.have.length(2);
        for (const frame of whole) {
          const body = Buffer.concat(bodies[types.indexOf(frame.type as 3 | 5)] ?? []);
          expect(body.equals(frame.body)).to.equal(true);
        }
      }),
      { seed, numRuns: 60 },
    );
  });

  const messages = FrameType.messages;
  for (const [what, sent, text] of [
    ['without content', [part(messages, 10, 0, 0)], /without content/],
    ['cut within its header', [Buffer.of(messages, 1)], /without content/],
    ['that begins nowhere', [part(messages, 10, 5, 5)], /was not begun/],
    ['of another length', [part(messages, 10, 0, 5), part(messages, 11, 5, 5)], /was not begun/],
    ['with a gap', [part(messages, 10, 0, 5), part(messages, 10, 6, 4)], /do not follow/],
    ['that overlaps', [part(messages, 10, 0, 5), part(messages, 10, 4, 5)], /do not follow/],
    ['beyond the end', [part(messages, 10, 0, 5), part(messages, 10, 5, 6)], /do not follow/],
    ['that begins again', [part(messages, 10, 0, 5), part(messages, 10, 0, 5)], /before the last/],
    ['of a hello', [part(FrameType.hello, 10, 0, 5)], /come whole/],
    ['of a part', [part(FrameType.part, 10, 0, 5)], /come whole/],
    ['of a body too long', [part(messages, MAX_BODY_BYTES + 1, 0, 5)], /exceeds the limit/],
  ] as const) {
    it(`refuse one ${what}`, () => {
      const assembler = new BodyAssembler();
      const add = (): void => sent.forEach((bytes) => assembler.add(bytes));
      expect(add).to.throw(FrameError, text);
    });
  }
});
