import { expect } from 'chai';
import { DecodeError, MAX_DEPTH, NestingError } from '../../src/base/protobuf/runtime.js';
import {
  decodePutRequest,
  decodePutResponse,
  decodeRangeRequest,
  decodeTxnRequest,
  decodeWatchProgressRequest,
  rangeRequestFromJson,
} from '../../src/gen/rpc.js';
import {
  encodeMemberInfo,
  encodePeerRequestFrame,
  decodeMemberInfo,
  decodePeerRequestFrame,
} from '../../src/gen/peer.js';
import type { Codec } from './plain.js';
import {
  codecs,
  fromGenerated,
  fromOracle,
  Random,
  randomPlain,
  testSeed,
  toGenerated,
  toOracle,
} from './plain.js';
import { encodeWild, prefixed, tag, unknownField, varint } from './wild.js';

const ROUNDS = 60;

describe('generated codecs against an independent codec', () => {
  it('cover every message of every contract', () => {
    expect(codecs.length).to.be.greaterThan(120);
    for (const c of codecs) {
      for (const f of [c.encode, c.size, c.write, c.decode, c.toJson, c.fromJson]) {
        expect(f, c.model.name).to.be.a('function');
      }
    }
  });

  it('encode to the same bytes', () => {
    const random = new Random(testSeed('encode'));
    each(codecs, (c) => {
      const plain = randomPlain(random, c.model);
      const ours = c.encode(toGenerated(c.model, plain));
      const theirs = c.oracle.encode(toOracle(c.model, plain)).finish();
      expect(hex(ours), c.model.name).to.equal(hex(theirs));
    });
  });

  it('read back their own bytes, and the other codec reads them too', () => {
    const random = new Random(testSeed('decode'));
    each(codecs, (c) => {
      const plain = randomPlain(random, c.model);
      const bytes = c.encode(toGenerated(c.model, plain));
      expect(fromGenerated(c.model, c.decode(bytes)), c.model.name).to.deep.equal(plain);
      expect(fromOracle(c.model, c.oracle.decode(bytes)), c.model.name).to.deep.equal(plain);
      expect(hex(c.encode(c.decode(bytes))), c.model.name).to.equal(hex(bytes));
    });
  });

  it('read every legal form: any order, unknown fields, packed or not, padded, in two halves', () => {
    const random = new Random(testSeed('wild'));
    each(codecs, (c) => {
      const plain = randomPlain(random, c.model);
      const bytes = encodeWild(random, c.model, plain);
      expect(fromGenerated(c.model, c.decode(bytes)), c.model.name).to.deep.equal(plain);
      expect(fromOracle(c.model, c.oracle.decode(bytes)), c.model.name).to.deep.equal(plain);
    });
  });

  it('agree with the other codec on which member of a oneof wins', () => {
    const random = new Random(testSeed('oneof'));
    const withOneof = codecs.filter((c) => c.model.fields.some((f) => f.oneof !== null));
    expect(withOneof.length).to.equal(4);
    each(withOneof, (c) => {
      const parts: Uint8Array[] = [];
      for (let n = 0; n < 4; n++)
        parts.push(encodeWild(random, c.model, randomPlain(random, c.model)));
      const bytes = Buffer.concat(parts);
      const theirs = c.oracle.decode(bytes) as unknown as Record<string, unknown>;
      const ours = c.decode(bytes) as Record<string, unknown>;
      const oneof = new Set(c.model.fields.filter((f) => f.oneof !== null).map((f) => f.protoName));
      const winner = c.oracle.oneofsArray.map((o) => theirs[o.name]);
      const set = c.model.fields.filter(
        (f) => oneof.has(f.protoName) && ours[f.name] !== undefined,
      );
      expect(set.map((f) => f.protoName)).to.deep.equal(
        winner.filter((name) => name !== undefined),
      );
    });
  });

  it('write into the middle of a buffer and read from the middle of one', () => {
    const random = new Random(testSeed('splice'));
    each(codecs, (c) => {
      const m = toGenerated(c.model, randomPlain(random, c.model));
      const bytes = c.encode(m);
      const buf = new Uint8Array(bytes.length + 7).fill(0xee);
      expect(c.size(m)).to.equal(bytes.length);
      expect(c.write(m, buf, 3)).to.equal(3 + bytes.length);
      expect(hex(buf)).to.equal(`eeeeee${hex(bytes)}eeeeeeee`);
      expect(c.decode(buf, 3, 3 + bytes.length)).to.deep.equal(c.decode(bytes));
    });
  });

  it('encode an empty message to nothing', () => {
    for (const c of codecs) {
      expect(c.encode({}).length).to.equal(0);
      expect(c.encode(c.decode(new Uint8Array(0))).length).to.equal(0);
    }
  });
});

