import { expect } from 'chai';
import { jsonCodecs } from '../../src/gen/json-codecs.js';
import {
  alarmRequestToJson,
  decodeTxnRequest,
  encodeRangeRequest,
  encodeTxnRequest,
  decodeRangeRequest,
  emptyHashKVResponse,
  emptyRangeResponse,
  hashKVResponseToJson,
  leaseGrantRequestFromJson,
  rangeRequestFromJson,
  rangeResponseToJson,
  txnRequestFromJson,
  txnRequestToJson,
  watchCreateRequestFromJson,
} from '../../src/gen/rpc.js';
import { allMethods } from '../../src/gen/services.js';
import { parseJson } from '../../src/base/protobuf/json.js';
import { DecodeError } from '../../src/base/protobuf/runtime.js';
import { codecs, fromGenerated, Random, randomPlain, testSeed, toGenerated } from './plain.js';

describe('JSON', () => {
  it('brings every message back, through text and under either set of names', () => {
    const random = new Random(testSeed('json'));
    for (const c of codecs) {
      for (let n = 0; n < 30; n++) {
        const plain = randomPlain(random, c.model, 3);
        const m = c.decode(c.encode(toGenerated(c.model, plain)));
        const text = JSON.stringify(c.toJson(m));
        const back = c.fromJson(parseJson(text));
        expect(fromGenerated(c.model, back), text).to.deep.equal(plain);
        expect(c.fromJson(camelCased(parseJson(text))), text).to.deep.equal(back);
      }
    }
  });

  it('writes the forms of a gateway', () => {
    const reply = emptyRangeResponse();
    reply.header = { clusterId: 2n ** 64n - 1n, memberId: 7n, revision: 2, raftTerm: 3 };
    reply.kvs.push({
      key: Buffer.from('foo'),
      createRevision: 2,
      modRevision: 2,
      version: 1,
      value: Uint8Array.of(0xfb, 0xff),
      lease: -1n,
    });
    reply.count = 1;
    expect(JSON.stringify(rangeResponseToJson(reply))).to.equal(
      '{"header":{"cluster_id":"18446744073709551615","member_id":"7","revision":"2","raft_term":"3"},' +
        '"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"+/8=","lease":"-1"}],' +
        '"count":"1"}',
    );
    const hash = emptyHashKVResponse();
    hash.hash = 4294967295;
    hash.compactRevision = -1;
    expect(hashKVResponseToJson(hash)).to.deep.equal({ hash: 4294967295, compact_revision: '-1' });
    expect(alarmRequestToJson({ action: 1, memberID: 0n, alarm: 77 })).to.deep.equal({
      action: 'ACTIVATE',
      alarm: 77,
    });
  });

  it('shows members of a oneof that are set to zero', () => {
    const txn = decodeTxnRequest(
      encodeTxnRequest({ compare: [{ modRevision: 0 }], success: [{ requestPut: {} }] }),
    );
    const json = txnRequestToJson(txn);
    expect(json).to.deep.equal({
      compare: [{ mod_revision: '0' }],
      success: [{ request_put: {} }],
    });
    expect(txnRequestFromJson(json)).to.deep.equal(txn);
  });

  it('reads the forms of a gateway', () => {
    const range = (fields: object): unknown => {
      const m = rangeRequestFromJson(fields);
      return [Buffer.from(m.key).toString('hex'), m.limit, m.sortOrder, m.serializable];
    };
    const cases: [object, unknown[]][] = [
      [{}, ['', 0, 0, false]],
      [{ key: 'Zm9v', unknown: [{}] }, ['666f6f', 0, 0, false]],
      [{ key: 'Zm8' }, ['666f', 0, 0, false]],
      [{ key: 'Zm8=' }, ['666f', 0, 0, false]],
      [{ key: 'Zm\r\n9v\n' }, ['666f6f', 0, 0, false]],
      [{ key: '-_8=' }, ['fbff', 0, 0, false]],
      [{ key: '+/8' }, ['fbff', 0, 0, false]],
      [{ key: null, limit: null, sort_order: null, serializable: null }, ['', 0, 0, false]],
      [{ limit: 5 }, ['', 5, 0, false]],
      [{ limit: '-5' }, ['', -5, 0, false]],
      [{ limit: '1e1' }, ['', 10, 0, false]],
      [{ limit: '1.0' }, ['', 1, 0, false]],
      [{ limit: '-0' }, ['', 0, 0, false]],
      [{ sort_order: 'DESCEND' }, ['', 0, 2, false]],
      [{ sortOrder: 2 }, ['', 0, 2, false]],
      [{ sort_order: 17 }, ['', 0, 17, false]],
      [{ sort_order: 'SIDEWAYS' }, ['', 0, 0, false]],
      [{ sort_order: '1' }, ['', 0, 0, false]],
      [{ serializable: true }, ['', 0, 0, true]],
    ];
    for (const [json, wanted] of cases) {
      expect(range(json), JSON.stringify(json)).to.deep.equal(wanted);
    }
    const filters = watchCreateRequestFromJson({ filters: ['NODELETE', 'NOTHING', 0] }).filters;
    expect(filters).to.deep.equal([1, 0]);
  });

  it('refuses the forms that a gateway refuses', () => {
    const cases: unknown[] = [
      null,
      [],
      'text',
      { key: 5 },
      { key: 'Zg=' },
      { key: 'Zg=a' },
      { key: 'Zm 9v' },
      { key: '-/9v' },
      { key: 'Z' },
      { limit: 1.5 },
      { limit: '' },
      { limit: ' 1' },
      { limit: '01' },
      { limit: '0x1' },
      { limit: true },
      { limit: '9223372036854775808' },
      { limit: 2 ** 63 },
      { limit: '1e400' },
      { sort_order: true },
      { sort_order: 2 ** 31 },
      { serializable: 'true' },
      { serializable: 1 },
      { range_end: 'AA==', rangeEnd: 'AA==' },
    ];
    for (const json of cases) {
      expect(() => rangeRequestFromJson(json), JSON.stringify(json)).to.throw(DecodeError);
    }
    const txns: unknown[] = [
      { compare: {} },
      { compare: [null] },
      { compare: [{ version: '0', mod_revision: '0' }] },
      { success: [{ request_put: [] }] },
    ];
    for (const json of txns) {
      expect(() => txnRequestFromJson(json), JSON.stringify(json)).to.throw(DecodeError);
    }
  });

  it('bounds the depth of its input', () => {
    let json: object = {};
    for (let n = 0; n < 20000; n++) json = { success: [{ request_txn: json }] };
    expect(() => txnRequestFromJson(json)).to.throw(DecodeError, 'too deeply');
  });

  it('takes an id written as a bare number of 19 digits without losing any', () => {
    const grant = (text: string): bigint => leaseGrantRequestFromJson(parseJson(text)).ID;
    expect(grant('{"ID":7587862094743159859,"TTL":1}')).to.equal(7587862094743159859n);
    expect(grant('{"TTL":1,"ID" : -7587862094743159859}')).to.equal(-7587862094743159859n);
    expect(grant('{"x":"\\"1234567890123456789","ID":"7587862094743159859"}')).to.equal(
      7587862094743159859n,
    );
  });

  it('parses like JSON.parse everything but long integers', () => {
    const texts = [
      '{"a\\\\":1234567890123456}',
      '["1234567890123456","\\"1234567890123456",0.1234567890123456789,1e3,-1.5E+2]',
      '[12345678901234567890.5,1234567890123456e1]',
      '"1234567890123456\\\\"',
      '{"":[true,false,null,"x"]}1234567890123456',
      '["1234567890123456',
      '1234567890123456 "\\',
    ];
    for (const text of texts) {
      expect(
        attempt(() => parseJson(text)),
        text,
      ).to.deep.equal(
        attempt(
          () =>
            JSON.parse(text, (_, v: unknown) =>
              v === 1234567890123456 ? String(v) : v,
            ) as unknown,
        ),
      );
    }
    expect(() => parseJson(`{"a":1234567890123456,"b":${'"\\"'.repeat(300000)}`)).to.throw(
      DecodeError,
    );
  });
});

