import {
  decodeClusterVersionCommand,
  decodeMemberAttributesCommand,
  type ClusterVersionCommand,
  type MemberAttributesCommand,
} from '../../gen/peer.js';
import {
  decodeAlarmRequest,
  decodeCompactionRequest,
  decodeDeleteRangeRequest,
  decodeLeaseCheckpointRequest,
  decodeLeaseGrantRequest,
  decodeLeaseRevokeRequest,
  decodePutRequest,
  decodeTxnRequest,
  type AlarmRequest,
  type CompactionRequest,
  type DeleteRangeRequest,
  type LeaseCheckpointRequest,
  type LeaseGrantRequest,
  type LeaseRevokeRequest,
  type PutRequest,
  type TxnRequest,
} from '../../gen/rpc.js';
import { bodyOf, CommandKind, kindOf, readProblem } from '../contract/command.js';
import { errors } from '../contract/errors.js';
import { decodeLeaseExpiry, type LeaseExpiry } from '../contract/lease-expiry.js';
import type { ApplyResult, StateMachine } from './state-machine.js';
import type { TxnPath } from './txn.js';

/** Work done in steps before a command changes anything; the state stays as it is meanwhile. */
export interface Decision {
  /** Goes on for some microseconds; true once it is decided. */
  step(): boolean;
}

/** One kind of command. `Subject` is its request, or the decision about it. */
export interface Command<Request, Subject = Request> {
  /** Throws: DecodeError. */
  decode(body: Uint8Array): Request;
  /** For kinds whose effect depends on any number of keys. */
  decide?(machine: StateMachine, request: Request): Subject & Decision;
  /** Runs to its end within the turn. A refused command has changed nothing. Without `wantReply` the reply is empty. */
  apply(
    machine: StateMachine,
    subject: Subject,
    wantReply: boolean,
    entryTerm: number,
  ): ApplyResult;
  /** A member whose data may be damaged refuses it. */
  readonly isRefusedWhenCorrupt: boolean;
}

const put: Command<PutRequest> = {
  decode: decodePutRequest,
  apply: (machine, request, wantReply) => machine.put(request, wantReply),
  isRefusedWhenCorrupt: true,
};

const deleteRange: Command<DeleteRangeRequest> = {
  decode: decodeDeleteRangeRequest,
  apply: (machine, request, wantReply) => machine.kv.applyDeleteRange(request, wantReply),
  isRefusedWhenCorrupt: true,
};

const txn: Command<TxnRequest, TxnPath> = {
  decode: decodeTxnRequest,
  decide: (machine, request) => machine.kv.choosePath(request),
  apply: (machine, path, wantReply) => machine.txn(path, wantReply),
  isRefusedWhenCorrupt: true,
};

const compact: Command<CompactionRequest> = {
  decode: decodeCompactionRequest,
  apply: (machine, { revision }) => machine.compact(revision),
  isRefusedWhenCorrupt: true,
};

const leaseGrant: Command<LeaseGrantRequest> = {
  decode: decodeLeaseGrantRequest,
  apply: (machine, { ID, TTL }) => machine.grantLease(ID, TTL),
  isRefusedWhenCorrupt: true,
};

const leaseRevoke: Command<LeaseRevokeRequest> = {
  decode: decodeLeaseRevokeRequest,
  apply: (machine, { ID }) => machine.revokeLease(ID),
  isRefusedWhenCorrupt: true,
};

/** An expiry counts only in the term of the leader whose clock it rests on. */
const leaseExpire: Command<LeaseExpiry> = {
  decode: decodeLeaseExpiry,
  apply: (machine, { term, id }, _wantReply, entryTerm) =>
    term === entryTerm ? machine.revokeLease(id) : errors.leaderChanged,
  isRefusedWhenCorrupt: true,
};

const leaseCheckpoint: Command<LeaseCheckpointRequest> = {
  decode: decodeLeaseCheckpointRequest,
  apply: (machine, { checkpoints }) => machine.checkpointLeases(checkpoints),
  isRefusedWhenCorrupt: false,
};

const alarm: Command<AlarmRequest> = {
  decode: decodeAlarmRequest,
  apply: (machine, request) => machine.alarm(request),
  isRefusedWhenCorrupt: false,
};

const memberAttributes: Command<MemberAttributesCommand> = {
  decode: decodeMemberAttributesCommand,
  apply: (machine, attributes) => machine.setMemberAttributes(attributes),
  isRefusedWhenCorrupt: false,
};

const clusterVersion: Command<ClusterVersionCommand> = {
  decode: decodeClusterVersionCommand,
  apply: (machine, request) => machine.setClusterVersion(request),
  isRefusedWhenCorrupt: false,
};

/** Every kind, with all that is known about it. */
export const COMMANDS: Readonly<Record<CommandKind, Command<unknown>>> = {
  [CommandKind.put]: put,
  [CommandKind.deleteRange]: deleteRange,
  [CommandKind.txn]: txn,
  [CommandKind.compact]: compact,
  [CommandKind.leaseGrant]: leaseGrant,
  [CommandKind.leaseRevoke]: leaseRevoke,
  [CommandKind.leaseCheckpoint]: leaseCheckpoint,
  [CommandKind.alarm]: alarm,
  [CommandKind.memberAttributes]: memberAttributes,
  [CommandKind.clusterVersion]: clusterVersion,
  [CommandKind.leaseExpire]: leaseExpire,
};

/** Executes a command in its turn. `subject` is what the row of its kind decoded, or decided. */
export function applyCommand(
  machine: StateMachine,
  command: Command<unknown>,
  subject: unknown,
  wantReply: boolean,
  entryTerm: number,
): ApplyResult {
  if (machine.alarms.corrupt && command.isRefusedWhenCorrupt) return errors.corrupt;
  return command.apply(machine, subject, wantReply, entryTerm);
}

/** The reason why the body of a command without envelope problems cannot be read, or null. */
export function bodyProblem(data: Uint8Array): string | null {
  const command = COMMANDS[kindOf(data) as CommandKind];
  return readProblem((body) => command.decode(body), bodyOf(data));
}
