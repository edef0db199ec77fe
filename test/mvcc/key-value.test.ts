import { expect } from 'chai';
import fc from 'fast-check';
import { decodeKeyValue, encodeKeyValue as encodeGenerated } from '../../src/gen/kv.js';
import { bytesOf } from '../../src/base/collections/interval.js';
import * as codec from '../../src/mvcc/key-value.js';
import { decodeRevisionKey, encodeRevisionKey } from '../../src/storage/revision.js';

const number = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1),
  fc.maxSafeNat(),
);
const lease = fc.oneof(fc.constant(0n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n));
const bytes = fc.uint8Array({ maxLength: 300 });

describe('the KeyValue codec', () => {
  it('writes the same bytes as the generated codec and reads every field back', () => {
    fc.assert(
      fc.property(
        bytes,
        number,
        number,
        number,
        bytes,
        lease,
        (key, create, mod, version, value, leaseId) => {
          const row = codec.encodeKeyValue(key, create, mod, version, value, leaseId);
          expect(Buffer.from(row).toString('hex')).to.equal(
            Buffer.from(
              encodeGenerated({
                key,
                createRevision: create,
                modRevision: mod,
                version,
                value,
                lease: leaseId,
              }),
            ).toString('hex'),
          );
          expect(codec.keyOfRow(row)).to.equal(Buffer.from(key).toString('latin1'));
          expect(Buffer.from(codec.keyBytesOf(row)).equals(key)).to.equal(true);
          expect(codec.createRevisionOf(row)).to.equal(create);
          expect(codec.modRevisionOf(row)).to.equal(mod);
          expect(codec.versionOf(row)).to.equal(version);
          expect(Buffer.from(codec.valueOf(row)).equals(value)).to.equal(true);
          expect(codec.leaseOf(row)).to.equal(leaseId);
          const rest = decodeKeyValue(codec.withoutValue(row));
          expect([rest.value.length, rest.lease, rest.version]).to.deep.equal([
            0,
            leaseId,
            version,
          ]);
        },
      ),
    );
  });

  it('encodes a tombstone with the key only, and a deleted event with key and revision', () => {
    expect(Buffer.from(codec.encodeTombstone(bytesOf('ab'))).toString('hex')).to.equal('0a026162');
    expect(Buffer.from(codec.encodeDeleted(bytesOf('ab'), 300)).toString('hex')).to.equal(
      '0a02616218ac02',
    );
  });
});

describe('the revision key', () => {
  it('round-trips and sorts like revisions', () => {
    const revision = fc.record({ main: number, sub: number, tombstone: fc.boolean() });
    fc.assert(
      fc.property(revision, revision, (a, b) => {
        const x = encodeRevisionKey(a.main, a.sub, a.tombstone);
        const y = encodeRevisionKey(b.main, b.sub, b.tombstone);
        expect(decodeRevisionKey(x)).to.deep.equal(a);
        if (a.main !== b.main || a.sub !== b.sub) {
          expect(Buffer.compare(x, y) < 0).to.equal(
            a.main < b.main || (a.main === b.main && a.sub < b.sub),
          );
        }
      }),
    );
    expect(Buffer.from(encodeRevisionKey(258, 1, true)).toString('hex')).to.equal(
      '00000000000001025f000000000000000174',
    );
    expect(decodeRevisionKey(new Uint8Array(17))).to.equal(null);
    expect(decodeRevisionKey(new Uint8Array(16))).to.equal(null);
  });
});
