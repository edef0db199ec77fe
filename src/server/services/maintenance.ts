import {
  decodeAlarmRequest,
  decodeHashKVRequest,
  encodeHashKVResponse,
  encodeStatusResponse,
} from '../../gen/rpc.js';
import { NONE } from '../../raft/types.js';
import type { Method, UnaryCall } from '../../rpc/service.js';
import { ETCD_CLUSTER_VERSION, ETCD_VERSION } from '../../base/flags/version.js';
import { alarmText, errorOf, errors, internal } from '../contract/errors.js';
import { CommandKind } from '../contract/command.js';
import type { Roles } from '../contract/roles.js';
import { alarmName } from '../upkeep/alarms.js';
import { settle } from './settle.js';

/** Quota in Status when none is set, as etcd reports it. */
const NO_QUOTA = -1;
const LAST_ALARM_ACTION = 2;

export type MaintenanceRoles = Pick<
  Roles,
  'headers' | 'proposals' | 'reads' | 'leadership' | 'cluster' | 'alarms' | 'quota'
>;

/** The parts of etcdserverpb.Maintenance that this release serves. */
export function maintenanceService(roles: MaintenanceRoles): [string, Method][] {
  const { headers, proposals, reads, leadership, cluster, alarms, quota } = roles;

  function status(_request: Uint8Array, call: UnaryCall): void {
    const { backend } = reads.store;
    const problems: string[] = [];
    if (leadership.leaderId === NONE) problems.push(errors.noLeader.message);
    for (const a of alarms.list(0)) {
      problems.push(alarmText(a.memberID, alarmName(a.alarm)));
    }
    call.reply(
      encodeStatusResponse({
        header: headers.fields(),
        version: ETCD_VERSION,
        dbSize: backend.sizeBytes(),
        dbSizeInUse: backend.sizeInUseBytes(),
        dbSizeQuota: Number.isFinite(quota.quotaBytes) ? quota.quotaBytes : NO_QUOTA,
        leader: leadership.leaderId,
        raftIndex: leadership.committedIndex,
        raftTerm: leadership.term,
        raftAppliedIndex: leadership.appliedIndex,
        errors: problems,
        isLearner: cluster.isLearner,
        storageVersion: ETCD_CLUSTER_VERSION,
        downgradeInfo: {},
      }),
    );
  }

  function alarm(request: Uint8Array, call: UnaryCall): void {
    const { action } = decodeAlarmRequest(request);
    // etcd crashes on an unknown action; refusing it is the one deliberate difference.
    if (action < 0 || action > LAST_ALARM_ACTION) return call.fail(errors.unknownAlarmAction);
    proposals.propose(CommandKind.alarm, request, (error, reply) => {
      settle(reads.slices, call, error, reply);
    });
  }

  function hashKv(request: Uint8Array, call: UnaryCall): void {
    const { revision } = decodeHashKVRequest(request);
    reads.whenReadable(() => {
      // A caller that compares members asks again at the revision that the header names: it must be
      // the one that was hashed.
      const header = headers.fields();
      reads.store.hashKV(revision, (reason, result) => {
        if (result !== null) return call.reply(encodeHashKVResponse({ header, ...result }));
        if (typeof reason === 'string') return call.fail(errorOf(reason));
        call.fail(internal(String(reason)));
      });
    });
  }

  return [
    ['/etcdserverpb.Maintenance/Status', { kind: 'unary', handle: status }],
    ['/etcdserverpb.Maintenance/Alarm', { kind: 'unary', handle: alarm }],
    ['/etcdserverpb.Maintenance/HashKV', { kind: 'unary', handle: hashKv }],
  ];
}
