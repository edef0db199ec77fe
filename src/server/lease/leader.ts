import {
  decodeLeaseKeepAliveRequest,
  decodeLeaseTimeToLiveRequest,
  encodeLeaseCheckpointRequest,
  encodeLeaseKeepAliveResponse,
  encodeLeaseTimeToLiveResponse,
} from '../../gen/rpc.js';
import type { Key } from '../../base/collections/interval.js';
import type { LeaseId } from '../../mvcc/types.js';
import { NONE } from '../../raft/types.js';
import type { RpcError } from '../../rpc/service.js';
import { bytesOf } from '../../base/collections/interval.js';
import { errors } from '../contract/errors.js';
import { CommandKind } from '../contract/command.js';
import type { Roles } from '../contract/roles.js';
import { PeerRequest } from '../contract/roles.js';
import { ENDLESS } from '../../base/slices/sliced-work.js';
import { sortInSlices } from '../../base/slices/sliced-sort.js';
import { APPLIED_WAIT_MS, KEYS_PER_PART, QUESTION_RETRY_MS } from './limits.js';

/**
 * Questions about the time of leases, which only the leader can answer: keepalive and time-to-live.
 *
 * The leader answers after a quorum confirmed that it still is leader, so that a deposed one renews
 * nothing. It first applies all entries committed before, so that leases granted or revoked
 * elsewhere are applied here. All questions of a turn share one such round. Other members pass the
 * question on, and repeat it, also to another leader, until the request timeout.
 */

export type LeaseQuestion = typeof PeerRequest.leaseKeepAlive | typeof PeerRequest.leaseTimeToLive;

/** `body` is the encoded response without its header. One of the two is null. */
export type LeaseAnswer = (error: RpcError | null, body: Uint8Array | null) => void;

/** Parts of a member that questions about leases need. */
export type LeaseRoles = Pick<
  Roles,
  'env' | 'headers' | 'lessor' | 'reads' | 'proposals' | 'leadership' | 'peers'
>;

type Confirmed = (error: RpcError | null) => void;

/** Confirms leadership once for everything that was asked in a turn. */
class LeaderRound {
  private readonly roles: LeaseRoles;
  private waiting: Confirmed[] = [];

  constructor(roles: LeaseRoles) {
    this.roles = roles;
  }

  add(done: Confirmed): void {
    if (this.waiting.length === 0) this.roles.env.defer(() => this.start());
    this.waiting.push(done);
  }

  private start(): void {
    const { roles } = this;
    const asked = this.waiting;
    this.waiting = [];
    const committed = roles.leadership.committedIndex;
    let settled = false;
    const settle: Confirmed = (error) => {
      if (settled) return;
      settled = true;
      timer.cancel();
      let answered = 0;
      const answerNext = (): boolean => {
        asked[answered++]?.(error);
        return answered >= asked.length;
      };
      roles.reads.slices.run(ENDLESS, answerNext, () => undefined);
    };
    const timer = roles.env.after(APPLIED_WAIT_MS, () => {
      if (roles.leadership.appliedIndex < committed) settle(errors.timeoutApplied);
    });
    roles.reads.linearizable(settle);
  }
}

const rounds = new WeakMap<LeaseRoles, LeaderRound>();

function roundOf(roles: LeaseRoles): LeaderRound {
  let round = rounds.get(roles);
  if (round === undefined) {
    round = new LeaderRound(roles);
    rounds.set(roles, round);
  }
  return round;
}

/**
 * Answers a question on the leader.
 *
 * Throws: DecodeError.
 */
export function answerAsLeader(
  roles: LeaseRoles,
  question: LeaseQuestion,
  request: Uint8Array,
  done: LeaseAnswer,
): void {
  if (question === PeerRequest.leaseTimeToLive) {
    const { ID, keys } = decodeLeaseTimeToLiveRequest(request);
    roundOf(roles).add((error) => {
      const refusal = error ?? notPrimary(roles);
      if (refusal !== null) done(refusal, null);
      else timeToLive(roles, ID, keys, done);
    });
    return;
  }
  const { ID } = decodeLeaseKeepAliveRequest(request);
  renew(roles, ID, roles.env.clock.monoMs() + roles.proposals.timeoutMs, done);
}

function notPrimary(roles: LeaseRoles): RpcError | null {
  return roles.leadership.isLeader && roles.lessor.isPrimary ? null : errors.notPrimaryLessor;
}

