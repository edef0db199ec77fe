import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_LEASE_TTL_SEC } from '../../src/lease/limits.js';
import { Lessor } from '../../src/lease/lessor.js';
import { LeaseQueue, Places } from '../../src/lease/queue.js';
import type { Key } from '../../src/base/collections/interval.js';
import type { LeaseId } from '../../src/mvcc/types.js';
import { randomOf, seedOfRun } from '../watch/fakes.js';

const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;

function leader(minTtlSec = 2): Lessor {
  const lessor = new Lessor({ minTtlSec });
  lessor.promote(0, 0);
  return lessor;
}

/** Gives all leases their place after promotion. */
function placeAll(lessor: Lessor, nowMs: number): void {
  while (!lessor.placeSome(nowMs, 7));
}

function sorted(ids: readonly LeaseId[]): LeaseId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : 1));
}

describe('Lessor, applied state', () => {
  it('F6: handles every id but 0, and keeps it through its stored form', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: MIN_INT64, max: MAX_INT64 }), (id) => {
        const lessor = new Lessor({ minTtlSec: 1 });
        if (id === 0n) {
          expect(lessor.grant(id, 10)).equals('lease-not-found');
          return;
        }
        expect(lessor.grant(id, 10)).equals(10);
        lessor.checkpoint(id, 4);
        const other = new Lessor({ minTtlSec: 1 });
        other.loadRow(lessor.row(id));
        expect(other.exists(id)).equals(true);
        expect([...other.leases()]).deep.equals([id]);
        expect(other.row(id)).deep.equals(lessor.row(id));
        expect(other.revoke(id)).deep.equals([]);
      }),
      { examples: [[0n], [MIN_INT64], [MAX_INT64], [-1n]] },
    );
  });

  it('F11: refuses a TTL above the greatest and keeps the greatest from overflowing', () => {
    const lessor = leader();
    expect(lessor.grant(1n, MAX_LEASE_TTL_SEC + 1)).equals('lease-ttl-too-large');
    expect(lessor.grant(1n, MAX_LEASE_TTL_SEC)).equals(MAX_LEASE_TTL_SEC);
    expect(lessor.timeToLive(1n, 500)?.remainingSec).equals(MAX_LEASE_TTL_SEC);
    expect(lessor.expired(1e12, 10)).deep.equals([]);
    expect(lessor.grant(2n, -5)).equals(1);
  });

  it('refuses an id in use and an unknown one', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    lessor.grant(1n, 10);
    expect(lessor.grant(1n, 20)).equals('lease-exists');
    expect(lessor.revoke(2n)).equals('lease-not-found');
    expect(lessor.attach('k', 2n)).equals(false);
    expect(lessor.checkpoint(2n, 1)).equals(false);
    expect(lessor.keysOf(2n)).deep.equals([]);
    expect(lessor.leaseOf('k')).equals(0n);
  });

  it('does not depend on who is leader', () => {
    const seed = seedOfRun();
    const random = randomOf(seed);
    const lessors = [new Lessor({ minTtlSec: 1 }), leader(5), new Lessor({ minTtlSec: 9 })];
    for (let step = 0; step < 2000; step++) {
      const id = BigInt(Math.floor(random() * 20));
      const key = `k${Math.floor(random() * 30)}`;
      const ttl = Math.floor(random() * 10);
      const kind = Math.floor(random() * 5);
      const results = lessors.map((lessor) => {
        if (kind === 0) return lessor.grant(id, ttl);
        if (kind === 1) return random() < 0.2 ? lessor.size : lessor.keysOf(id).length;
        if (kind === 2) return lessor.attach(key, id);
        if (kind === 3) return lessor.detach(key);
        return ttl < 3 ? lessor.revoke(id) : lessor.checkpoint(id, ttl);
      });
      if (kind !== 1) expect(results[1], `SEED=${seed}`).deep.equals(results[0]);
      if (kind !== 1) expect(results[2], `SEED=${seed}`).deep.equals(results[0]);
    }
    for (const lessor of lessors) {
      for (let id = 0n; id < 20n; id++) {
        expect(lessor.keysOf(id).sort()).deep.equals(lessors[0]?.keysOf(id).sort());
        if (lessor.exists(id)) expect(lessor.row(id)).deep.equals(lessors[0]?.row(id));
      }
    }
  });

  it('forgets everything before a snapshot is loaded', () => {
    const lessor = leader();
    lessor.grant(1n, 10);
    lessor.attach('k', 1n);
    lessor.clear();
    expect([lessor.size, lessor.leaseOf('k'), lessor.isPrimary]).deep.equals([0, 0n, true]);
    lessor.load(1n, 10, 0);
    expect(lessor.keysOf(1n)).deep.equals([]);
    expect(lessor.expired(11_000, 10)).deep.equals([]);
    expect(lessor.expired(21_000, 10)).deep.equals([1n]);
  });
});

