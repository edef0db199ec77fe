import {
  decodeCompactionRequest,
  decodeDeleteRangeRequest,
  decodePutRequest,
  decodeRangeRequest,
  decodeTxnRequest,
  type RangeRequest,
} from '../../gen/rpc.js';
import type { Method, StreamCall, UnaryCall } from '../../rpc/service.js';
import { intervalOf } from '../contract/interval.js';
import { hasFilters } from '../reads/selection.js';
import type { StateMachine } from '../apply/state-machine.js';
import { errors } from '../contract/errors.js';
import { CommandKind } from '../contract/command.js';
import type { Roles } from '../contract/roles.js';
import { TimedCall, type TimeReport } from '../metrics/timed-call.js';
import {
  checkDeleteRange,
  checkPut,
  checkRange,
  checkTxn,
  isReadOnly,
  isSerializable,
} from './kv-checks.js';
import { refusingMalformed } from './decode.js';
import { answerReadOnlyTxn } from '../apply/read-only-txn.js';
import { answerRange } from '../reads/range-read.js';
import { answerRangeStream } from '../reads/range-stream.js';
import { settle } from './settle.js';

/** The part of the state machine that reads inside transactions need, and its counters. */
export type KvState = Pick<StateMachine, 'counts' | 'kv'>;

export interface KvOptions {
  readonly machine: KvState;
  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  /** Called for each Range once its reply is built, without the wait for its consistency. */
  readonly onRange?: TimeReport;
}

/**
 * etcdserverpb.KV. Reads wait for their consistency and are answered from the store. Changes are
 * checked and then proposed with the client's bytes unchanged; apply makes the response.
 */
export type KvRoles = Pick<Roles, 'env' | 'headers' | 'lessor' | 'reads' | 'proposals' | 'cluster'>;

export function kvService(roles: KvRoles, options: KvOptions): [string, Method][] {
  const { machine, onRange } = options;
  const timed = (call: UnaryCall): UnaryCall =>
    onRange === undefined ? call : new TimedCall(call, roles.env.clock, onRange);

  function range(request: Uint8Array, call: UnaryCall): void {
    const r = decodeRangeRequest(request);
    if (!r.serializable && roles.cluster.isLearner) return call.fail(errors.notSupportedForLearner);
    const problem = checkRange(r);
    if (problem !== null) return call.fail(problem);
    machine.counts.ranges++;
    // Keys are copied here: the request's bytes belong to the transport.
    const interval = intervalOf(r.key, r.rangeEnd);
    if (r.serializable)
      return roles.reads.whenReadable(() => answerRange(roles, r, interval, timed(call)));
    roles.reads.linearizable((error) => {
      if (error !== null) call.fail(error);
      else if (!call.cancelled) answerRange(roles, r, interval, timed(call));
    });
  }

  function rangeStream(call: StreamCall): void {
    let isAsked = false;
    call.onMessage((request) => {
      // One request a call: a second one would begin a second answer.
      if (isAsked) return;
      isAsked = true;
      refusingMalformed(
        () => streamRange(decodeRangeRequest(Buffer.from(request)), call),
        (error) => call.fail(error),
      );
    });
  }

  function streamRange(r: RangeRequest, call: StreamCall): void {
    const problem = checkRange(r);
    if (problem !== null) return call.fail(problem);
    if (r.sortOrder === 2 || r.sortTarget !== 0) return call.fail(errors.rangeStreamSort);
    if (hasFilters(r)) return call.fail(errors.rangeStreamFilters);
    machine.counts.ranges++;
    if (r.serializable) {
      return roles.reads.whenReadable(() =>
        answerRangeStream(roles, r, options.maxRequestBytes, call),
      );
    }
    roles.reads.linearizable((error) => {
      if (error !== null) call.fail(error);
      else answerRangeStream(roles, r, options.maxRequestBytes, call);
    });
  }

  function propose(kind: CommandKind, request: Uint8Array, call: UnaryCall): void {
    roles.proposals.propose(kind, request, (error, reply) => {
      settle(roles.reads.slices, call, error, reply);
    });
  }

  function put(request: Uint8Array, call: UnaryCall): void {
    const problem = checkPut(decodePutRequest(request));
    if (problem !== null) return call.fail(problem);
    propose(CommandKind.put, request, call);
  }

  function deleteRange(request: Uint8Array, call: UnaryCall): void {
    const problem = checkDeleteRange(decodeDeleteRangeRequest(request));
    if (problem !== null) return call.fail(problem);
    propose(CommandKind.deleteRange, request, call);
  }

  function txn(request: Uint8Array, call: UnaryCall): void {
    let r = decodeTxnRequest(request);
    const problem = checkTxn(r, options.maxTxnOps);
    if (problem !== null) return call.fail(problem);
    if (!isReadOnly(r)) return propose(CommandKind.txn, request, call);
    const answer = (): void => answerReadOnlyTxn(roles, machine.kv, r, call);
    // The request's bytes belong to the transport, and the answer may come later.
    r = decodeTxnRequest(Buffer.from(request));
    if (isSerializable(r)) return roles.reads.whenReadable(answer);
    roles.reads.linearizable((error) => {
      if (error === null) answer();
      else call.fail(error);
    });
  }

  function compact(request: Uint8Array, call: UnaryCall): void {
    const r = decodeCompactionRequest(request);
    roles.proposals.propose(CommandKind.compact, request, (error, reply) => {
      const answer = (): void => settle(roles.reads.slices, call, error, reply);
      if (reply === null || !r.physical) answer();
      else roles.reads.store.whenCompacted(r.revision, answer);
    });
  }

  return [
    ['/etcdserverpb.KV/Range', { kind: 'unary', handle: range }],
    [
      '/etcdserverpb.KV/RangeStream',
      { kind: 'stream', streamType: 'server_stream', handle: rangeStream },
    ],
    ['/etcdserverpb.KV/Put', { kind: 'unary', handle: put }],
    ['/etcdserverpb.KV/DeleteRange', { kind: 'unary', handle: deleteRange }],
    ['/etcdserverpb.KV/Txn', { kind: 'unary', handle: txn }],
    ['/etcdserverpb.KV/Compact', { kind: 'unary', handle: compact }],
  ];
}