describe('64-bit fields', () => {
  it('are bigint exactly where they are ids', () => {
    const ids: string[] = [];
    for (const c of codecs) {
      for (const f of c.model.fields) {
        if (f.kind !== 'bigInt' && f.kind !== 'bigUint') continue;
        ids.push(`${c.file}.${c.model.name}.${f.name}`);
      }
    }
    expect(ids.sort()).to.deep.equal(IDS.sort());
  });

  it('that count become the nearest safe integer if signed, and are refused if unsigned', () => {
    const revision = (v: bigint): Uint8Array => Buffer.concat([tag(4, 0), varint(v)]);
    const most = 2 ** 53 - 1;
    for (const v of [2n ** 53n - 1n, 2n ** 53n, 2n ** 60n + 1n, 2n ** 63n - 1n]) {
      expect(decodeRangeRequest(revision(v)).revision, String(v)).to.equal(most);
      expect(decodeRangeRequest(revision(-v)).revision, String(-v)).to.equal(-most);
      expect(rangeRequestFromJson({ revision: String(v) }).revision, String(v)).to.equal(most);
      expect(rangeRequestFromJson({ revision: String(-v) }).revision, String(-v)).to.equal(-most);
    }
    expect(decodeRangeRequest(revision(-(2n ** 63n))).revision).to.equal(-most);
    expect(decodeRangeRequest(revision(2n ** 53n - 2n)).revision).to.equal(most - 1);
    const sequence = (v: bigint): Uint8Array => Buffer.concat([tag(1, 0), varint(v)]);
    expect(decodePeerRequestFrame(sequence(2n ** 53n - 1n)).seq).to.equal(2 ** 53 - 1);
    for (const v of [2n ** 53n, 2n ** 64n - 1n]) {
      expect(() => decodePeerRequestFrame(sequence(v)), String(v)).to.throw(DecodeError);
    }
  });

  it('keep all 64 bits, signed or unsigned as declared', () => {
    const lease = (v: bigint): Uint8Array => Buffer.concat([tag(3, 0), varint(v)]);
    expect(decodePutRequest(lease(2n ** 63n)).lease).to.equal(-(2n ** 63n));
    const id = 2n ** 64n - 3n;
    expect(decodeMemberInfo(encodeMemberInfo({ ID: id })).ID).to.equal(id);
  });
});