interface ModelLease {
  readonly ttlSec: number;
  readonly keys: Set<Key>;
  dueMs: number;
  revoking: boolean;
}

describe('Lessor against a model', () => {
  const seed = seedOfRun();

  it(`agrees about keys, expiry and remaining time (SEED=${seed})`, () => {
    const random = randomOf(seed);
    const below = (n: number): number => Math.floor(random() * n);
    for (let run = 0; run < 30; run++) {
      const lessor = new Lessor({ minTtlSec: 1 });
      const model = new Map<LeaseId, ModelLease>();
      let nowMs = 0;
      let primary = false;
      for (let step = 0; step < 600; step++) {
        nowMs += below(700);
        const id = BigInt(below(12)) - 6n;
        const lease = model.get(id);
        const key = `k${below(20)}`;
        switch (below(9)) {
          case 0:
          case 1: {
            const ttlSec = 1 + below(8);
            const granted = lessor.grant(id, ttlSec);
            if (id === 0n) expect(granted).equals('lease-not-found');
            else if (lease !== undefined) expect(granted).equals('lease-exists');
            else {
              expect(granted).equals(ttlSec);
              const dueMs = primary ? nowMs + ttlSec * 1000 : Infinity;
              model.set(id, { ttlSec, keys: new Set(), dueMs, revoking: false });
              // The model's time starts now, the lessor's at the next call with the time.
              lessor.timeToLive(id, nowMs);
            }
            break;
          }
          case 2: {
            const keys = lessor.revoke(id);
            expect(keys).deep.equals(
              lease === undefined ? 'lease-not-found' : [...lease.keys].sort(),
            );
            model.delete(id);
            break;
          }
          case 3:
            expect(lessor.attach(key, id)).equals(lease !== undefined);
            if (lease !== undefined) {
              for (const other of model.values()) other.keys.delete(key);
              lease.keys.add(key);
            }
            break;
          case 4:
            lessor.detach(key);
            for (const other of model.values()) other.keys.delete(key);
            break;
          case 5:
            if (below(8) === 0) {
              primary = !primary;
              if (primary) lessor.promote(nowMs, 1000);
              else lessor.demote();
              for (const l of model.values()) {
                l.dueMs = primary ? nowMs + 1000 + l.ttlSec * 1000 : Infinity;
                l.revoking = false;
              }
            }
            break;
          case 6: {
            const renewal = lessor.renew(id, nowMs);
            if (!primary) expect(renewal).equals('not-primary');
            else if (lease === undefined) expect(renewal).equals(0);
            else if (lease.revoking) expect(renewal).equals('expired-pending');
            else {
              expect(renewal).equals(lease.ttlSec);
              lease.dueMs = nowMs + lease.ttlSec * 1000;
            }
            break;
          }
          case 7: {
            const isComplete = lessor.placeSome(nowMs, below(6));
            const max = 1 + below(4);
            const hadExpired = lessor.hasExpired(nowMs);
            const ids = lessor.expired(nowMs, max);
            expect(hadExpired).equals(ids.length > 0);
            const due = [...model.values()].filter((l) => l.dueMs <= nowMs);
            if (isComplete) expect(ids.length).equals(Math.min(max, due.length));
            for (const expiredId of ids) {
              const l = model.get(expiredId);
              if (l === undefined || l.dueMs > nowMs) throw new Error('expired too early');
              l.revoking = true;
              l.dueMs = nowMs + 10_000;
              if (below(3) === 0) {
                lessor.revokeFailed(expiredId, nowMs);
                l.dueMs = nowMs;
              }
            }
            break;
          }
          default: {
            const time = lessor.timeToLive(id, nowMs);
            if (lease === undefined) expect(time).equals(undefined);
            else {
              let remainingSec = Math.max(0, Math.floor((lease.dueMs - nowMs) / 1000));
              if (lease.revoking) remainingSec = 0;
              if (!primary) remainingSec = lease.ttlSec;
              expect(time).deep.equals({ grantedSec: lease.ttlSec, remainingSec });
            }
          }
        }
        expect(lessor.size).equals(model.size);
        for (const k of lease?.keys ?? []) {
          expect(lessor.leaseOf(k)).equals(model.has(id) ? id : 0n);
        }
        expect(sorted([...lessor.leases()])).deep.equals(sorted([...model.keys()]));
        // It gives leases their place, so not at every step.
        if (below(10) === 0) {
          for (const [leaseId, { dueMs }] of model) {
            expect(lessor.dueMs(leaseId, nowMs)).equals(dueMs);
          }
        }
      }
    }
  });
});