describe('tables of RPCs', () => {
  it('name each method once, under its path, with codecs', () => {
    expect(allMethods.length).to.equal(51);
    expect(new Set(allMethods.map((m) => m.path)).size).to.equal(allMethods.length);
    for (const m of allMethods) {
      expect(m.path).to.equal(`/${m.service}/${m.method}`);
      const codec = jsonCodecs.get(m.path);
      expect(codec, m.path).to.not.equal(undefined);
      expect(codec?.requestFromJson({}).length).to.equal(0);
      expect(codec?.responseToJson(new Uint8Array(0))).to.deep.equal({});
    }
  });

  it('distinguish streams from unary calls', () => {
    const streams = allMethods.filter((m) => m.type !== 'unary');
    expect(streams.map((m) => `${m.type} ${m.path}`).sort()).to.deep.equal([
      'bidi_stream /etcdserverpb.Lease/LeaseKeepAlive',
      'bidi_stream /etcdserverpb.Watch/Watch',
      'server_stream /etcdserverpb.KV/RangeStream',
      'server_stream /etcdserverpb.Maintenance/Snapshot',
      'server_stream /grpc.health.v1.Health/Watch',
      'server_stream /v3electionpb.Election/Observe',
    ]);
  });

  it('lead from JSON to bytes and back', () => {
    const codec = jsonCodecs.get('/etcdserverpb.KV/Range');
    const bytes = codec?.requestFromJson({ key: 'Zm9v', limit: '3' });
    expect(bytes).to.deep.equal(encodeRangeRequest({ key: Buffer.from('foo'), limit: 3 }));
    expect(decodeRangeRequest(bytes as Uint8Array).limit).to.equal(3);
    expect(codec?.responseToJson(Uint8Array.of(0x20, 0x05))).to.deep.equal({ count: '5' });
  });
});

/** The value, or that there is none. */
function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch {
    return 'refused';
  }
}

function camelCased(j: unknown): unknown {
  if (Array.isArray(j)) return j.map(camelCased);
  if (typeof j !== 'object' || j === null) return j;
  return Object.fromEntries(
    Object.entries(j).map(([name, v]) => [
      name.replace(/_(.)/g, (_, c: string) => c.toUpperCase()),
      camelCased(v),
    ]),
  );
}
