import {
  decodeLeaseGrantRequest,
  decodeLeaseKeepAliveRequest,
  decodeLeaseRevokeRequest,
  decodeLeaseTimeToLiveRequest,
  encodeLeaseGrantRequest,
} from '../../gen/rpc.js';
import { MAX_LEASE_TTL_SEC } from '../../lease/limits.js';
import type { LeaseId } from '../../mvcc/types.js';
import { NO_LEASE } from '../../mvcc/types.js';
import { allocate } from '../../base/protobuf/runtime.js';
import type { Method, RpcError, StreamCall, UnaryCall } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import { settle } from './settle.js';
import { CommandKind } from '../contract/command.js';
import { PeerRequest } from '../contract/roles.js';
import { refusingMalformed } from './decode.js';
import { LeaderRequired } from './leader-required.js';
import { KEEP_ALIVES_WAITING } from './limits.js';
import { askLeader, type LeaseRoles } from '../lease/leader.js';
import { RequestFlow } from './request-flow.js';
import { answerLeaseLeases } from '../lease/list.js';

/** etcdserverpb.Lease. Grants and revocations go through the log; renewals do not (lease/leader.ts). */
export function leaseService(roles: LeaseRoles): [string, Method][] {
  const leaderRequired = new LeaderRequired(roles);

  function grant(request: Uint8Array, call: UnaryCall): void {
    const { TTL, ID } = decodeLeaseGrantRequest(request);
    if (TTL > MAX_LEASE_TTL_SEC) return call.fail(errors.leaseTtlTooLarge);
    const body = encodeLeaseGrantRequest({
      TTL: Math.max(TTL, roles.lessor.minTtlSec),
      ID: ID === NO_LEASE ? freeLeaseId(roles) : ID,
    });
    roles.proposals.propose(CommandKind.leaseGrant, body, (error, reply) => {
      roles.lessor.adopt(roles.env.clock.monoMs());
      settle(roles.reads.slices, call, error, reply);
    });
  }

  function revoke(request: Uint8Array, call: UnaryCall): void {
    decodeLeaseRevokeRequest(request);
    roles.proposals.propose(CommandKind.leaseRevoke, request, (error, reply) => {
      settle(roles.reads.slices, call, error, reply);
    });
  }

  function timeToLive(request: Uint8Array, call: UnaryCall): void {
    decodeLeaseTimeToLiveRequest(request);
    askLeader(roles, PeerRequest.leaseTimeToLive, Buffer.from(request), (error, body) => {
      if (body !== null) call.reply(withHeader(roles, body));
      else call.fail(error ?? errors.stopped);
    });
  }

  function leases(_request: Uint8Array, call: UnaryCall): void {
    roles.reads.whenReadable(() => answerLeaseLeases(roles, call));
  }

  return [
    ['/etcdserverpb.Lease/LeaseGrant', { kind: 'unary', handle: grant }],
    ['/etcdserverpb.Lease/LeaseRevoke', { kind: 'unary', handle: revoke }],
    [
      '/etcdserverpb.Lease/LeaseKeepAlive',
      {
        kind: 'stream',
        streamType: 'bidi_stream',
        handle: (call) => new KeepAliveStream(roles, call, leaderRequired),
      },
    ],
    ['/etcdserverpb.Lease/LeaseTimeToLive', { kind: 'unary', handle: timeToLive }],
    ['/etcdserverpb.Lease/LeaseLeases', { kind: 'unary', handle: leases }],
  ];
}

/** A keepalive on its way; answers leave in the order of the questions. */
interface Waiting {
  answer: Uint8Array | null;
}

class KeepAliveStream {
  private readonly roles: LeaseRoles;
  private readonly call: StreamCall;
  private readonly flow: RequestFlow;
  private readonly stopGuarding: () => void;
  private waiting: Waiting[] = [];
  private full = false;
  private halfClosed = false;
  private ended = false;

  constructor(roles: LeaseRoles, call: StreamCall, leaderRequired: LeaderRequired) {
    this.roles = roles;
    this.call = call;
    this.flow = new RequestFlow(call, KEEP_ALIVES_WAITING);
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
    askLeader(this.roles, PeerRequest.leaseKeepAlive, Buffer.from(message), (error, body) => {
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
      if (!this.call.write(withHeader(this.roles, answer))) this.full = true;
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
    if (!this.ended) this.flow.update(this.full, this.waiting.length);
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
function withHeader(roles: LeaseRoles, body: Uint8Array): Uint8Array {
  const header = roles.headers.field(roles.reads.store.currentRevision);
  const out = allocate(header.length + body.length);
  out.set(header, 0);
  out.set(body, header.length);
  return out;
}

/** A positive id that no lease has. */
function freeLeaseId(roles: LeaseRoles): LeaseId {
  for (;;) {
    const high = BigInt(roles.env.randomU32() >>> 1);
    const id = (high << 32n) | BigInt(roles.env.randomU32());
    if (id !== NO_LEASE && !roles.lessor.exists(id)) return id;
  }
}
