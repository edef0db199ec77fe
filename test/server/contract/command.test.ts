import { expect } from 'chai';
import fc from 'fast-check';
import { encodeConfChangeEntry, encodeMemberInfo } from '../../../src/gen/peer.js';
import { encodePutRequest } from '../../../src/gen/rpc.js';
import { ConfChangeType } from '../../../src/raft/types.js';
import {
  bodyOf,
  CommandKind,
  confChangeProblem,
  encodeCommand,
  envelopeProblem,
  headerOf,
  kindOf,
  readConfChange,
  sequenceOf,
} from '../../../src/server/contract/command.js';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const kind = fc.constantFrom(...Object.values(CommandKind));
const body = fc.uint8Array({ maxLength: 200 });
const put = encodePutRequest({ key: Buffer.from('k'), value: Buffer.from('v') });

/** As 0.1.0 wrote it. */
function oldCommand(kindNumber: number, origin: number, request: Uint8Array): Uint8Array {
  const data = Buffer.alloc(9 + request.length);
  data[0] = kindNumber;
  data.writeUInt32BE(origin, 1);
  data.set(request, 9);
  return data;
}

describe('command', () => {
  it('gives back the encoded command', () => {
    fc.assert(
      fc.property(kind, u32, u32, body, (k, origin, sequence, request) => {
        const data = encodeCommand(k, origin, sequence, request);
        expect(envelopeProblem(data)).to.equal(null);
        expect([kindOf(data), sequenceOf(data, origin)]).to.deep.equal([k, sequence]);
        expect(sequenceOf(data, (origin + 1) >>> 0)).to.equal(undefined);
        expect(Buffer.from(bodyOf(data))).to.deep.equal(Buffer.from(request));
        expect(headerOf(data)).to.equal(undefined);
      }),
    );
  });

  it('carries a header in front of an unchanged body, which this version does not apply', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), body, (username, authRevision, request) => {
        const header = { username, authRevision };
        const data = encodeCommand(CommandKind.put, 1, 2, request, header);
        expect(headerOf(data)).to.deep.equal(header);
        expect(Buffer.from(bodyOf(data))).to.deep.equal(Buffer.from(request));
        expect(envelopeProblem(data)).to.equal('names a user');
      }),
    );
  });

  it('refuses a header that its size field cannot hold', () => {
    const header = { username: 'u'.repeat(70_000), authRevision: 1 };
    expect(() => encodeCommand(CommandKind.put, 1, 2, put, header)).to.throw(RangeError);
  });

  it('reads the commands of 0.1.0, and recognises none of them as its own', () => {
    const data = oldCommand(CommandKind.put, 7, put);
    expect(envelopeProblem(data)).to.equal(null);
    expect(kindOf(data)).to.equal(CommandKind.put);
    expect(Buffer.from(bodyOf(data))).to.deep.equal(Buffer.from(put));
    expect(sequenceOf(data, 7)).to.equal(undefined);
  });

  it('names a command it cannot apply', () => {
    const good = encodeCommand(CommandKind.put, 1, 2, put);
    const withByte = (at: number, value: number): Uint8Array => {
      const data = Uint8Array.from(good);
      data[at] = value;
      return data;
    };
    expect(envelopeProblem(withByte(0, 0x82))).to.equal('is of envelope version 130');
    expect(envelopeProblem(withByte(1, 2))).to.equal('carries flags 2');
    expect(envelopeProblem(withByte(2, 250))).to.equal('is of kind 250');
    expect(envelopeProblem(oldCommand(99, 1, put))).to.equal('is of kind 99');
    expect(envelopeProblem(good.subarray(0, 10))).to.equal('ends within its envelope');
    expect(envelopeProblem(withByte(1, 1).subarray(0, 12))).to.equal('ends within its header');
  });

  it('names the fault of a membership change', () => {
    const member = encodeMemberInfo({ ID: 9n, name: 'm9', peerURLs: ['http://m9:2380'] });
    const add = encodeConfChangeEntry({ memberId: 9n, context: member });
    expect(confChangeProblem(add)).to.equal(null);
    expect(readConfChange(add)).to.deep.include({ type: ConfChangeType.addVoter, memberId: 9n });
    const unknown = encodeConfChangeEntry({ type: 77, memberId: 9n, context: member });
    expect(confChangeProblem(unknown)).to.include('a membership change of type 77');
    const nobody = encodeConfChangeEntry({ memberId: 9n, context: Uint8Array.of(0x0a, 0x7f) });
    expect(confChangeProblem(nobody)).to.include('has a body that cannot be read');
    // A removal describes nobody.
    const remove = encodeConfChangeEntry({ type: ConfChangeType.removeMember, memberId: 9n });
    expect(confChangeProblem(remove)).to.equal(null);
  });

  it('judges any bytes without throwing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (data) => {
        expect(envelopeProblem(data)).to.satisfy(
          (problem: unknown) => problem === null || typeof problem === 'string',
        );
      }),
    );
  });
});
