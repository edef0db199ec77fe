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
import { bytesOf } from '../contract/interval.js';
import { errors } from '../contract/errors.js';
import { CommandKind } from '../contract/member-api.js';
import type { MemberApi } from '../contract/member-api.js';
import { PeerRequest } from '../peer/types.js';
import { sortInSlices } from '../../base/slices/sliced-sort.js';

/**
 * Questions about the time of leases, which only the leader can answer: keepalive and time-to-live.
 *
 * The leader answers after a quorum confirmed that it still is leader, so that a deposed one renews nothing, and after it
 * applied what was committed before, so that a lease granted or revoked elsewhere is known here. All questions of a turn
 * share one such round. Other members pass the question on, and repeat it, also to another leader, until the
 * request timeout.
 */

export type LeaseQuestion = typeof PeerRequest.leaseKeepAlive | typeof PeerRequest.leaseTimeToLive;

/** `body` is the encoded response without its header. One of the two is null. */
export type LeaseAnswer = (error: RpcError | null, body: Uint8Array | null) => void;

/** How long the leader waits for what is committed to be applied. */
const APPLIED_WAIT_MS = 1000;
/** Pause before a question is asked again. */
const RETRY_MS = 50;
/** Keys encoded between two looks at the clock. */
const KEYS_PER_PART = 256;

type Confirmed = (error: RpcError | null) => void;

/** Confirms leadership once for everything that was asked in a turn. */
class LeaderRound {
  private readonly api: MemberApi;
  private waiting: Confirmed[] = [];

  constructor(api: MemberApi) {
    this.api = api;
  }

  add(done: Confirmed): void {
    if (this.waiting.length === 0) this.api.env.defer(() => this.start());
    this.waiting.push(done);
  }

  private start(): void {
    const { api } = this;
    const asked = this.waiting;
    this.waiting = [];
    const committed = api.committedIndex;
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
      api.slices.run(never, answerNext, () => undefined);
    };
    const timer = api.env.after(APPLIED_WAIT_MS, () => {
      if (api.appliedIndex < committed) settle(errors.timeoutApplied);
    });
    api.linearizable(settle);
  }
}

const rounds = new WeakMap<MemberApi, LeaderRound>();

function roundOf(api: MemberApi): LeaderRound {
  let round = rounds.get(api);
  if (round === undefined) {
    round = new LeaderRound(api);
    rounds.set(api, round);
  }
  return round;
}

/**
 * Answers a question on the leader.
 *
 * Throws: DecodeError.
 */
export function answerAsLeader(
  api: MemberApi,
  question: LeaseQuestion,
  request: Uint8Array,
  done: LeaseAnswer,
): void {
  if (question === PeerRequest.leaseTimeToLive) {
    const { ID, keys } = decodeLeaseTimeToLiveRequest(request);
    roundOf(api).add((error) => {
      const refusal = error ?? notPrimary(api);
      if (refusal !== null) done(refusal, null);
      else timeToLive(api, ID, keys, done);
    });
    return;
  }
  const { ID } = decodeLeaseKeepAliveRequest(request);
  renew(api, ID, api.env.clock.monoMs() + api.requestTimeoutMs, done);
}

function notPrimary(api: MemberApi): RpcError | null {
  return api.isLeader && api.lessor.isPrimary ? null : errors.notPrimaryLessor;
}

function timeToLive(api: MemberApi, id: LeaseId, withKeys: boolean, done: LeaseAnswer): void {
  const time = api.lessor.timeToLive(id, api.env.clock.monoMs());
  if (time === undefined) return done(null, encodeLeaseTimeToLiveResponse({ ID: id, TTL: -1 }));
  const { remainingSec: TTL, grantedSec: grantedTTL } = time;
  const answer = encodeLeaseTimeToLiveResponse({ ID: id, TTL, grantedTTL });
  if (!withKeys) return done(null, answer);
  sortInSlices(api.slices, api.lessor.keysOf(id), compareKeys, never, (keys) => {
    const parts = [answer];
    let encoded = 0;
    // Fields that follow a message belong to it.
    const encodePart = (): boolean => {
      const part = keys.slice(encoded, encoded + KEYS_PER_PART);
      encoded += part.length;
      if (part.length > 0) parts.push(encodeLeaseTimeToLiveResponse({ keys: part.map(bytesOf) }));
      return encoded === keys.length;
    };
    api.slices.run(never, encodePart, () => done(null, Buffer.concat(parts)));
  });
}

/** Byte order, which for keys is the order of `<`. */
function compareKeys(a: Key, b: Key): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The call may belong to another member: nobody here hears that it ended. */
function never(): boolean {
  return false;
}

function renew(api: MemberApi, id: LeaseId, deadlineMs: number, done: LeaseAnswer): void {
  roundOf(api).add((error) => {
    const refusal = error ?? notPrimary(api);
    if (refusal !== null) return done(refusal, null);
    if (api.lessor.hasCheckpoint(id)) return clearCheckpoint(api, id, deadlineMs, done);
    const nowMs = api.env.clock.monoMs();
    const renewal = api.lessor.renew(id, nowMs);
    if (typeof renewal === 'number') {
      return done(null, encodeLeaseKeepAliveResponse({ ID: id, TTL: renewal }));
    }
    if (renewal === 'not-primary') return done(errors.notPrimaryLessor, null);
    // Its revocation is under way: the answer is what comes of that.
    if (nowMs >= deadlineMs) return done(errors.timeout, null);
    api.env.after(RETRY_MS, () => renew(api, id, deadlineMs, done));
  });
}

/** Replaces the remaining time in the log by the full one, so that a new leader does not cut the renewal short. */
function clearCheckpoint(api: MemberApi, id: LeaseId, deadlineMs: number, done: LeaseAnswer): void {
  const request = encodeLeaseCheckpointRequest({ checkpoints: [{ ID: id, remainingTTL: 0 }] });
  api.propose(CommandKind.leaseCheckpoint, request, (error) => {
    if (error !== null) done(error, null);
    else renew(api, id, deadlineMs, done);
  });
}

/**
 * Gets the answer from the leader, whoever that is, within the request timeout. `request` is kept until then.
 *
 * Throws: DecodeError.
 */
export function askLeader(
  api: MemberApi,
  question: LeaseQuestion,
  request: Uint8Array,
  done: LeaseAnswer,
): void {
  const { clock } = api.env;
  const deadlineMs = clock.monoMs() + api.requestTimeoutMs;
  const again = (error: RpcError): void => {
    if (clock.monoMs() + RETRY_MS >= deadlineMs) done(error, null);
    else api.env.after(RETRY_MS, attempt);
  };
  const attempt = (): void => {
    if (api.isLeader) {
      answerAsLeader(api, question, request, (error, body) => {
        if (error === null || !isTransient(error)) done(error, body);
        else again(error === errors.notPrimaryLessor ? errors.timeout : error);
      });
      return;
    }
    const { leaderId } = api;
    if (leaderId === NONE) return again(errors.noLeader);
    const leftMs = Math.max(1, deadlineMs - clock.monoMs());
    api.peerRequest(leaderId, question, request, leftMs, (error, body) => {
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
