import { expect } from 'chai';
import * as fc from 'fast-check';
import { readU32, readU64, writeU32, writeU64 } from '../../../src/base/bytes/big-endian.js';
import { getU64, putU64 } from '../../../src/base/bytes/little-endian.js';
import {
  readBig,
  readInt,
  sizeBig,
  sizeInt,
  skipInt,
  writeBig,
  writeInt,
} from '../../../src/base/bytes/varint.js';

const MARK = 0xee;

/** The encoding as the specification describes it: seven bits a byte of the number's 64 bits. */
function specified(v: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, v);
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

const edges = [7, 14, 21, 28, 31, 32, 35, 42, 49, 53].flatMap((bits) => [
  2 ** bits - 1,
  ...(bits < 53 ? [2 ** bits, 2 ** bits + 1] : []),
]);
const counts = fc.oneof(fc.constantFrom(0, 1, ...edges), fc.maxSafeNat());
const ints = fc.oneof(counts, fc.maxSafeInteger());
const bigs = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

describe('variable-length integers', () => {
  it('are written and measured as specified, and nothing behind them', () => {
    fc.assert(
      fc.property(ints, fc.nat(5), (n, at) => {
        const bytes = Buffer.alloc(20, MARK);
        const end = writeInt(bytes, at, n);
        const expected = specified(BigInt(n));
        expect([...bytes.subarray(at, end)]).to.deep.equal(expected);
        expect([sizeInt(n), bytes[end]]).to.deep.equal([expected.length, MARK]);
      }),
    );
    fc.assert(
      fc.property(bigs, (v) => {
        const bytes = Buffer.alloc(20, MARK);
        const end = writeBig(bytes, 0, v);
        expect([...bytes.subarray(0, end)]).to.deep.equal(specified(v));
        expect([sizeBig(v), sizeBig(BigInt.asUintN(64, v))]).to.deep.equal([end, end]);
        expect([readBig(bytes, 0), skipInt(bytes, 0)]).to.deep.equal([v, end]);
      }),
    );
  });

  it('are read back', () => {
    fc.assert(
      fc.property(counts, (n) => {
        const bytes = Buffer.alloc(20, MARK);
        const end = writeInt(bytes, 3, n);
        expect([readInt(bytes, 3), skipInt(bytes, 3)]).to.deep.equal([n, end]);
      }),
    );
  });
});

describe('integers of fixed size', () => {
  it("are those of Node's Buffer, big-endian, and read back", () => {
    fc.assert(
      fc.property(counts, fc.nat(0xffff_ffff), (n, u32) => {
        const bytes = Buffer.alloc(20, MARK);
        const expected = Buffer.alloc(20, MARK);
        expect(writeU64(bytes, 1, n)).to.equal(9);
        expect(writeU32(bytes, 9, u32)).to.equal(13);
        expected.writeBigUInt64BE(BigInt(n), 1);
        expected.writeUInt32BE(u32, 9);
        expect(bytes.equals(expected)).to.equal(true);
        expect([readU64(bytes, 1), readU32(bytes, 9)]).to.deep.equal([n, u32]);
      }),
    );
  });

  it("are those of Node's Buffer, little-endian, and read back", () => {
    fc.assert(
      fc.property(counts, (n) => {
        const bytes = Buffer.alloc(12, MARK);
        const expected = Buffer.alloc(12, MARK);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        putU64(view, 2, n);
        expected.writeBigUInt64LE(BigInt(n), 2);
        expect(bytes.equals(expected)).to.equal(true);
        expect(getU64(view, 2)).to.equal(n);
      }),
    );
  });
});