function timeToLive(roles: LeaseRoles, id: LeaseId, withKeys: boolean, done: LeaseAnswer): void {
  const time = roles.lessor.timeToLive(id, roles.env.clock.monoMs());
  if (time === undefined) return done(null, encodeLeaseTimeToLiveResponse({ ID: id, TTL: -1 }));
  const { remainingSec: TTL, grantedSec: grantedTTL } = time;
  const answer = encodeLeaseTimeToLiveResponse({ ID: id, TTL, grantedTTL });
  if (!withKeys) return done(null, answer);
  // The call may be another member's: nothing here shows that it ended.
  sortInSlices(roles.reads.slices, roles.lessor.keysOf(id), compareKeys, ENDLESS, (keys) => {
    const parts = [answer];
    let encoded = 0;
    // Fields that follow a message belong to it.
    const encodePart = (): boolean => {
      const part = keys.slice(encoded, encoded + KEYS_PER_PART);
      encoded += part.length;
      if (part.length > 0) parts.push(encodeLeaseTimeToLiveResponse({ keys: part.map(bytesOf) }));
      return encoded === keys.length;
    };
    roles.reads.slices.run(ENDLESS, encodePart, () => done(null, Buffer.concat(parts)));
  });
}

/** Byte order, which for keys is the order of `<`. */
function compareKeys(a: Key, b: Key): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function renew(roles: LeaseRoles, id: LeaseId, deadlineMs: number, done: LeaseAnswer): void {
  roundOf(roles).add((error) => {
    const refusal = error ?? notPrimary(roles);
    if (refusal !== null) return done(refusal, null);
    if (roles.lessor.hasCheckpoint(id)) return clearCheckpoint(roles, id, deadlineMs, done);
    const nowMs = roles.env.clock.monoMs();
    const renewal = roles.lessor.renew(id, nowMs);
    if (typeof renewal === 'number') {
      return done(null, encodeLeaseKeepAliveResponse({ ID: id, TTL: renewal }));
    }
    if (renewal === 'not-primary') return done(errors.notPrimaryLessor, null);
    // Its revocation is under way: the answer follows its outcome.
    if (nowMs >= deadlineMs) return done(errors.timeout, null);
    roles.env.after(QUESTION_RETRY_MS, () => renew(roles, id, deadlineMs, done));
  });
}

/** Replaces the remaining time in the log by the full one, so that a new leader does not cut the renewal short. */
function clearCheckpoint(
  roles: LeaseRoles,
  id: LeaseId,
  deadlineMs: number,
  done: LeaseAnswer,
): void {
  const request = encodeLeaseCheckpointRequest({ checkpoints: [{ ID: id, remainingTTL: 0 }] });
  roles.proposals.propose(CommandKind.leaseCheckpoint, request, (error) => {
    if (error !== null) done(error, null);
    else renew(roles, id, deadlineMs, done);
  });
}

/**
 * Gets the answer from the present leader within the request timeout. `request` is kept until then.
 *
 * Throws: DecodeError.
 */
export function askLeader(
  roles: LeaseRoles,
  question: LeaseQuestion,
  request: Uint8Array,
  done: LeaseAnswer,
): void {
  const { clock } = roles.env;
  const deadlineMs = clock.monoMs() + roles.proposals.timeoutMs;
  const again = (error: RpcError): void => {
    if (clock.monoMs() + QUESTION_RETRY_MS >= deadlineMs) done(error, null);
    else roles.env.after(QUESTION_RETRY_MS, attempt);
  };
  const attempt = (): void => {
    if (roles.leadership.isLeader) {
      answerAsLeader(roles, question, request, (error, body) => {
        if (error === null || !isTransient(error)) done(error, body);
        else again(error === errors.notPrimaryLessor ? errors.timeout : error);
      });
      return;
    }
    const { leaderId } = roles.leadership;
    if (leaderId === NONE) return again(errors.noLeader);
    const leftMs = Math.max(1, deadlineMs - clock.monoMs());
    roles.peers.request(leaderId, question, request, leftMs, (error, body) => {
      if (body !== null) done(null, body);
      else
        again(
          error?.message === errors.timeoutApplied.message ? errors.timeoutApplied : errors.timeout,
        );
    });
  };
  attempt();
}

/** Refusals that another leader, or this one a moment later, may not repeat. */
function isTransient(error: RpcError): boolean {
  return (
    error === errors.notPrimaryLessor || error === errors.leaderChanged || error === errors.noLeader
  );
}