describe('Lessor, expiry on the leader', () => {
  it('expires nothing before promotion and after demotion (F1)', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    lessor.grant(1n, 2);
    expect(lessor.expired(1e9, 10)).deep.equals([]);
    lessor.promote(0, 0);
    lessor.demote();
    expect(lessor.expired(1e9, 10)).deep.equals([]);
    expect(lessor.renew(1n, 0)).equals('not-primary');
  });

  it('never expires before the TTL counted from the grant or the last renewal', () => {
    const lessor = leader();
    lessor.grant(1n, 5);
    expect(lessor.expired(100, 10)).deep.equals([]);
    expect(lessor.expired(5_099, 10)).deep.equals([]);
    expect(lessor.renew(1n, 5_099)).equals(5);
    expect(lessor.expired(10_098, 10)).deep.equals([]);
    expect(lessor.expired(10_099, 10)).deep.equals([1n]);
  });

  it('F10: hands out an expired lease again, at once after a failure and after a while in any case', () => {
    const lessor = leader();
    lessor.grant(1n, 2);
    lessor.expired(0, 10);
    expect(lessor.expired(2_000, 10)).deep.equals([1n]);
    expect(lessor.expired(2_500, 10)).deep.equals([]);
    lessor.revokeFailed(1n, 2_600);
    expect(lessor.expired(3_000, 10)).deep.equals([1n]);
    expect(lessor.expired(12_999, 10)).deep.equals([]);
    expect(lessor.expired(13_000, 10)).deep.equals([1n]);
    lessor.revoke(1n);
    lessor.revokeFailed(1n, 13_000);
    expect(lessor.expired(1e9, 10)).deep.equals([]);
  });

  it('F8: does not renew a lease whose revocation is under way', () => {
    const lessor = leader();
    lessor.grant(1n, 2);
    lessor.hasExpired(0);
    lessor.expired(2_000, 10);
    expect(lessor.renew(1n, 2_001)).equals('expired-pending');
    expect(lessor.timeToLive(1n, 2_001)).deep.equals({ grantedSec: 2, remainingSec: 0 });
    lessor.revoke(1n);
    expect(lessor.renew(1n, 2_002)).equals(0);
  });

  it('F15: renews a lease past its time as long as it was not taken up', () => {
    const lessor = leader();
    lessor.grant(1n, 2);
    lessor.hasExpired(0);
    expect(lessor.renew(1n, 7_000)).equals(2);
    expect(lessor.expired(7_000, 10)).deep.equals([]);
  });

  it('gives every lease its full time and the extension on promotion', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    lessor.grant(1n, 10);
    lessor.promote(50_000, 1_500);
    placeAll(lessor, 50_000);
    expect(lessor.expired(61_499, 10)).deep.equals([]);
    expect(lessor.expired(61_500, 10)).deep.equals([1n]);
  });

  it('F3: starts from a checkpoint on promotion, and a renewal must clear it first', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    lessor.keepCheckpoints();
    lessor.promote(0, 0);
    lessor.grant(1n, 1_000);
    lessor.grant(2n, 300);
    expect(lessor.dueCheckpoints(0, 10)).deep.equals([]);
    expect(lessor.dueCheckpoints(299_999, 10)).deep.equals([]);
    expect(lessor.dueCheckpoints(300_000, 10)).deep.equals([{ id: 1n, remainingSec: 700 }]);
    // Handed out and perhaps already in the log: a renewal cannot ignore it.
    expect(lessor.hasCheckpoint(1n)).equals(true);
    expect(lessor.dueCheckpoints(300_000, 10)).deep.equals([]);
    lessor.checkpoint(1n, 700);
    expect(lessor.dueCheckpoints(600_000, 10)).deep.equals([{ id: 1n, remainingSec: 400 }]);
    lessor.promote(700_000, 0);
    expect(lessor.timeToLive(1n, 700_000)?.remainingSec).equals(700);
    lessor.checkpoint(1n, 0);
    expect(lessor.hasCheckpoint(1n)).equals(false);
    lessor.promote(800_000, 0);
    expect(lessor.timeToLive(1n, 800_000)?.remainingSec).equals(1_000);
  });

  it('hands out at most the asked number of checkpoints and skips leases that are gone', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    lessor.keepCheckpoints();
    lessor.promote(0, 0);
    for (let id = 1n; id <= 10n; id++) lessor.grant(id, 900);
    lessor.hasExpired(0);
    lessor.revoke(2n);
    const due = [...lessor.dueCheckpoints(300_000, 4), ...lessor.dueCheckpoints(300_000, 100)];
    expect(due.map((c) => c.id)).deep.equals([1n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n]);
  });

  it('looks at no more leases than asked for when none needs a checkpoint', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    lessor.keepCheckpoints();
    lessor.promote(0, 0);
    for (let id = 1n; id <= 10n; id++) lessor.grant(id, 900);
    lessor.hasExpired(0);
    for (let id = 1n; id <= 4n; id++) lessor.renew(id, 300_000);
    expect(lessor.dueCheckpoints(300_000, 4)).deep.equals([]);
    expect(lessor.dueCheckpoints(300_000, 4).map((c) => c.id)).deep.equals([5n, 6n, 7n, 8n]);
  });

  it('F4: spreads leases that would expire in one second after promotion, none to an earlier time', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    for (let i = 1; i <= 5_000; i++) lessor.grant(BigInt(i), i <= 4_500 ? 10 : 12);
    lessor.promote(0, 0);
    placeAll(lessor, 0);
    const perSecond: number[] = [];
    for (let sec = 0; sec <= 20; sec++) perSecond.push(lessor.expired(sec * 1000, 1e6).length);
    expect(perSecond.slice(0, 10).every((n) => n === 0)).equals(true);
    expect(perSecond.slice(10, 16)).deep.equals([1000, 1000, 1000, 1000, 1000, 0]);
  });

  it('holds 100,000 leases: a check looks at what is due, not at all of them', () => {
    const lessor = leader();
    const count = 100_000;
    for (let i = 1; i <= count; i++) {
      lessor.grant(BigInt(i), 60);
      if (i % 1000 === 0) lessor.hasExpired(i / 100);
    }
    for (let i = 1; i <= count; i++) lessor.renew(BigInt(i), 2_000 + i / 100);
    for (let check = 0; check < 1000; check++)
      expect(lessor.hasExpired(2_000 + check)).equals(false);
    let revoked = 0;
    for (let nowMs = 63_000; revoked < count; nowMs += 500) {
      for (const id of lessor.expired(nowMs, 500)) {
        expect(lessor.revoke(id)).deep.equals([]);
        revoked++;
      }
    }
    expect(lessor.size).equals(0);
  });
});

