import {
  decodeAlarmRequest,
  decodeHashKVRequest,
  encodeHashKVResponse,
  encodeStatusResponse,
} from '../../gen/rpc.js';
import type { HashResult } from '../../mvcc/hash.js';
import { NONE } from '../../raft/types.js';
import { RpcError, Status, type Method, type UnaryCall } from '../../rpc/service.js';
import { ETCD_CLUSTER_VERSION, ETCD_VERSION } from '../../base/flags/version.js';
import { errorOf, errors } from '../contract/errors.js';
import { CommandKind } from '../contract/member-api.js';
import type { Member } from '../member/member.js';

/** What Status reports as quota when none is set, as etcd does. */
const NO_QUOTA = -1;
const LAST_ALARM_ACTION = 2;
const ALARM_NAMES = ['NONE', 'NOSPACE', 'CORRUPT'];

const invalidAlarmAction = Object.freeze(
  new RpcError(Status.invalidArgument, 'etcdserver: unknown alarm action'),
);

/** The parts of etcdserverpb.Maintenance that this release serves. */
export function maintenanceService(member: Member): [string, Method][] {
  function status(_request: Uint8Array, call: UnaryCall): void {
    const problems: string[] = [];
    if (member.leaderId === NONE) problems.push(errors.noLeader.message);
    for (const a of member.machine.alarms.list(0)) {
      problems.push(`memberID:${a.memberID} alarm:${ALARM_NAMES[a.alarm] ?? a.alarm} `);
    }
    call.reply(
      encodeStatusResponse({
        header: member.header(),
        version: ETCD_VERSION,
        dbSize: member.backend.sizeBytes(),
        dbSizeInUse: member.backend.sizeInUseBytes(),
        dbSizeQuota: Number.isFinite(member.quotaBytes) ? member.quotaBytes : NO_QUOTA,
        leader: member.leaderId,
        raftIndex: member.committedIndex,
        raftTerm: member.term,
        raftAppliedIndex: member.appliedIndex,
        errors: problems,
        isLearner: member.isLearner,
        storageVersion: ETCD_CLUSTER_VERSION,
        downgradeInfo: {},
      }),
    );
  }

  function alarm(request: Uint8Array, call: UnaryCall): void {
    const { action } = decodeAlarmRequest(request);
    // etcd crashes on an unknown action; refusing it is the one deliberate difference.
    if (action < 0 || action > LAST_ALARM_ACTION) return call.fail(invalidAlarmAction);
    member.propose(CommandKind.alarm, request, (error, reply) => {
      if (reply !== null) call.reply(reply);
      else call.fail(error ?? errors.stopped);
    });
  }

  function hashKv(request: Uint8Array, call: UnaryCall): void {
    const { revision } = decodeHashKVRequest(request);
    member.whenReadable(() => {
      member.store.hashKV(revision, (reason, result) => {
        if (result !== null) return call.reply(hashReply(result));
        if (typeof reason === 'string') return call.fail(errorOf(reason));
        call.fail(new RpcError(Status.internal, String(reason)));
      });
    });
  }

  function hashReply({ hash, compactRevision, hashRevision }: HashResult): Uint8Array {
    return encodeHashKVResponse({ header: member.header(), hash, compactRevision, hashRevision });
  }

  return [
    ['/etcdserverpb.Maintenance/Status', { kind: 'unary', handle: status }],
    ['/etcdserverpb.Maintenance/Alarm', { kind: 'unary', handle: alarm }],
    ['/etcdserverpb.Maintenance/HashKV', { kind: 'unary', handle: hashKv }],
  ];
}
