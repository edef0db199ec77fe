import { NestingError, type DecodeError } from '../../base/protobuf/runtime.js';
import type { MvccReason } from '../../mvcc/types.js';
import { DEADLINE_EXCEEDED, unknownMethod } from '../../rpc/transport.js';
import { RpcError, Status } from '../../rpc/service.js';

/**
 * Every refusal a client can see, with the exact code and text that clients match on.
 * Ref: etcd api/v3rpc/rpctypes/error.go. No other file spells one of these texts.
 */
const e = (code: Status, message: string): RpcError => Object.freeze(new RpcError(code, message));
const etcd = (code: Status, message: string): RpcError => e(code, `etcdserver: ${message}`);

export const errors = {
  emptyKey: etcd(Status.invalidArgument, 'key is not provided'),
  keyNotFound: etcd(Status.invalidArgument, 'key not found'),
  valueProvided: etcd(Status.invalidArgument, 'value is provided'),
  leaseProvided: etcd(Status.invalidArgument, 'lease is provided'),
  tooManyOps: etcd(Status.invalidArgument, 'too many operations in txn request'),
  duplicateKey: etcd(Status.invalidArgument, 'duplicate key given in txn request'),
  invalidSortOption: etcd(Status.invalidArgument, 'invalid sort option'),
  compacted: etcd(Status.outOfRange, 'mvcc: required revision has been compacted'),
  futureRevision: etcd(Status.outOfRange, 'mvcc: required revision is a future revision'),
  noSpace: etcd(Status.resourceExhausted, 'mvcc: database space exceeded'),
  leaseNotFound: etcd(Status.notFound, 'requested lease not found'),
  leaseExists: etcd(Status.failedPrecondition, 'lease already exists'),
  leaseTtlTooLarge: etcd(Status.outOfRange, 'too large lease TTL'),
  requestTooLarge: etcd(Status.invalidArgument, 'request is too large'),
  // Declared as RESOURCE_EXHAUSTED by etcd's library, but its servers send UNKNOWN.
  tooManyRequests: etcd(Status.unknown, 'too many requests'),
  noLeader: etcd(Status.unavailable, 'no leader'),
  leaderChanged: etcd(Status.unavailable, 'leader changed'),
  stopped: etcd(Status.unavailable, 'server stopped'),
  timeout: etcd(Status.unavailable, 'request timed out'),
  timeoutLeaderFailure: etcd(
    Status.unavailable,
    'request timed out, possibly due to previous leader failure',
  ),
  timeoutApplied: etcd(
    Status.unavailable,
    'request timed out, waiting for the applied index took too long',
  ),
  corrupt: etcd(Status.dataLoss, 'corrupt cluster'),
  notSupportedForLearner: etcd(Status.failedPrecondition, 'rpc not supported for learner'),
  authNotEnabled: etcd(Status.failedPrecondition, 'authentication is not enabled'),
  // etcd has no refusal of its own: it crashes.
  unknownAlarmAction: etcd(Status.invalidArgument, 'unknown alarm action'),
  // Texts without the prefix.
  deadlineExceeded: DEADLINE_EXCEEDED,
  notPrimaryLessor: e(Status.unknown, 'not a primary lessor'),
  unknownHealthService: e(Status.notFound, 'unknown service'),
  rangeStreamSort: e(Status.unimplemented, 'RangeStream does not support custom sort orders'),
  rangeStreamFilters: e(Status.unimplemented, 'RangeStream does not support revision filters'),
} as const;

const byReason: Record<MvccReason, RpcError> = {
  compacted: errors.compacted,
  'future-revision': errors.futureRevision,
  'state-replaced': errors.leaderChanged,
  'lease-not-found': errors.leaseNotFound,
  'lease-exists': errors.leaseExists,
  'lease-ttl-too-large': errors.leaseTtlTooLarge,
};

/** The client-visible form of a store's refusal. */
export function errorOf(reason: MvccReason): RpcError {
  return byReason[reason];
}

/** The answer to a method of the API that this server does not serve. */
export function unimplemented(path: string): RpcError {
  const [, service = '', method = ''] = path.split('/');
  return unknownMethod(service, method);
}

/**
 * The refusal of a message that is not of its type: that of grpc-go. Only transactions contain
 * messages of their own type, and etcd refuses those that are too deep for the number of their
 * operations.
 */
export function malformed(error: DecodeError): RpcError {
  if (error instanceof NestingError) return errors.tooManyOps;
  return e(Status.internal, `grpc: error unmarshalling request: ${error.message}`);
}

/** A failure that is no refusal: the disk, or a fault of this server. */
export function internal(problem: string): RpcError {
  return e(Status.internal, problem);
}

/** An active alarm among the errors of a Status response. */
export function alarmText(memberId: bigint, name: string): string {
  return `memberID:${memberId} alarm:${name} `;
}