describe('decoding', () => {
  it('gives views of the input for bytes', () => {
    const bytes = Buffer.from(encodePeerRequestFrame({ body: Uint8Array.of(1, 2, 3) }));
    const { body: data } = decodePeerRequestFrame(bytes);
    expect(data.buffer).to.equal(bytes.buffer);
    bytes[bytes.length - 1] = 9;
    expect(data[2]).to.equal(9);
  });

  it('refuses text that is not UTF-8, short and long', () => {
    for (const bad of [
      [0xff],
      [0xc3],
      [0xc0, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
    ]) {
      for (const before of [0, 100]) {
        const text = Buffer.concat([Buffer.alloc(before, 'a'), Uint8Array.from(bad)]);
        expect(() => decodeMemberInfo(prefixed(2, text))).to.throw(DecodeError, 'UTF-8');
      }
    }
    expect(decodeMemberInfo(prefixed(2, Buffer.from('\ufeffx'))).name).to.equal('\ufeffx');
  });

  it('bounds the depth of messages, but not of unknown groups', () => {
    const nest = (levels: number): Uint8Array => {
      let bytes: Uint8Array = new Uint8Array(0);
      for (let i = 0; i < levels; i++) bytes = prefixed(i % 2 === 0 ? 4 : 2, bytes);
      return bytes;
    };
    decodeTxnRequest(nest(MAX_DEPTH));
    expect(() => decodeTxnRequest(nest(MAX_DEPTH + 2))).to.throw(NestingError, 'too deeply');
    expect(() => decodeTxnRequest(nest(50_000))).to.throw(NestingError, 'too deeply');
    const groups = (levels: number): Uint8Array =>
      Buffer.concat([Buffer.alloc(levels, tag(9, 3)), Buffer.alloc(levels, tag(9, 4))]);
    decodePutRequest(groups(500_000));
    expect(() => decodePutRequest(groups(500_000).subarray(1))).to.throw(DecodeError);
    expect(() => decodePutRequest(groups(9).subarray(0, 17))).to.throw(DecodeError, 'truncated');
    const crossed = Buffer.concat([tag(9, 3), tag(8, 3), tag(9, 4), tag(8, 4)]);
    expect(() => decodePutRequest(crossed)).to.throw(DecodeError, 'another number');
  });

  it('refuses malformed bytes', () => {
    const cases: Record<string, number[]> = {
      'field number 0': [0x00, 0x00],
      'field number 0, padded': [0x82, 0x80, 0x00, 0x00],
      'field number of 30 bits': [0x80, 0x80, 0x80, 0x80, 0x20, 0x00],
      'wire type 6': [0x4e],
      'wire type 7': [0x4f],
      'end of a group that did not start': [0x4c],
      'end of another group': [0x4b, 0x54],
      'group without end': [0x4b, 0x48, 0x01],
      'varint of eleven bytes': [0x18, ...Array<number>(10).fill(0x80), 0x00],
      'varint of 65 bits': [0x18, ...Array<number>(9).fill(0xff), 0x02],
      'length beyond the end': [0x0a, 0x05, 0x61],
      'length of 2^63': [0x0a, ...Array<number>(9).fill(0x80), 0x01],
      'length of 2^32': [0x0a, 0x80, 0x80, 0x80, 0x80, 0x10],
      'half a fixed64': [0x49, 1, 2, 3],
      'half a fixed32': [0x4d, 1, 2, 3],
    };
    for (const [what, bytes] of Object.entries(cases)) {
      expect(() => decodePutRequest(Uint8Array.from(bytes)), what).to.throw(DecodeError);
    }
  });

  it('passes over a field with another wire type', () => {
    const bytes = Buffer.concat([
      tag(1, 0),
      varint(7n),
      prefixed(3, Uint8Array.of(1)),
      prefixed(1, Buffer.from('k')),
    ]);
    const put = decodePutRequest(bytes);
    expect(Buffer.from(put.key).toString()).to.equal('k');
    expect(put.lease).to.equal(0n);
  });

  it('passes over groups in a message without fields', () => {
    const bytes = Buffer.concat([tag(7, 3), tag(1, 0), varint(300n), tag(7, 4)]);
    expect(decodeWatchProgressRequest(bytes)).to.deep.equal({});
  });

  it('does not read past the end of an inner message', () => {
    for (const length of [2, 3, 4]) {
      const inner = Uint8Array.of(0x0a, length, 0x61);
      const bytes = Buffer.concat([prefixed(2, prefixed(2, inner)), Buffer.from('bcd')]);
      expect(() => decodeTxnRequest(bytes), 'a length').to.throw(DecodeError);
      expect(() => decodeTxnRequest(inner), 'at the very end').to.throw(DecodeError);
    }
    for (const [wire, size] of [
      [1, 8],
      [5, 4],
    ] as const) {
      const inner = Buffer.concat([tag(9, wire), new Uint8Array(size - 1)]);
      const bytes = Buffer.concat([prefixed(2, inner), new Uint8Array(8)]);
      expect(() => decodeTxnRequest(bytes), 'a fixed size').to.throw(DecodeError);
    }
  });

  it('does not let an integer of an inner message borrow bytes that follow it', () => {
    for (const bits of [8n, 15n, 22n, 29n, 36n, 50n]) {
      const value = varint(1n << (bits - 1n));
      for (const id of [1, 3, 4, 9, 5000]) {
        const field = Buffer.concat([tag(id, 0), value]);
        for (let cut = 1; cut < field.length; cut++) {
          const length = field.length - cut;
          const bytes = Buffer.concat([tag(1, 2), varint(BigInt(length)), field]);
          const what = `${bytes.toString('hex')} cut by ${String(cut)}`;
          expect(() => decodePutResponse(bytes), what).to.throw(DecodeError);
        }
      }
    }
  });
});

describe('hostile bytes', () => {
  it('cut at every point give an error or a shorter message', () => {
    const random = new Random(testSeed('cut'));
    for (const c of codecs) {
      const bytes = encodeWild(random, c.model, randomPlain(random, c.model, 3));
      for (let end = 0; end < Math.min(bytes.length, 600); end++)
        tolerates(c, bytes.subarray(0, end));
    }
  });

  it('changed at random never cause anything but DecodeError', () => {
    const random = new Random(testSeed('mutate'));
    each(codecs, (c) => {
      const bytes = Buffer.concat([
        encodeWild(random, c.model, randomPlain(random, c.model, 3)),
        unknownField(random, c.model, 2),
      ]);
      for (let n = 0; n < 10; n++) {
        const bad = Buffer.from(bytes);
        for (let k = random.below(4); k >= 0; k--) {
          bad[random.below(bad.length)] = random.pick([0, 0x7f, 0x80, 0xff, random.below(256)]);
        }
        tolerates(c, bad);
      }
      tolerates(c, random.bytes(random.below(64)));
    });
  });

  it('announce large sizes without causing large allocations', () => {
    const before = process.memoryUsage();
    for (let n = 0; n < 2000; n++) {
      const bytes = Buffer.concat([tag(1 + (n % 15), 2), varint(2n ** 31n - 1n), Buffer.alloc(20)]);
      expect(() => decodePutRequest(bytes)).to.throw(DecodeError);
    }
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).to.be.lessThan(50e6);
  });
});

