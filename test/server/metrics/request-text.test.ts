import { expect } from 'chai';
import {
  encodeDeleteRangeRequest,
  encodePutRequest,
  encodeRangeRequest,
  encodeTxnRequest,
} from '../../../src/gen/rpc.js';
import {
  deleteRangeText,
  putText,
  rangeText,
  txnText,
} from '../../../src/server/metrics/request-text.js';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

describe('requests as text for the log', () => {
  it('show the fields that are set', () => {
    const range = encodeRangeRequest({
      key: bytes('a'),
      rangeEnd: bytes('b'),
      limit: 10,
      sortOrder: 2,
      sortTarget: 4,
      keysOnly: true,
    });
    expect(rangeText(range)).equal(
      'key:"a" range_end:"b" limit:10 sort_order:DESCEND sort_target:VALUE keys_only:true',
    );
    expect(rangeText(encodeRangeRequest({ key: bytes('a') }))).equal('key:"a"');
    const del = encodeDeleteRangeRequest({ key: bytes('a'), prevKv: true });
    expect(deleteRangeText(del)).equal('key:"a" prev_kv:true');
  });

  it('show sizes in place of values', () => {
    const put = encodePutRequest({ key: bytes('k'), value: bytes('secret'), lease: 12n });
    expect(putText(put)).equal('key:"k" value_size:6 lease:12');
    const txn = encodeTxnRequest({
      compare: [
        { key: bytes('k'), target: 3, value: bytes('secret') },
        { key: bytes('k'), target: 2, result: 1, modRevision: 7 },
      ],
      success: [{ requestPut: { key: bytes('k'), value: bytes('secret') } }],
      failure: [
        { requestRange: { key: bytes('k') } },
        { requestTxn: { success: [{ requestDeleteRange: { key: bytes('k') } }] } },
      ],
    });
    expect(txnText(txn)).equal(
      'compare:<target:VALUE key:"k" value_size:6 result:GREATER target:MOD key:"k" mod_revision:7> ' +
        'success:<request_put:<key:"k" value_size:6>> ' +
        'failure:<request_range:<key:"k"> request_txn:<compare:<> success:<request_delete_range:<key:"k">> failure:<>>>',
    );
  });

  it('escape bytes that are not printable', () => {
    expect(putText(encodePutRequest({ key: bytes('\0a"\\\n\xff') }))).equal(
      'key:"\\000a\\"\\\\\\n\\377"',
    );
  });

  it('are bounded, however large the request is', () => {
    const key = Buffer.alloc(100_000, 'k');
    const success = Array.from({ length: 5000 }, () => ({ requestPut: { key } }));
    expect(putText(encodePutRequest({ key })).length).lessThan(300);
    expect(txnText(encodeTxnRequest({ success: success.slice(0, 100) })).length).lessThan(2100);
    const short = Array.from({ length: 40 }, () => ({ requestPut: { key: bytes('k') } }));
    expect(txnText(encodeTxnRequest({ success: short }))).contain('and 8 more');
  });
});
