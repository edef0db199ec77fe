import { expect } from 'chai';
import {
  decodeLeaseCheckpointRequest,
  decodeLeaseGrantRequest,
  decodeLeaseKeepAliveResponse,
  decodeLeaseLeasesResponse,
  decodeLeaseTimeToLiveResponse,
  encodeLeaseGrantRequest,
  encodeLeaseKeepAliveRequest,
  encodeLeaseKeepAliveResponse,
  encodeLeaseRevokeRequest,
  encodeLeaseTimeToLiveRequest,
} from '../../../src/gen/rpc.js';
import { errors } from '../../../src/server/contract/errors.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { PeerRequest } from '../../../src/server/contract/roles.js';
import { registerLeaseRequests } from '../../../src/server/lease/requests.js';
import { PeerRequestTable } from '../../../src/server/peer/requests.js';
import { leaseService } from '../../../src/server/services/lease.js';
import { randomOf } from '../../watch/fakes.js';
import { FakeMember } from '../../support/fake-member.js';
import { callMethod, type RecordedCall } from '../../support/recorded-call.js';

const path = (method: string): string => `/etcdserverpb.Lease/${method}`;
const keepAlive = (ID: bigint): Uint8Array => encodeLeaseKeepAliveRequest({ ID });

/** Asks `member` as another member does. */
function askPeer(
  member: FakeMember,
  kind: PeerRequest,
  body: Uint8Array,
  done: (error: Error | null, reply: Uint8Array | null) => void,
): void {
  const table = new PeerRequestTable();
  registerLeaseRequests(table, member.roles);
  table.answer(kind, body, done);
}