/** A lease in the model; `sec` is its time at promotion. */
interface PlannedLease {
  readonly id: LeaseId;
  readonly ttlSec: number;
  sec: number;
  isAlive: boolean;
  /** Undefined while the lease has no place. */
  dueMs: number | undefined;
  isRevoking: boolean;
  /** Granted, and no call with the time since. */
  isFresh: boolean;
}

/**
 * The rule of promotion: one lease after the other takes the first of 1000 places a second that is
 * free.
 */
class PromotionModel {
  readonly leases: PlannedLease[] = [];
  private startMs = 0;
  private taken = new Map<number, number>();
  private next = 0;
  private isDone = true;

  promote(startMs: number): void {
    this.startMs = startMs;
    this.taken = new Map();
    this.next = 0;
    this.isDone = false;
    for (const lease of this.leases) {
      lease.dueMs = undefined;
      lease.isRevoking = false;
      lease.isFresh = false;
    }
  }

  grant(id: LeaseId, ttlSec: number, isFresh: boolean): void {
    const lease = { id, ttlSec, sec: ttlSec, isAlive: true, dueMs: undefined, isRevoking: false };
    this.leases.push({ ...lease, isFresh });
  }

  adopt(nowMs: number): void {
    for (const lease of this.leases) {
      if (lease.isFresh) lease.dueMs = nowMs + lease.sec * 1000;
      lease.isFresh = false;
    }
  }