/** Decodes; every accepted message must also be encodable. */
function tolerates(c: Codec, bytes: Uint8Array): void {
  try {
    c.encode(c.decode(bytes));
  } catch (error) {
    if (!(error instanceof DecodeError)) {
      throw new Error(`${c.model.name} ${hex(bytes)}: ${String(error)}`);
    }
  }
}

function each(list: readonly Codec[], run: (c: Codec) => void): void {
  for (const c of list) for (let n = 0; n < ROUNDS; n++) run(c);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

const IDS = [
  'kv.KeyValue.lease',
  'rpc.ResponseHeader.clusterId',
  'rpc.ResponseHeader.memberId',
  'rpc.PutRequest.lease',
  'rpc.Compare.lease',
  'rpc.WatchCreateRequest.watchId',
  'rpc.WatchCancelRequest.watchId',
  'rpc.WatchResponse.watchId',
  'rpc.LeaseGrantRequest.ID',
  'rpc.LeaseGrantResponse.ID',
  'rpc.LeaseRevokeRequest.ID',
  'rpc.LeaseCheckpoint.ID',
  'rpc.LeaseKeepAliveRequest.ID',
  'rpc.LeaseKeepAliveResponse.ID',
  'rpc.LeaseTimeToLiveRequest.ID',
  'rpc.LeaseTimeToLiveResponse.ID',
  'rpc.LeaseStatus.ID',
  'rpc.Member.ID',
  'rpc.MemberRemoveRequest.ID',
  'rpc.MemberUpdateRequest.ID',
  'rpc.MemberPromoteRequest.ID',
  'rpc.MoveLeaderRequest.targetID',
  'rpc.AlarmRequest.memberID',
  'rpc.AlarmMember.memberID',
  'rpc.StatusResponse.leader',
  'lock.LockRequest.lease',
  'election.CampaignRequest.lease',
  'election.LeaderKey.lease',
  'lease.Lease.ID',
  'membership.Member.ID',
  'membership.ClusterMemberAttrSetRequest.memberID',
  'peer.PeerHello.clusterId',
  'peer.PeerHello.from',
  'peer.PeerHello.to',
  'peer.ConfChangeEntry.memberId',
  'peer.MemberInfo.ID',
  'peer.MemberAttributesCommand.memberId',
  'peer.MembersReply.clusterId',
  'peer.ConfStateRecord.voters',
  'peer.ConfStateRecord.learners',
];
