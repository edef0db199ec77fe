import { decodeLease, encodeLease } from '../gen/lease.js';
import { invariant, verification } from '../base/invariant.js';
import { LeaseQueue, Places } from './queue.js';
import type { Key } from '../base/collections/interval.js';
import type { LeaseId, MvccReason } from '../mvcc/types.js';
import { NO_LEASE } from '../mvcc/types.js';
import {
  CHECKPOINT_INTERVAL_SEC,
  EXPIRIES_PER_SEC,
  MAX_LEASE_TTL_SEC,
  REVOKE_RETRY_MS,
} from './limits.js';

/**
 * The lessor: which leases exist, which keys hang on them, and, on the leader, when they expire.
 *
 * Two kinds of state, kept apart. Applied state (ids, TTLs, checkpoints, keys) changes only by
 * grant, revoke, attach, detach and checkpoint. These run in apply, read no clock and give equal
 * results on every member. Expiry exists between promote and demote only, on the leader, and is
 * nowhere stored: a new leader starts every lease anew.
 *
 * Promotion itself only notes the time. Each lease gets its place in the queue afterwards, from
 * `placeSome` or at the first call about it, and does not expire before that. So becoming leader
 * costs the same for any number of leases.
 *
 * An expired lease is not removed here: `expired` hands out its id, the revoker proposes a revocation, and apply revokes.
 * Until then the lease stays queued, so that a lost proposal is made again.
 *
 * Called by: apply (applied state), the leader's revoker (placeSome, expired, dueCheckpoints), the
 * lease service (renew, timeToLive), start-up and snapshots (load, clear). The caller gives the
 * time: monotonic milliseconds.
 */

/** Of a lease that was added while this member was not the leader. */
const NO_REIGN = -1;

/** Result of a renewal: the TTL from now on in seconds, 0 when there is no such lease. */
export type Renewal = number | 'expired-pending' | 'not-primary';

export interface LeaseTime {
  readonly grantedSec: number;
  /** Whole seconds left, at least 0; the granted time on a member that is not the leader. */
  readonly remainingSec: number;
}

export interface Checkpoint {
  readonly id: LeaseId;
  readonly remainingSec: number;
}

interface Lease {
  readonly id: LeaseId;
  readonly ttlSec: number;
  /** Seconds left according to the last checkpoint; 0 when there is none. */
  checkpointSec: number;
  /** Most leases have one key or none: a set is made for the second. */
  keys: Key | Set<Key> | undefined;

  // Expiry, on the leader.
  /** The reign the other fields are of; they mean nothing in another one. */
  reign: number;
  /** Time at which the lease expires or, once handed out for revocation, is handed out again. */
  dueMs: number;
  queueIndex: number;
  /** Handed out for revocation: it can no longer be renewed. */
  isRevoking: boolean;
  /** Its remaining time was handed out to be logged. */
  isCheckpointing: boolean;
}

export class Lessor {
  /** Shortest TTL that the server grants. */
  readonly minTtlSec: number;
  private withCheckpoints = false;
  private readonly leasesById = new Map<LeaseId, Lease>();
  private readonly leasesByKey = new Map<Key, Lease>();
  private primary = false;
  /** Counts promotions and demotions: the expiry of a lease is dropped when it changes. */
  private reign = 0;
  private queue = new LeaseQueue<Lease>();
  /** Time from which leases that exist at promotion are counted. */
  private startMs = 0;
  /** Leases that may lack their place, while there are any; those placed or granted meanwhile are of this reign. */
  private unplaced: Iterator<Lease, undefined> | undefined = undefined;
  private places = new Places(EXPIRIES_PER_SEC);
  /** Leases granted since apply last was followed by a call with the time. */
  private fresh: Lease[] = [];
  /** Long leases in the order their checkpoints are due: the interval is the same for all. */
  private checkpoints: { readonly lease: Lease; readonly dueMs: number }[] = [];
  private grantCount = 0;
  private revokeCount = 0;
  private renewCount = 0;

  constructor(options: { readonly minTtlSec: number }) {
    this.minTtlSec = options.minTtlSec;
  }

  // ---- metrics ----

  get size(): number {
    return this.leasesById.size;
  }

  get grantedTotal(): number {
    return this.grantCount;
  }

  get revokedTotal(): number {
    return this.revokeCount;
  }

  get renewedTotal(): number {
    return this.renewCount;
  }

  // ---- applied state ----

