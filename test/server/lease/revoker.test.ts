import { expect } from 'chai';
import { decodeLeaseCheckpointRequest } from '../../../src/gen/rpc.js';
import { errors } from '../../../src/server/contract/errors.js';
import { decodeLeaseExpiry } from '../../../src/server/contract/lease-expiry.js';
import { LeaseRevoker } from '../../../src/server/lease/revoker.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import type { Proposed } from '../../support/fake-member.js';
import { FakeMember } from '../../support/fake-member.js';

const idOf = (proposal: Proposed): bigint => decodeLeaseExpiry(proposal.request).id;

describe('LeaseRevoker', () => {
  let member: FakeMember;
  let revoker: LeaseRevoker;

  function begin(checkpoint = false): void {
    member = new FakeMember();
    revoker = new LeaseRevoker(member.roles, { checkpoint });
    member.become('leader', 11n);
    revoker.start();
  }

  beforeEach(() => begin());

  /** Applies revocations as soon as they are proposed. */
  function applyAtOnce(): void {
    member.onPropose = (proposal) => {
      member.lessor.revoke(idOf(proposal));
      proposal.done(null, new Uint8Array());
    };
  }

  it('proposes the revocation of a lease within a second after its TTL, and not before', () => {
    member.lessor.grant(1n, 2);
    applyAtOnce();
    member.env.advance(2_000);
    expect(member.proposed.length).equals(0);
    member.env.advance(1_000);
    expect(member.proposed.map((p) => [p.kind, idOf(p)])).deep.equals([
      [CommandKind.leaseExpire, 1n],
    ]);
    member.env.advance(60_000);
    expect(member.proposed.length).equals(1);
    expect(revoker.expiredTotal).equals(1);
  });

  it('has at most 16 in flight and takes up at most 1000 a second', () => {
    for (let id = 1n; id <= 3_000n; id++) member.lessor.grant(id, 2);
    member.env.advance(3_000);
    expect(member.proposed.length).equals(16);
    applyAtOnce();
    for (const proposal of [...member.proposed]) {
      member.lessor.revoke(idOf(proposal));
      proposal.done(null, new Uint8Array());
    }
    const left = member.lessor.size;
    expect(left).within(2_400, 2_500);
    member.env.advance(1_000);
    expect(member.lessor.size).equals(left - 1_000);
    member.env.advance(2_000);
    expect(member.lessor.size).equals(0);
    expect(new Set(member.proposed.map(idOf)).size).equals(3_000);
  });

  describe('after promotion', () => {
    const COUNT = 4_000;

    /** Grants before the member leads; each look at the clock then takes a millisecond. */
    function grantMany(): void {
      member.become('follower', 99n);
      for (let id = 1n; id <= COUNT; id++) member.lessor.grant(id, 2);
      applyAtOnce();
      member.env.msPerLook = 1;
    }

    /**
     * Calls back before the nth part of the leases gets its place, and returns the number of parts.
     */
    function watchPlacing(n: number, callback: () => void): () => number {
      const { lessor } = member;
      const placeSome = lessor.placeSome.bind(lessor);
      let parts = 0;
      lessor.placeSome = (nowMs, max) => {
        if (++parts === n) callback();
        return placeSome(nowMs, max);
      };
      return () => parts;
    }

    it('gives leases their time over several turns, and then ends them all', () => {
      grantMany();
      const partsOf = watchPlacing(8, () => {
        expect(member.env.clock.monoMs(), 'in the first check').below(beganMs + 1_000);
        // One that found its place is renewed while others still have none.
        expect(member.lessor.renew(1n, member.env.nowMs)).equals(2);
      });
      const beganMs = member.env.nowMs;
      member.become('leader', 11n);
      member.env.advance(500);
      expect(partsOf()).greaterThan(COUNT / 300);
      expect(member.lessor.hasExpired(beganMs + 2_000)).equals(false);
      member.env.advance(20_000);
      expect(member.lessor.size).equals(0);
      expect(revoker.expiredTotal).equals(COUNT);
    });

    it('leaves off when the member no longer leads, and begins anew when it does', () => {
      grantMany();
      const partsOf = watchPlacing(4, () => {
        member.become('follower', 99n);
      });
      member.become('leader', 11n);
      member.env.advance(5_000);
      expect(partsOf()).equals(4);
      expect(member.proposed.length).equals(0);
      const againMs = member.env.nowMs;
      member.become('leader', 11n);
      member.onPropose = (proposal) => {
        expect(member.env.nowMs).least(againMs + 3_000);
        member.lessor.revoke(idOf(proposal));
        proposal.done(null, new Uint8Array());
      };
      member.env.advance(25_000);
      expect(member.lessor.size).equals(0);
    });
  });

  it('F10: proposes a failed revocation again', () => {
    member.lessor.grant(1n, 2);
    member.onPropose = (proposal) => proposal.done(errors.tooManyRequests, null);
    member.env.advance(4_000);
    const failed = member.proposed.length;
    expect(failed).greaterThan(1);
    applyAtOnce();
    member.env.advance(1_000);
    expect(member.lessor.exists(1n)).equals(false);
  });

  it('F1: takes up nothing while leadership is not confirmed', () => {
    member.lessor.grant(1n, 2);
    member.holdReads = true;
    member.env.advance(5_000);
    expect(member.heldReads.length).equals(1);
    expect(member.proposed.length).equals(0);
    member.heldReads.shift()?.(errors.timeout);
    member.env.advance(500);
    member.become('follower', 99n);
    member.heldReads.shift()?.(null);
    member.env.advance(5_000);
    expect([member.proposed.length, member.heldReads.length]).deep.equals([0, 0]);
  });

  it('F1: takes up nothing on a confirmation of another term', () => {
    member.lessor.grant(1n, 2);
    member.holdReads = true;
    member.env.advance(3_000);
    member.term = 4;
    member.heldReads.shift()?.(null);
    expect(member.proposed.length).equals(0);
    member.env.advance(500);
    member.heldReads.shift()?.(null);
    expect(member.proposed.length).equals(1);
  });

  it('F1: drops leases it took up when the term changes, even if it is leader again', () => {
    for (let id = 1n; id <= 40n; id++) member.lessor.grant(id, 2);
    member.env.advance(3_000);
    expect(member.proposed.length).equals(16);
    member.become('follower', 99n);
    member.term = 4;
    member.become('leader', 11n);
    for (const proposal of [...member.proposed]) proposal.done(errors.timeout, null);
    member.env.advance(1_500);
    expect(member.proposed.length, 'every lease got its full time again').equals(16);
  });

  it('F15, R27: after a long stall keepalives come before expiry', () => {
    member.lessor.grant(1n, 3);
    member.lessor.grant(2n, 3);
    member.env.advance(1_000);
    applyAtOnce();
    // The process is stopped for four seconds; then the late timer runs before anything else.
    member.env.nowMs += 4_000;
    member.env.advance(0);
    expect(member.proposed.length).equals(0);
    expect(member.lessor.renew(1n, member.env.nowMs)).equals(3);
    member.env.advance(600);
    expect(member.proposed.map(idOf)).deep.equals([2n]);
  });

  it('does nothing as a follower and after stop', () => {
    member.lessor.grant(1n, 2);
    member.become('follower', 99n);
    member.env.advance(10_000);
    member.become('leader', 11n);
    revoker.stop();
    member.env.advance(10_000);
    expect(member.proposed.length).equals(0);
    expect(member.env.timerCount).equals(0);
  });

  it('logs the remaining time of long leases every five minutes, if switched on', () => {
    begin(true);
    member.lessor.grant(1n, 1_000);
    member.lessor.grant(2n, 200);
    member.lessor.hasExpired(member.env.nowMs);
    member.lessor.renew(2n, member.env.nowMs + 200_000);
    member.env.advance(302_000);
    const [checkpoint] = member.proposed.filter((p) => p.kind === CommandKind.leaseCheckpoint);
    const { checkpoints } = decodeLeaseCheckpointRequest(checkpoint?.request ?? new Uint8Array());
    expect(checkpoints.map((c) => c.ID)).deep.equals([1n]);
    expect(checkpoints[0]?.remainingTTL).within(698, 700);
  });
});