  place(lease: PlannedLease): number {
    if (lease.dueMs !== undefined) return lease.dueMs;
    let { sec } = lease;
    while (this.taken.get(sec) === 1000) sec++;
    this.taken.set(sec, (this.taken.get(sec) ?? 0) + 1);
    return (lease.dueMs = this.startMs + sec * 1000);
  }

  placeSome(max: number): boolean {
    for (let i = 0; i < max && !this.isDone; i++) {
      while (this.leases[this.next]?.isAlive === false) this.next++;
      const lease = this.leases[this.next++];
      if (lease === undefined) this.isDone = true;
      else if (!lease.isFresh) this.place(lease);
    }
    return this.isDone;
  }

  get alive(): PlannedLease[] {
    return this.leases.filter((lease) => lease.isAlive);
  }
}

describe('Lessor, promotion under way', () => {
  const seed = seedOfRun();

  it('leaves leases alone that have no place yet', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    for (let id = 1n; id <= 100n; id++) lessor.grant(id, 10);
    lessor.promote(0, 0);
    expect(lessor.hasExpired(1e9)).equals(false);
    expect(lessor.placeSome(0, 60)).equals(false);
    expect(lessor.expired(1e9, 1000).length).equals(60);
    expect(lessor.placeSome(1e9, 60)).equals(true);
    expect(lessor.expired(1e9, 1000).length).equals(40);
    expect(lessor.placeSome(1e9, 60)).equals(true);
  });

  it(`ends as if it had been done at once, beside any calls (SEED=${seed})`, () => {
    const random = randomOf(seed);
    const below = (n: number): number => Math.floor(random() * n);
    for (let run = 0; run < 12; run++) {
      const lessor = new Lessor({ minTtlSec: 1 });
      const model = new PromotionModel();
      let nowMs = below(5000);
      let nextId = 1n;
      const handedOut: LeaseId[] = [];
      const grant = (isFresh: boolean): void => {
        const id = nextId++;
        const ttlSec = 1 + below(3);
        lessor.grant(id, ttlSec);
        model.grant(id, ttlSec, isFresh);
      };
      for (let i = 0; i < 1500 + below(3000); i++) grant(false);
      const promote = (): void => {
        const extendMs = below(2) * 1500;
        lessor.promote(nowMs, extendMs);
        model.promote(nowMs + extendMs);
      };
      promote();
      for (let step = 0; step < 400; step++) {
        nowMs += below(20);
        const lease = model.leases[below(model.leases.length)] as PlannedLease;
        const { id, ttlSec } = lease;
        switch (below(10)) {
          case 0:
            grant(true);
            break;
          case 1:
            expect(lessor.revoke(id)).deep.equals(lease.isAlive ? [] : 'lease-not-found');
            lease.isAlive = false;
            break;
          case 2: {
            const renewal = lessor.renew(id, nowMs);
            model.adopt(nowMs);
            if (!lease.isAlive) expect(renewal).equals(0);
            else if (lease.isRevoking) expect(renewal).equals('expired-pending');
            else {
              expect(renewal).equals(ttlSec);
              lease.dueMs = nowMs + ttlSec * 1000;
            }
            break;
          }
          case 3: {
            const remainingSec = lessor.timeToLive(id, nowMs)?.remainingSec;
            model.adopt(nowMs);
            const leftMs = lease.isAlive ? model.place(lease) - nowMs : NaN;
            const leftSec = lease.isRevoking ? 0 : Math.max(0, Math.floor(leftMs / 1000));
            expect(remainingSec).equals(lease.isAlive ? leftSec : undefined);
            break;
          }
          case 4:
            if (!lease.isAlive) break;
            lease.sec = 1 + below(ttlSec);
            lessor.checkpoint(id, lease.sec);
            break;
          case 5: {
            const ids = lessor.expired(nowMs, 3);
            model.adopt(nowMs);
            for (const expiredId of ids) {
              handedOut.push(expiredId);
              const expired = model.leases[Number(expiredId) - 1];
              expect(expired?.isAlive).equals(true);
              expect(expired?.dueMs, 'has a place').satisfies((dueMs: number) => dueMs <= nowMs);
              if (expired === undefined) break;
              expired.isRevoking = true;
              expired.dueMs = nowMs + 10_000;
            }
            break;
          }
          case 6:
            if (below(20) !== 0) break;
            lessor.demote();
            expect(lessor.expired(nowMs + 1e9, 10)).deep.equals([]);
            grant(false);
            nowMs += below(3000);
            promote();
            break;
          case 7: {
            // Perhaps handed out before this member lost and regained leadership.
            const failedId = handedOut[below(handedOut.length)];
            if (failedId === undefined) break;
            lessor.revokeFailed(failedId, nowMs);
            const failed = model.leases[Number(failedId) - 1];
            if (failed?.isRevoking === true) failed.dueMs = nowMs;
            break;
          }
          default: {
            const max = below(40);
            expect(lessor.placeSome(nowMs, max)).equals(model.placeSome(max));
          }
        }
      }
      while (!model.placeSome(64)) expect(lessor.placeSome(nowMs, 64)).equals(false);
      expect(lessor.placeSome(nowMs, 64)).equals(true);
      expect(lessor.size).equals(model.alive.length);
      lessor.adopt(nowMs);
      model.adopt(nowMs);
      for (const { id, dueMs } of model.alive) expect(lessor.dueMs(id, nowMs)).equals(dueMs);
      const left = new Set(model.alive);
      for (; left.size > 0; nowMs += 500) {
        const due = [...left].filter((lease) => (lease.dueMs ?? NaN) <= nowMs);
        expect(sorted(lessor.expired(nowMs, 1e6))).deep.equals(sorted(due.map(({ id }) => id)));
        for (const lease of due) {
          left.delete(lease);
          lessor.revoke(lease.id);
        }
      }
    }
  });

  it('is over when a snapshot takes the place of all leases', () => {
    const lessor = new Lessor({ minTtlSec: 1 });
    for (let id = 1n; id <= 100n; id++) lessor.grant(id, 10);
    lessor.promote(0, 0);
    lessor.placeSome(0, 50);
    lessor.clear();
    for (let id = 1n; id <= 100n; id++) lessor.load(id, 10, 0);
    expect(lessor.placeSome(5_000, 10)).equals(true);
    expect(lessor.expired(14_999, 1000)).deep.equals([]);
    expect(lessor.expired(24_999, 1000).length).equals(100);
  });
});