  /**
   * Creates a lease; returns its TTL in seconds.
   *
   * The server raises a short TTL to `minTtlSec` before it proposes the grant: doing so here would let members
   * with different election timeouts disagree.
   */
  grant(id: LeaseId, ttlSec: number): number | MvccReason {
    if (id === NO_LEASE) return 'lease-not-found';
    if (ttlSec > MAX_LEASE_TTL_SEC) return 'lease-ttl-too-large';
    if (this.leasesById.has(id)) return 'lease-exists';
    const lease = this.add(id, Math.max(1, ttlSec), 0);
    this.grantCount++;
    return lease.ttlSec;
  }

  /** Ends a lease; returns the keys that hung on it, sorted, for the caller to delete. */
  revoke(id: LeaseId): Key[] | MvccReason {
    const lease = this.leasesById.get(id);
    if (lease === undefined) return 'lease-not-found';
    const keys = keysOf(lease).sort(compareKeys);
    if (verification.isOn) this.checkKeys(lease, keys);
    for (const key of keys) this.leasesByKey.delete(key);
    this.leasesById.delete(id);
    if (this.isOfReign(lease)) this.queue.remove(lease);
    this.revokeCount++;
    return keys;
  }

  /** Hangs a key on a lease and takes it off the lease it hung on before. False when there is no such lease. */
  attach(key: Key, id: LeaseId): boolean {
    const lease = this.leasesById.get(id);
    if (lease === undefined) return false;
    const before = this.leasesByKey.get(key);
    if (before === lease) return true;
    if (before !== undefined) removeKey(before, key);
    this.leasesByKey.set(key, lease);
    addKey(lease, key);
    return true;
  }

  /** Takes a key off its lease; no effect when it hangs on none. */
  detach(key: Key): void {
    const lease = this.leasesByKey.get(key);
    if (lease === undefined) return;
    invariant(this.isAlive(lease), 'a key hangs on lease {}, which was revoked', lease.id);
    this.leasesByKey.delete(key);
    removeKey(lease, key);
  }

  /** Records how much time a lease has left, for the next leader; 0 for all of it. False when there is no such lease. */
  checkpoint(id: LeaseId, remainingSec: number): boolean {
    const lease = this.leasesById.get(id);
    if (lease === undefined) return false;
    invariant(lease.checkpointSec <= lease.ttlSec, 'lease {} has more than its time left', id);
    lease.checkpointSec = Math.max(0, Math.min(remainingSec, lease.ttlSec));
    lease.isCheckpointing = false;
    return true;
  }

  exists(id: LeaseId): boolean {
    return this.leasesById.has(id);
  }

  leaseOf(key: Key): LeaseId {
    return this.leasesByKey.get(key)?.id ?? NO_LEASE;
  }

  /** Keys of a lease, in no useful order; none when there is no such lease. */
  keysOf(id: LeaseId): Key[] {
    const lease = this.leasesById.get(id);
    return lease === undefined ? [] : keysOf(lease);
  }

  /**
   * True if a renewal must first clear a remaining time that is, or may soon be, logged: a new
   * leader would use it.
   */
  hasCheckpoint(id: LeaseId): boolean {
    const lease = this.leasesById.get(id);
    if (lease === undefined) return false;
    return lease.checkpointSec > 0 || (this.isOfReign(lease) && lease.isCheckpointing);
  }

  /** The stored form (leasepb.Lease) of a lease. Requires: it exists. */
  row(id: LeaseId): Uint8Array {
    const lease = this.leasesById.get(id);
    invariant(lease !== undefined, 'row of a lease that does not exist');
    return encodeLease({ ID: id, TTL: lease.ttlSec, RemainingTTL: lease.checkpointSec });
  }

  /** Adds a lease from its stored form. Throws: DecodeError. */
  loadRow(bytes: Uint8Array): void {
    const { ID, TTL, RemainingTTL } = decodeLease(bytes);
    this.load(ID, TTL, RemainingTTL);
  }

  /** Adds a lease as it was stored; the reader of the keys attaches them. */
  load(id: LeaseId, ttlSec: number, remainingSec: number): void {
    invariant(id !== NO_LEASE && !this.leasesById.has(id), 'stored lease has no id or one in use');
    this.add(id, Math.max(1, Math.min(ttlSec, MAX_LEASE_TTL_SEC)), Math.max(0, remainingSec));
  }

  /** Forgets all leases, before others are loaded; its role as leader stays. */
  clear(): void {
    this.forgetTimes();
    this.leasesById.clear();
    this.leasesByKey.clear();
  }

  // ---- expiry, on the leader ----

  get isPrimary(): boolean {
    return this.primary;
  }

