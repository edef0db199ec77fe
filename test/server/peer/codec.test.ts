import { expect } from 'chai';
import fc from 'fast-check';
import type { Entry, Message } from '../../../src/raft/types.js';
import { MessageType, message } from '../../../src/raft/types.js';
import {
  PeerDecodeError,
  decodeMessages,
  encodeMessages,
  sizeMessage,
} from '../../../src/server/peer/codec.js';
import { MAX_FRAME_BYTES, MAX_HELLO_BYTES } from '../../../src/server/peer/limits.js';
import { FrameError, FrameReader, FrameType, makeFrame } from '../../../src/server/peer/frames.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const runs = { seed, numRuns: 500 };

const number = fc.oneof(fc.constant(0), fc.nat(300), fc.maxSafeNat());
const id = fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const bytes = fc.uint8Array({ maxLength: 40 });

const looseEntry: fc.Arbitrary<Entry> = fc.record({
  term: number,
  index: number,
  type: fc.constantFrom(0 as const, 1 as const),
  data: bytes,
});

/** Entries as the core sends them: contiguous, with few changes of term. */
const run = fc.tuple(
  fc.nat(1e9),
  fc.nat(50),
  fc.array(fc.tuple(bytes, fc.boolean()), { maxLength: 20 }),
);

const anyMessage: fc.Arbitrary<Message> = fc
  .record({
    type: fc.constantFrom(...Object.values(MessageType)),
    to: id,
    from: id,
    term: number,
    logTerm: number,
    index: number,
    entries: fc.array(looseEntry, { maxLength: 5 }),
    commit: number,
    reject: fc.boolean(),
    rejectHint: number,
    context: number,
    force: fc.boolean(),
    transferee: id,
    incarnation: number,
    snapshot: fc.option(
      fc.record({
        index: number,
        term: number,
        confState: fc.record({
          voters: fc.array(id, { maxLength: 5 }),
          learners: fc.array(id, { maxLength: 5 }),
        }),
      }),
    ),
  })
  .chain((fields) =>
    run.map(([index, logTerm, list]) => {
      if (fields.entries.length > 0) return fields;
      let term = logTerm;
      const entries = list.map(([data, bump], i) => {
        if (bump) term++;
        return { term, index: index + 1 + i, type: 0 as const, data };
      });
      return { ...fields, index, logTerm, entries };
    }),
  );

function plain(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) => {
    if (typeof v === 'bigint') return `${v}n`;
    return v instanceof Uint8Array ? Buffer.from(v).toString('hex') : v;
  });
}

describe('peer message codec', () => {
  it('gives back every field of every message', () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 6 }), (messages) => {
        const encoded = encodeMessages(messages);
        expect(encoded.length).to.equal(messages.reduce((sum, m) => sum + sizeMessage(m), 0));
        expect(plain(decodeMessages(encoded))).to.equal(plain(messages));
      }),
      runs,
    );
  });

  it('needs five bytes besides the data for an entry that follows its predecessor', () => {
    const entries = [1, 2, 3].map((i) => ({
      term: 4,
      index: 10 + i,
      type: 0 as const,
      data: new Uint8Array(100),
    }));
    const none = sizeMessage(message(MessageType.append, 2n, { index: 10, logTerm: 4 }));
    expect(
      sizeMessage(message(MessageType.append, 2n, { index: 10, logTerm: 4, entries })),
    ).to.equal(none + 315);
  });

  it('never fails but with a decode error, and never for a cut message silently', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(), fc.nat(255), (m, at, value) => {
        const encoded = encodeMessages([m]);
        for (let end = 1; end < encoded.length; end++) {
          expect(() => decodeMessages(encoded.subarray(0, end))).to.throw(PeerDecodeError);
        }
        const changed = encoded.slice();
        changed[at % changed.length] = value;
        try {
          decodeMessages(changed);
        } catch (error) {
          if (!(error instanceof PeerDecodeError)) throw error;
        }
      }),
      { ...runs, numRuns: 200 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
        try {
          decodeMessages(garbage);
        } catch (error) {
          if (!(error instanceof PeerDecodeError)) throw error;
        }
      }),
      { ...runs, numRuns: 5000 },
    );
  });

  it('refuses announced counts and lengths that the input cannot hold', () => {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(0xffffffff, 4);
    expect(() => decodeMessages(head)).to.throw(/more entries than it holds/);
    const m = encodeMessages([
      message(MessageType.snapshot, 0n, {
        snapshot: { index: 1, term: 1, confState: { voters: [], learners: [] } },
      }),
    ]);
    Buffer.from(m.buffer).writeUInt32LE(0xffffffff, m.length - 8);
    expect(() => decodeMessages(m)).to.throw(/more members than it holds/);
  });

  it('skips a message of an unknown type and keeps the others', () => {
    const known = message(MessageType.heartbeat, 2n, { term: 9 });
    const encoded = encodeMessages([known, known, known]);
    encoded[encoded.length / 3] = 200;
    expect(decodeMessages(encoded)).to.deep.equal([known, known]);
  });
});

describe('peer frames', () => {
  it('come out whole however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 40 }),
        (bodies, cuts) => {
          const all = Buffer.concat(bodies.map((body) => makeFrame(FrameType.messages, body)));
          const reader = new FrameReader();
          const seen: string[] = [];
          for (let at = 0, i = 0; at < all.length; i++) {
            const length = cuts[i % cuts.length] ?? 1;
            reader.push(all.subarray(at, at + length));
            at += length;
            for (let frame = reader.next(); frame !== null; frame = reader.next())
              seen.push(frame.body.toString('hex'));
          }
          expect(seen).to.deep.equal(bodies.map((body) => Buffer.from(body).toString('hex')));
        },
      ),
      runs,
    );
  });

  it('are refused with any bit changed', () => {
    const frame = makeFrame(FrameType.ping, Buffer.from('some body'));
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const changed = Buffer.from(frame);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const reader = new FrameReader();
      reader.push(changed);
      let outcome: unknown = null;
      try {
        outcome = reader.next();
      } catch (error) {
        outcome = error;
      }
      // A longer length waits for bytes that never come; a shorter one fails its checksum.
      expect(outcome === null || outcome instanceof FrameError, `bit ${bit}`).to.equal(true);
    }
  });

  it('are refused beyond the bound before their body arrives', () => {
    const header = (bodyBytes: number): Buffer => {
      const head = Buffer.alloc(9);
      head.writeUInt32LE(bodyBytes, 0);
      return head;
    };
    const stranger = new FrameReader();
    stranger.push(header(MAX_HELLO_BYTES + 1));
    expect(() => stranger.next()).to.throw(FrameError, /exceeds the limit/);
    const member = new FrameReader();
    member.admit();
    member.push(header(MAX_FRAME_BYTES));
    expect(member.next()).to.equal(null);
    const beyond = new FrameReader();
    beyond.admit();
    beyond.push(header(MAX_FRAME_BYTES + 1));
    expect(() => beyond.next()).to.throw(FrameError, /exceeds the limit/);
  });
});
