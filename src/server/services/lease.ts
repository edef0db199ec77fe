import {
  decodeLeaseGrantRequest,
  decodeLeaseKeepAliveRequest,
  decodeLeaseRevokeRequest,
  decodeLeaseTimeToLiveRequest,
  encodeLeaseGrantRequest,
} from '../../gen/rpc.js';
import { MAX_LEASE_TTL_SEC } from '../../lease/lessor.js';
import type { LeaseId } from '../../mvcc/types.js';
import { NO_LEASE } from '../../mvcc/types.js';
import { allocate } from '../../base/protobuf/runtime.js';
import type { Method, RpcError, StreamCall, UnaryCall } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import type { MemberApi } from '../contract/member-api.js';
import { CommandKind } from '../contract/member-api.js';
import { PeerRequest } from '../peer/types.js';
import { refusingMalformed } from './decode.js';
import { LeaderRequired } from './leader-required.js';
import { answerAsLeader, askLeader } from '../lease/leader.js';
import { answerLeaseLeases } from '../lease/list.js';

/** Keepalives of one stream that may wait for their answer before more are read. */
const KEEP_ALIVES_WAITING = 256;

/** etcdserverpb.Lease. Grants and revocations go through the log; renewals do not (lease-leader.ts). */
export function leaseService(api: MemberApi): [string, Method][] {
  const leaderRequired = new LeaderRequired(api);

  function grant(request: Uint8Array, call: UnaryCall): void {
    const { TTL, ID } = decodeLeaseGrantRequest(request);
    if (TTL > MAX_LEASE_TTL_SEC) return call.fail(errors.leaseTtlTooLarge);
    const body = encodeLeaseGrantRequest({
      TTL: Math.max(TTL, api.lessor.minTtlSec),
      ID: ID === NO_LEASE ? freeLeaseId(api) : ID,
    });
    api.propose(CommandKind.leaseGrant, body, (error, reply) => {
      api.lessor.adopt(api.env.clock.monoMs());
      if (reply !== null) call.reply(reply);
      else call.fail(error ?? errors.stopped);
    });
  }

  function revoke(request: Uint8Array, call: UnaryCall): void {
    decodeLeaseRevokeRequest(request);
    api.propose(CommandKind.leaseRevoke, request, (error, reply) => {
      if (reply !== null) call.reply(reply);
      else call.fail(error ?? errors.stopped);
    });
  }

  function timeToLive(request: Uint8Array, call: UnaryCall): void {
    decodeLeaseTimeToLiveRequest(request);
    askLeader(api, PeerRequest.leaseTimeToLive, Buffer.from(request), (error, body) => {
      if (body !== null) call.reply(withHeader(api, body));
      else call.fail(error ?? errors.stopped);
    });
  }

  function leases(_request: Uint8Array, call: UnaryCall): void {
    api.whenReadable(() => answerLeaseLeases(api, call));
  }

  return [
    ['/etcdserverpb.Lease/LeaseGrant', { kind: 'unary', handle: grant }],
    ['/etcdserverpb.Lease/LeaseRevoke', { kind: 'unary', handle: revoke }],
    [
      '/etcdserverpb.Lease/LeaseKeepAlive',
      {
        kind: 'stream',
        streamType: 'bidi_stream',
        handle: (call) => new KeepAliveStream(api, call, leaderRequired),
      },
    ],
    ['/etcdserverpb.Lease/LeaseTimeToLive', { kind: 'unary', handle: timeToLive }],
    ['/etcdserverpb.Lease/LeaseLeases', { kind: 'unary', handle: leases }],
  ];
}

/** The leader's side of a question that another member passed on. */
export function handleLeasePeerRequest(
  api: MemberApi,
  kind: typeof PeerRequest.leaseKeepAlive | typeof PeerRequest.leaseTimeToLive,
  body: Uint8Array,
  reply: (error: Error | null, body: Uint8Array | null) => void,
): void {
  refusingMalformed(
    () => {
      if (api.isLeader) answerAsLeader(api, kind, body, reply);
      else reply(errors.notPrimaryLessor, null);
    },
    (error) => reply(error, null),
  );
}

/** A keepalive on its way; answers leave in the order of the questions. */
interface Waiting {
  answer: Uint8Array | null;
}

class KeepAliveStream {
  private readonly api: MemberApi;
  private readonly call: StreamCall;
  private readonly stopGuarding: () => void;
  private waiting: Waiting[] = [];
  private full = false;
  private paused = false;
  private halfClosed = false;
  private ended = false;

  constructor(api: MemberApi, call: StreamCall, leaderRequired: LeaderRequired) {
    this.api = api;
    this.call = call;
    this.stopGuarding = leaderRequired.guard(call, (error) => this.fail(error));
    call.onCancel(() => this.finish());
    call.onDrain(() => {
      this.full = false;
      this.flowControl();
    });
    call.onHalfClose(() => {
      this.halfClosed = true;
      this.flush();
    });
    call.onMessage((message) => {
      refusingMalformed(
        () => this.ask(message),
        (error) => this.fail(error),
      );
    });
  }

  private ask(message: Uint8Array): void {
    if (this.ended) return;
    decodeLeaseKeepAliveRequest(message);
    const place: Waiting = { answer: null };
    this.waiting.push(place);
    askLeader(this.api, PeerRequest.leaseKeepAlive, Buffer.from(message), (error, body) => {
      if (body === null) return this.fail(error ?? errors.stopped);
      place.answer = body;
      this.flush();
    });
    this.flowControl();
  }

  /** Sends the answers that are there, up to the first that is not. */
  private flush(): void {
    if (this.ended) return;
    let sent = 0;
    for (const { answer } of this.waiting) {
      if (answer === null) break;
      sent++;
      if (!this.call.write(withHeader(this.api, answer))) this.full = true;
    }
    if (sent > 0) this.waiting = this.waiting.slice(sent);
    if (this.halfClosed && this.waiting.length === 0) {
      this.finish();
      this.call.end();
      return;
    }
    this.flowControl();
  }

  private flowControl(): void {
    const shouldPause = this.full || this.waiting.length >= KEEP_ALIVES_WAITING;
    if (shouldPause === this.paused || this.ended) return;
    this.paused = shouldPause;
    if (shouldPause) this.call.pause();
    else this.call.resume();
  }

  private fail(error: RpcError): void {
    if (this.ended) return;
    this.finish();
    this.call.fail(error);
  }

  private finish(): void {
    this.ended = true;
    this.waiting = [];
    this.stopGuarding();
  }
}

/** Puts the response header, which is every response's first field, in front of the rest. */
function withHeader(api: MemberApi, body: Uint8Array): Uint8Array {
  const header = api.headerField(api.store.currentRevision);
  const out = allocate(header.length + body.length);
  out.set(header, 0);
  out.set(body, header.length);
  return out;
}

/** A positive id that no lease has. */
function freeLeaseId(api: MemberApi): LeaseId {
  for (;;) {
    const high = BigInt(api.env.randomU32() >>> 1);
    const id = (high << 32n) | BigInt(api.env.randomU32());
    if (id !== NO_LEASE && !api.lessor.exists(id)) return id;
  }
}