  /**
   * This member became leader: every lease gets its full (or checkpointed) time from now, and
   * `extendMs` on top. A former leader may still have answered renewals in that time. Where more
   * than EXPIRIES_PER_SEC leases would expire in one second, the surplus gets more time, to spread
   * the revocations.
   */
  promote(nowMs: number, extendMs: number): void {
    invariant(extendMs >= 0, 'leases are given {} ms', extendMs);
    this.demote();
    this.primary = true;
    this.startMs = nowMs + extendMs;
    this.places = new Places(EXPIRIES_PER_SEC);
    this.unplaced = this.leasesById.values();
  }

  /** Gives about `max` more leases their place after promotion; true when all have theirs. */
  placeSome(nowMs: number, max: number): boolean {
    if (this.unplaced === undefined) return true;
    for (let i = 0; i < max; i++) {
      const lease = this.unplaced.next().value;
      if (lease === undefined) {
        this.unplaced = undefined;
        return true;
      }
      if (!this.isOfReign(lease)) this.place(lease, nowMs);
    }
    return false;
  }

  /** This member is not leader: nothing expires here any more. */
  demote(): void {
    this.primary = false;
    this.forgetTimes();
  }

  private forgetTimes(): void {
    this.reign++;
    this.queue = new LeaseQueue();
    this.unplaced = undefined;
    this.fresh = [];
    this.checkpoints = [];
  }

  /**
   * Starts the time of leases granted by apply, which has no clock. Every method that takes the
   * time does so; a caller may do so right after a grant.
   */
  adopt(nowMs: number): void {
    if (this.fresh.length === 0) return;
    for (const lease of this.fresh) {
      if (this.isAlive(lease)) this.enqueue(lease, nowMs + timeLeftSec(lease) * 1000, nowMs);
    }
    this.fresh = [];
  }

  /**
   * Restarts a lease's time. 'expired-pending': it was handed out for revocation, which is about to happen.
   *
   * A lease past its time but not handed out yet is renewed: the client is alive, and no expiry was
   * announced. So renewals that waited while the process was stopped are not lost.
   */
  renew(id: LeaseId, nowMs: number): Renewal {
    if (!this.primary) return 'not-primary';
    this.adopt(nowMs);
    const lease = this.leasesById.get(id);
    if (lease === undefined) return 0;
    const dueMs = nowMs + lease.ttlSec * 1000;
    if (!this.isOfReign(lease)) this.enqueue(lease, dueMs, nowMs);
    else if (lease.isRevoking) return 'expired-pending';
    else this.queue.put(lease, dueMs);
    this.renewCount++;
    return lease.ttlSec;
  }

  timeToLive(id: LeaseId, nowMs: number): LeaseTime | undefined {
    this.adopt(nowMs);
    const lease = this.leasesById.get(id);
    if (lease === undefined) return undefined;
    const { ttlSec } = lease;
    if (!this.primary) return { grantedSec: ttlSec, remainingSec: ttlSec };
    if (!this.isOfReign(lease)) this.place(lease, nowMs);
    const remainingSec = lease.isRevoking ? 0 : Math.floor((lease.dueMs - nowMs) / 1000);
    return { grantedSec: ttlSec, remainingSec: Math.max(0, remainingSec) };
  }

  /** All ids, oldest first; good over many turns: what is granted or ends meanwhile may be missing. */
  leases(): IterableIterator<LeaseId> {
    return this.leasesById.keys();
  }

  /** Time at which a lease expires; Infinity if there is none, or this member is not the leader. */
  dueMs(id: LeaseId, nowMs: number): number {
    this.adopt(nowMs);
    const lease = this.leasesById.get(id);
    if (lease === undefined || !this.primary) return Infinity;
    if (!this.isOfReign(lease)) this.place(lease, nowMs);
    return lease.dueMs;
  }

  /** True if `expired` would hand out a lease now. */
  hasExpired(nowMs: number): boolean {
    this.adopt(nowMs);
    const first = this.queue.first;
    return first !== undefined && first.dueMs <= nowMs;
  }

  /** Hands out at most `max` leases whose time is up, for revocation. Each comes again later if it still exists. */
  expired(nowMs: number, max: number): LeaseId[] {
    const ids: LeaseId[] = [];
    if (!this.primary) return ids;
    this.adopt(nowMs);
    while (ids.length < max) {
      const lease = this.queue.first;
      if (lease === undefined || lease.dueMs > nowMs) break;
      lease.isRevoking = true;
      this.queue.put(lease, nowMs + REVOKE_RETRY_MS);
      ids.push(lease.id);
    }
    return ids;
  }

