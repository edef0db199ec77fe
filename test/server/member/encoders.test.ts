import { expect } from 'chai';
import fc from 'fast-check';
import { encodeRangeResponse, encodeResponseHeader } from '../../../src/gen/rpc.js';
import { fieldSize, FieldWriter } from '../../../src/base/bytes/field-writer.js';
import { sizeInt } from '../../../src/base/bytes/varint.js';
import { HeaderEncoder } from '../../../src/server/contract/header.js';

const id = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const number = fc.oneof(
  fc.nat(),
  fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  fc.constantFrom(0, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER),
);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function headerEncoder(clusterId: bigint, memberId: bigint, term: () => number): HeaderEncoder {
  return new HeaderEncoder({ clusterId, memberId, revision: () => 0, term });
}

describe('encoders by hand', () => {
  it('HeaderEncoder writes the same bytes as the generated codec', () => {
    fc.assert(
      fc.property(
        id,
        id,
        fc.array(fc.tuple(number, number), { minLength: 1 }),
        (clusterId, memberId, all) => {
          let raftTerm = 0;
          const encoder = headerEncoder(clusterId, memberId, () => raftTerm);
          for (const [revision, term] of all) {
            raftTerm = term;
            const header = { clusterId, memberId, revision, raftTerm };
            const expected = encodeRangeResponse({ header });
            expect(hex(encoder.field(revision))).to.equal(hex(expected));
            expect(encoder.field(revision)).to.equal(encoder.field(revision));
            expect(encodeResponseHeader(header).length).to.equal(expected.length - 2);
          }
        },
      ),
    );
  });

  it('a header stays as it is when the next one is written', () => {
    const encoder = headerEncoder(1n, 2n, () => 1);
    const first = encoder.field(5);
    const before = hex(first);
    encoder.field(6);
    expect(hex(first)).to.equal(before);
  });

  it('FieldWriter writes the same bytes as the generated codec, and sizes agree', () => {
    const kv = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(
        fc.array(kv),
        fc.boolean(),
        number,
        fc.integer({ min: 1, max: 100 }),
        (values, more, count, hint) => {
          const w = new FieldWriter(hint);
          let size = 0;
          for (const value of values) {
            // KeyValue { value = 5 }
            const row = new FieldWriter(hint);
            if (value.length > 0) row.bytes(5, value);
            w.bytes(2, row.finish());
            size += fieldSize(row.length);
            expect(w.length).to.equal(size);
          }
          w.bool(3, more);
          w.number(4, count);
          const expected = encodeRangeResponse({
            kvs: values.map((value) => ({ value })),
            more,
            count,
          });
          expect(hex(w.finish())).to.equal(hex(expected));
          expect(w.length).to.equal(size + (more ? 2 : 0) + (count === 0 ? 0 : 1 + sizeInt(count)));
        },
      ),
    );
  });
});