describe('LeaseQueue', () => {
  const due = fc.oneof(fc.nat(50), fc.constantFrom(2 ** 33 + 7, MAX_LEASE_TTL_SEC * 1000));

  it('is ordered after any puts, moves and removals', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(15), due, fc.boolean())), (steps) => {
        const items = Array.from({ length: 16 }, () => ({ dueMs: 0, queueIndex: -1 }));
        const queue = new LeaseQueue<(typeof items)[number]>();
        for (const [index, dueMs, isPut] of steps) {
          const item = items[index];
          if (item === undefined) continue;
          if (isPut) queue.put(item, dueMs);
          else queue.remove(item);
          const queued = items.filter((i) => i.queueIndex >= 0);
          expect(queue.size).equals(queued.length);
          const first = Math.min(...queued.map((i) => i.dueMs));
          expect(queue.first?.dueMs ?? Infinity).equals(first);
        }
        const queued = items.filter((i) => i.queueIndex >= 0).map((i) => i.dueMs);
        const dues: number[] = [];
        for (let first = queue.first; first !== undefined; first = queue.first) {
          dues.push(first.dueMs);
          queue.remove(first);
        }
        expect(dues).deep.equals(queued.sort((a, b) => a - b));
      }),
    );
  });
});

describe('Places', () => {
  it('gives the first second that has room', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.array(fc.nat(12)), (perSec, asked) => {
        const places = new Places(perSec);
        const taken = new Map<number, number>();
        for (const sec of asked) {
          let free = sec;
          while (taken.get(free) === perSec) free++;
          taken.set(free, (taken.get(free) ?? 0) + 1);
          expect(places.take(sec)).equals(free);
        }
      }),
    );
  });
});