  /** The revocation of a lease handed out by `expired` failed: it is handed out again at once. */
  revokeFailed(id: LeaseId, nowMs: number): void {
    const lease = this.leasesById.get(id);
    if (lease !== undefined && this.isOfReign(lease) && lease.isRevoking) {
      this.queue.put(lease, nowMs);
    }
  }

  /** From now on leases are kept in line for `dueCheckpoints`, which must then be called. */
  keepCheckpoints(): void {
    this.withCheckpoints = true;
  }

  /** Remaining times to log now, of the next `max` leases in line; each lease comes again after the interval. */
  dueCheckpoints(nowMs: number, max: number): Checkpoint[] {
    this.adopt(nowMs);
    const due: Checkpoint[] = [];
    let taken = 0;
    for (const { lease, dueMs } of this.checkpoints) {
      if (dueMs > nowMs || taken === max) break;
      taken++;
      if (!this.isAlive(lease) || lease.isRevoking) continue;
      this.scheduleCheckpoint(lease, nowMs);
      const remainingSec = Math.ceil((lease.dueMs - nowMs) / 1000);
      if (remainingSec > 0 && remainingSec < timeLeftSec(lease)) {
        lease.isCheckpointing = true;
        due.push({ id: lease.id, remainingSec });
      }
    }
    if (taken > 0) this.checkpoints = this.checkpoints.slice(taken);
    return due;
  }

  // ----

  private add(id: LeaseId, ttlSec: number, checkpointSec: number): Lease {
    const lease: Lease = {
      id,
      ttlSec,
      checkpointSec: Math.min(checkpointSec, ttlSec),
      keys: undefined,
      reign: this.primary ? this.reign : NO_REIGN,
      dueMs: 0,
      queueIndex: -1,
      isRevoking: false,
      isCheckpointing: false,
    };
    this.leasesById.set(id, lease);
    if (this.primary) this.fresh.push(lease);
    return lease;
  }

  private checkKeys(lease: Lease, keys: readonly Key[]): void {
    for (const key of keys) {
      invariant(
        this.leasesByKey.get(key) === lease,
        'a key of lease {} hangs on another',
        lease.id,
      );
    }
  }

  private isAlive(lease: Lease): boolean {
    return this.leasesById.get(lease.id) === lease;
  }

  /** False for a lease that got no time since this member became leader, and on any other member. */
  private isOfReign(lease: Lease): boolean {
    return lease.reign === this.reign;
  }

  /** Gives a lease that existed at promotion its time, unless it was renewed since. */
  private place(lease: Lease, nowMs: number): void {
    invariant(this.primary && this.isAlive(lease), 'lease {} gets time it must not have', lease.id);
    const dueMs = this.startMs + this.places.take(timeLeftSec(lease)) * 1000;
    this.enqueue(lease, dueMs, nowMs);
  }

  private enqueue(lease: Lease, dueMs: number, nowMs: number): void {
    invariant(this.primary, 'lease {} gets time on a member that is not the leader', lease.id);
    lease.reign = this.reign;
    lease.queueIndex = -1;
    lease.isRevoking = false;
    lease.isCheckpointing = false;
    this.queue.put(lease, dueMs);
    this.scheduleCheckpoint(lease, nowMs);
  }

  private scheduleCheckpoint(lease: Lease, nowMs: number): void {
    if (!this.withCheckpoints || lease.ttlSec <= CHECKPOINT_INTERVAL_SEC) return;
    this.checkpoints.push({ lease, dueMs: nowMs + CHECKPOINT_INTERVAL_SEC * 1000 });
  }
}

/** Seconds a lease gets when its time starts. */
function timeLeftSec(lease: Lease): number {
  return lease.checkpointSec > 0 ? lease.checkpointSec : lease.ttlSec;
}

function addKey(lease: Lease, key: Key): void {
  if (lease.keys === undefined) lease.keys = key;
  else if (typeof lease.keys === 'string') lease.keys = new Set([lease.keys, key]);
  else lease.keys.add(key);
}

function removeKey(lease: Lease, key: Key): void {
  if (lease.keys === key) lease.keys = undefined;
  else if (lease.keys instanceof Set) lease.keys.delete(key);
}

function keysOf(lease: Lease): Key[] {
  if (lease.keys === undefined) return [];
  return typeof lease.keys === 'string' ? [lease.keys] : Array.from(lease.keys);
}

/** Byte order, which for latin1 strings is the order of `<`. */
function compareKeys(a: Key, b: Key): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
