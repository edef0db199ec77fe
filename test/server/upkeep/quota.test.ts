import { expect } from 'chai';
import {
  encodeDeleteRangeRequest,
  encodeLeaseGrantRequest,
  encodePutRequest,
  encodeTxnRequest,
  type RequestOpInit,
} from '../../../src/gen/rpc.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { addedBytes, mostAddedBytes } from '../../../src/server/upkeep/quota.js';

const put = (key: string, value: string): RequestOpInit => ({
  requestPut: { key: Buffer.from(key), value: Buffer.from(value) },
});
const del = (key: string): RequestOpInit => ({ requestDeleteRange: { key: Buffer.from(key) } });

describe('estimate of the bytes a command adds', () => {
  const cases: readonly [string, CommandKind, Uint8Array, number][] = [
    [
      'a put',
      CommandKind.put,
      encodePutRequest({ key: Buffer.from('key'), value: Buffer.from('value') }),
      264,
    ],
    ['a lease', CommandKind.leaseGrant, encodeLeaseGrantRequest({ TTL: 10 }), 64],
    ['a delete', CommandKind.deleteRange, encodeDeleteRangeRequest({ key: Buffer.from('k') }), 0],
    [
      'a transaction that only deletes',
      CommandKind.txn,
      encodeTxnRequest({ success: [del('a')], failure: [del('b')] }),
      0,
    ],
    [
      'the greater branch',
      CommandKind.txn,
      encodeTxnRequest({ success: [put('a', 'b')], failure: [put('a', 'b'), put('c', '')] }),
      515,
    ],
    [
      'a nested transaction',
      CommandKind.txn,
      encodeTxnRequest({ success: [put('a', ''), { requestTxn: { failure: [put('b', 'cd')] } }] }),
      516,
    ],
    ['an empty transaction', CommandKind.txn, encodeTxnRequest({}), 0],
    ['a compaction', CommandKind.compact, new Uint8Array(0), 0],
  ];
  for (const [what, kind, request, expected] of cases) {
    it(`${what}: ${expected} bytes, and no more than its length allows`, () => {
      expect(addedBytes(kind, request)).to.equal(expected);
      expect(mostAddedBytes(kind, request.length)).to.be.at.least(expected);
    });
  }

  it('never exceeds the bound, however small the puts are', () => {
    const success = Array.from({ length: 128 }, (_, i) => put(String.fromCharCode(i + 1), ''));
    const request = encodeTxnRequest({ success });
    expect(addedBytes(CommandKind.txn, request)).to.be.at.most(
      mostAddedBytes(CommandKind.txn, request.length),
    );
  });
});