describe('Lease service', () => {
  let member: FakeMember;

  beforeEach(() => {
    member = new FakeMember();
    member.become('leader', 11n);
  });

  function call(
    method: string,
    request?: Uint8Array,
    headers?: Record<string, string>,
  ): RecordedCall {
    return callMethod(leaseService(member.roles), path(method), request, headers);
  }

  function answers(stream: RecordedCall): [bigint, number][] {
    return stream.written.map((message) => {
      const { ID, TTL } = decodeLeaseKeepAliveResponse(message);
      return [ID, TTL];
    });
  }

  describe('LeaseGrant', () => {
    function proposedBy(request: { TTL: number; ID?: bigint }): { TTL: number; ID: bigint } {
      call('LeaseGrant', encodeLeaseGrantRequest(request));
      const proposal = member.proposed.at(-1);
      expect(proposal?.kind).equals(CommandKind.leaseGrant);
      return decodeLeaseGrantRequest(proposal?.request ?? new Uint8Array());
    }

    it('raises a TTL below the minimum, also 0 and negative ones', () => {
      for (const TTL of [-(2 ** 53) + 1, -1, 0, 1, 2]) {
        expect(proposedBy({ TTL, ID: 5n })).deep.equals({ TTL: 2, ID: 5n });
      }
      expect(proposedBy({ TTL: 60, ID: -5n })).deep.equals({ TTL: 60, ID: -5n });
    });

    it('chooses a positive id that is free', () => {
      const ids = Array.from({ length: 100 }, () => proposedBy({ TTL: 9 }).ID);
      expect(new Set(ids).size).equals(100);
      for (const id of ids) expect(id > 0n && id < 2n ** 63n).equals(true);
    });

    it('F11: refuses a TTL above the greatest, up to the end of int64', () => {
      const greatest = Uint8Array.of(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f);
      for (const request of [encodeLeaseGrantRequest({ TTL: 9_000_000_001 }), greatest]) {
        const answer = call('LeaseGrant', request);
        expect([answer.error?.code, answer.error?.message]).deep.equals([
          11,
          'etcdserver: too large lease TTL',
        ]);
      }
      expect(member.proposed.length).equals(0);
      expect(proposedBy({ TTL: 9_000_000_000 }).TTL).equals(9_000_000_000);
    });

    it('starts the time of the lease at once', () => {
      call('LeaseGrant', encodeLeaseGrantRequest({ TTL: 100, ID: 7n }));
      member.lessor.grant(7n, 100);
      member.proposed[0]?.done(null, new Uint8Array());
      expect(member.lessor.timeToLive(7n, member.env.nowMs + 1)?.remainingSec).equals(99);
    });

    it('passes on the answer of apply', () => {
      const granted = call('LeaseGrant', encodeLeaseGrantRequest({ TTL: 9 }));
      member.proposed[0]?.done(null, Uint8Array.of(1, 2));
      expect(granted.written).deep.equals([Uint8Array.of(1, 2)]);
      const refused = call('LeaseGrant', encodeLeaseGrantRequest({ TTL: 9 }));
      member.proposed[1]?.done(errors.leaseExists, null);
      expect(refused.error).equals(errors.leaseExists);
    });
  });

  it('LeaseRevoke proposes the request unchanged', () => {
    const request = encodeLeaseRevokeRequest({ ID: -3n });
    const answer = call('LeaseRevoke', request);
    expect([...(member.proposed[0]?.request ?? [])]).deep.equals([...request]);
    member.proposed[0]?.done(errors.leaseNotFound, null);
    expect(answer.error).equals(errors.leaseNotFound);
  });

  it('LeaseLeases lists those that expire first in front', () => {
    for (const [id, ttl] of [
      [1n, 50],
      [-2n, 10],
      [3n, 30],
    ] as const)
      member.lessor.grant(id, ttl);
    member.lessor.hasExpired(member.env.nowMs);
    const answer = decodeLeaseLeasesResponse(call('LeaseLeases').written[0] ?? new Uint8Array());
    expect(answer.leases.map((l) => l.ID)).deep.equals([-2n, 3n, 1n]);
    expect(answer.header?.memberId).equals(11n);
  });

  describe('LeaseLeases of many leases', () => {
    const COUNT = 5_000;
    let ids: bigint[] = [];

    beforeEach(() => {
      member = new FakeMember();
      const random = randomOf(3);
      ids = Array.from({ length: COUNT }, (_, i) => BigInt(i + 1));
      for (const id of ids) member.lessor.grant(id, 10 + Math.floor(random() * 500));
      // Every third look at the clock finds a slice used up.
      member.env.msPerLook = 1;
    });

    function listed(answer: RecordedCall): bigint[] {
      expect(answer.written.length).equals(1);
      const { leases } = decodeLeaseLeasesResponse(answer.written[0] ?? new Uint8Array());
      return leases.map((lease) => lease.ID);
    }

    it('takes several turns and lists all that stay, in order, also during promotion', () => {
      member.become('leader', 11n);
      const answer = call('LeaseLeases');
      expect(answer.ended).equals(false);
      member.lessor.revoke(1n);
      member.lessor.grant(BigInt(COUNT + 1), 20);
      member.lessor.renew(2n, member.env.nowMs);
      member.env.settle();
      expect(answer.partCount).greaterThan(1);
      const found = listed(answer);
      const changed = [1n, 2n, BigInt(COUNT + 1)];
      const stayed = found.filter((id) => id !== 1n && id <= BigInt(COUNT));
      expect(stayed.sort((a, b) => (a < b ? -1 : 1))).deep.equals(ids.slice(1));
      const { nowMs } = member.env;
      const dues = found
        .filter((id) => !changed.includes(id))
        .map((id) => member.lessor.dueMs(id, nowMs));
      expect(dues).deep.equals([...dues].sort((a, b) => a - b));
    });

    it('lists all of them on a member that is not the leader', () => {
      const answer = call('LeaseLeases');
      member.env.settle();
      expect(listed(answer)).deep.equals(ids);
    });

    it('ends when the client goes', () => {
      const answer = call('LeaseLeases');
      member.env.turn();
      answer.cancel();
      member.env.settle();
      expect(answer.written.length).equals(0);
    });
  });

  describe('LeaseTimeToLive', () => {
    function ask(ID: bigint, keys = false): RecordedCall {
      const answer = call('LeaseTimeToLive', encodeLeaseTimeToLiveRequest({ ID, keys }));
      member.env.settle();
      return answer;
    }

    it('answers whole seconds left, the TTL, and the keys if asked', () => {
      member.lessor.grant(7n, 60);
      member.lessor.attach('k2', 7n);
      member.lessor.attach('k1', 7n);
      ask(7n);
      member.env.nowMs += 1500;
      const plain = decodeLeaseTimeToLiveResponse(ask(7n).written[0] ?? new Uint8Array());
      expect([plain.ID, plain.TTL, plain.grantedTTL, plain.keys.length]).deep.equals([
        7n,
        58,
        60,
        0,
      ]);
      expect(plain.header).deep.equals(member.roles.headers.fields());
      const full = decodeLeaseTimeToLiveResponse(ask(7n, true).written[0] ?? new Uint8Array());
      expect(full.keys.map((k) => Buffer.from(k).toString())).deep.equals(['k1', 'k2']);
    });

    it('answers many keys in order and over several turns, as they were when it was asked', () => {
      const keys = Array.from({ length: 3_000 }, (_, i) => `k${String((i * 7919) % 10_007)}`);
      member.lessor.grant(7n, 60);
      for (const key of keys) member.lessor.attach(key, 7n);
      member.env.msPerLook = 1;
      const answer = call('LeaseTimeToLive', encodeLeaseTimeToLiveRequest({ ID: 7n, keys: true }));
      member.env.turn();
      expect(answer.written.length).equals(0);
      member.lessor.detach('k0');
      member.env.settle();
      const full = decodeLeaseTimeToLiveResponse(answer.written[0] ?? new Uint8Array());
      expect([full.ID, full.TTL, full.grantedTTL]).deep.equals([7n, 60, 60]);
      expect(full.keys.map((k) => Buffer.from(k).toString())).deep.equals(keys.sort());
    });

    it('answers -1 for a lease that does not exist', () => {
      const answer = decodeLeaseTimeToLiveResponse(ask(8n).written[0] ?? new Uint8Array());
      expect([answer.ID, answer.TTL, answer.grantedTTL]).deep.equals([8n, -1, 0]);
    });

    it('F9: survives a change of leader', () => {
      member.lessor.grant(7n, 60);
      member.holdReads = true;
      const answer = call('LeaseTimeToLive', encodeLeaseTimeToLiveRequest({ ID: 7n }));
      member.env.settle();
      member.become('follower', 99n);
      member.heldReads.shift()?.(errors.leaderChanged);
      member.env.advance(100);
      expect(member.asked.map((a) => [a.to, a.kind])).deep.equals([
        [99n, PeerRequest.leaseTimeToLive],
      ]);
      askPeer(
        leaderWith(7n),
        PeerRequest.leaseTimeToLive,
        member.asked[0]?.body ?? new Uint8Array(),
        (e, b) => member.asked[0]?.done(e, b),
      );
      leader?.env.settle();
      const { TTL } = decodeLeaseTimeToLiveResponse(answer.written[0] ?? new Uint8Array());
      expect(TTL).equals(60);
    });
  });

  let leader: FakeMember | undefined;
  /** Another member that is leader and has the lease. */
  function leaderWith(id: bigint): FakeMember {
    leader = new FakeMember();
    leader.become('leader', 99n);
    leader.lessor.grant(id, 60);
    return leader;
  }

  describe('LeaseKeepAlive', () => {
    it('answers each request in order, with 0 for a lease that does not exist', () => {
      member.lessor.grant(1n, 10);
      member.lessor.grant(-2n, 20);
      const stream = call('LeaseKeepAlive');
      for (const id of [1n, 5n, -2n, 1n]) stream.send(keepAlive(id));
      member.env.settle();
      expect(answers(stream)).deep.equals([
        [1n, 10],
        [5n, 0],
        [-2n, 20],
        [1n, 10],
      ]);
      const { header } = decodeLeaseKeepAliveResponse(stream.written[0] ?? new Uint8Array());
      expect(header).deep.equals(member.roles.headers.fields());
      expect(stream.ended).equals(false);
      expect(member.readCount, 'one round for all of a turn').equals(1);
      expect(member.proposed.length).equals(0);
    });

    it('ends after its last answer when the client half-closes', () => {
      member.lessor.grant(1n, 10);
      const stream = call('LeaseKeepAlive', keepAlive(1n));
      stream.halfClose();
      expect(stream.ended).equals(false);
      member.env.settle();
      expect([stream.ended, stream.error, stream.written.length]).deep.equals([true, undefined, 1]);
    });

    it('F2: renews nothing before leadership is confirmed, nor after it is lost', () => {
      member.lessor.grant(1n, 10);
      member.lessor.hasExpired(member.env.nowMs);
      member.holdReads = true;
      const stream = call('LeaseKeepAlive', keepAlive(1n));
      member.env.nowMs += 5_000;
      member.env.settle();
      expect(stream.written.length).equals(0);
      expect(member.lessor.renewedTotal).equals(0);
      // Deposed while the round was under way: the answer comes from the new leader.
      member.become('follower', 99n);
      member.heldReads.shift()?.(null);
      member.env.advance(60);
      expect(member.lessor.renewedTotal).equals(0);
      const { ID } = { ID: 1n };
      member.asked[0]?.done(null, encodeLeaseKeepAliveResponse({ ID, TTL: 10 }));
      expect(answers(stream)).deep.equals([[1n, 10]]);
    });

    it('F7: waits for a grant that is committed but not applied', () => {
      member.holdReads = true;
      const stream = call('LeaseKeepAlive', keepAlive(1n));
      member.env.settle();
      member.lessor.grant(1n, 10);
      member.heldReads.shift()?.(null);
      member.env.settle();
      expect(answers(stream)).deep.equals([[1n, 10]]);
    });

    it('F8: answers 0, late, for a lease whose revocation is under way', () => {
      member.lessor.grant(1n, 2);
      member.lessor.hasExpired(member.env.nowMs);
      member.env.nowMs += 2_000;
      member.lessor.expired(member.env.nowMs, 10);
      const stream = call('LeaseKeepAlive', keepAlive(1n));
      member.env.advance(500);
      expect(stream.written.length).equals(0);
      member.lessor.revoke(1n);
      member.env.advance(60);
      expect(answers(stream)).deep.equals([[1n, 0]]);
    });

    it('fails when the revocation does not come within the request timeout', () => {
      member.lessor.grant(1n, 2);
      member.lessor.hasExpired(member.env.nowMs);
      const stream = call('LeaseKeepAlive');
      for (let waited = 0; waited < 9_000; waited += 500) {
        member.env.advance(500);
        if (waited === 2_500) {
          member.lessor.expired(member.env.nowMs, 10);
          stream.send(keepAlive(1n));
        } else member.lessor.expired(member.env.nowMs, 0);
      }
      member.env.advance(3_000);
      expect(stream.error).equals(errors.timeout);
    });

    it('fails after a second if apply lags behind the commit index', () => {
      member.holdReads = true;
      member.committedIndex = 12;
      const stream = call('LeaseKeepAlive', keepAlive(1n));
      member.env.advance(1_100);
      expect(stream.error).equals(errors.timeoutApplied);
    });

    it('F3: clears a checkpoint through the log before it renews', () => {
      member.lessor.grant(1n, 1_000);
      member.lessor.checkpoint(1n, 400);
      const stream = call('LeaseKeepAlive', keepAlive(1n));
      member.env.settle();
      expect(stream.written.length).equals(0);
      const [proposal] = member.proposed;
      expect(proposal?.kind).equals(CommandKind.leaseCheckpoint);
      expect(decodeLeaseCheckpointRequest(proposal?.request ?? new Uint8Array())).deep.equals({
        checkpoints: [{ ID: 1n, remainingTTL: 0 }],
      });
      member.lessor.checkpoint(1n, 0);
      proposal?.done(null, new Uint8Array());
      member.env.settle();
      expect(answers(stream)).deep.equals([[1n, 1_000]]);
    });

    it('asks the leader on another member, again if it has to, in order', () => {
      member.become('follower', 99n);
      const stream = call('LeaseKeepAlive');
      stream.send(keepAlive(1n));
      stream.send(keepAlive(2n));
      const [first, second] = member.asked;
      second?.done(null, encodeLeaseKeepAliveResponse({ ID: 2n, TTL: 20 }));
      expect(stream.written.length).equals(0);
      first?.done(new Error('connection lost'), null);
      member.leaderId = 98n;
      member.env.advance(60);
      expect(member.asked[2]?.to).equals(98n);
      member.asked[2]?.done(null, encodeLeaseKeepAliveResponse({ ID: 1n, TTL: 10 }));
      expect(answers(stream)).deep.equals([
        [1n, 10],
        [2n, 20],
      ]);
    });

    it('ends with the reason when no leader answers in time', () => {
      member.become('follower', 0n);
      const leaderless = call('LeaseKeepAlive', keepAlive(1n));
      member.env.advance(7_100);
      expect(leaderless.error).equals(errors.noLeader);
      member.leaderId = 99n;
      member.onAsk = ({ done }) => done(new Error(errors.timeoutApplied.message), null);
      const late = call('LeaseKeepAlive', keepAlive(1n));
      member.env.advance(7_100);
      expect(late.error).equals(errors.timeoutApplied);
      member.onAsk = ({ done }) => done(new Error('reset'), null);
      const silent = call('LeaseKeepAlive', keepAlive(1n));
      member.env.advance(7_100);
      expect(silent.error).equals(errors.timeout);
    });

    it('reads no more requests while answers are outstanding or not taken', () => {
      member.holdReads = true;
      const stream = call('LeaseKeepAlive');
      for (let i = 0; i < 256; i++) stream.send(keepAlive(1n));
      expect(stream.isHeldUp).equals(true);
      member.env.settle();
      stream.pause();
      member.heldReads.shift()?.(null);
      member.env.settle();
      expect(stream.written.length).equals(0);
      expect(stream.isHeldUp).equals(true);
      stream.resume();
      expect(stream.written.length).equals(256);
      expect(stream.isHeldUp).equals(false);
    });

    it('ends at a malformed request and without a required leader', () => {
      const broken = call('LeaseKeepAlive', Uint8Array.of(0x08));
      expect(broken.error?.code).equals(13);
      const required = call('LeaseKeepAlive', undefined, { hasleader: 'true' });
      member.leaderlessSinceMs = member.env.nowMs;
      member.env.advance(4_000);
      expect(required.error).equals(errors.noLeader);
    });
  });

  describe('questions from other members', () => {
    function ask(kind: typeof PeerRequest.leaseKeepAlive, body: Uint8Array): unknown[] {
      const replies: unknown[] = [];
      askPeer(member, kind, body, (error, reply) => replies.push(error ?? reply));
      member.env.settle();
      return replies;
    }

    it('are answered by the leader without a header', () => {
      member.lessor.grant(1n, 10);
      const [reply] = ask(PeerRequest.leaseKeepAlive, keepAlive(1n));
      const decoded = decodeLeaseKeepAliveResponse(reply as Uint8Array);
      expect([decoded.header, decoded.ID, decoded.TTL]).deep.equals([undefined, 1n, 10]);
    });

    it('are refused by any other member, and when malformed', () => {
      expect(ask(PeerRequest.leaseKeepAlive, Uint8Array.of(0x08))[0]).instanceOf(Error);
      member.become('follower', 99n);
      expect(ask(PeerRequest.leaseKeepAlive, keepAlive(1n))).deep.equals([errors.notPrimaryLessor]);
    });
  });
});
