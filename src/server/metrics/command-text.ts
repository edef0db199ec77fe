import { CommandKind } from '../contract/command.js';
import { deleteRangeText, putText, txnText } from './request-text.js';

/** Names of commands in the labels of etcd's metrics; two kinds may share one. */
const OPERATION_NAMES: Readonly<Record<CommandKind, string>> = {
  [CommandKind.put]: 'Put',
  [CommandKind.deleteRange]: 'DeleteRange',
  [CommandKind.txn]: 'Txn',
  [CommandKind.compact]: 'Compaction',
  [CommandKind.leaseGrant]: 'LeaseGrant',
  [CommandKind.leaseRevoke]: 'LeaseRevoke',
  [CommandKind.leaseCheckpoint]: 'LeaseCheckpoint',
  [CommandKind.alarm]: 'Alarm',
  [CommandKind.memberAttributes]: 'ClusterMemberAttrSet',
  [CommandKind.clusterVersion]: 'ClusterVersionSet',
  // Etcd revokes an expired lease with the command for any lease.
  [CommandKind.leaseExpire]: 'LeaseRevoke',
};

/** The value of the label `op` for a kind. */
export function operationName(kind: CommandKind): string {
  return OPERATION_NAMES[kind];
}

/** A command for log lines: its name, and what it does to keys, without their values. */
export function commandText(kind: number, body: Uint8Array): string {
  switch (kind) {
    case CommandKind.put:
      return `put:<${putText(body)}>`;
    case CommandKind.deleteRange:
      return `delete_range:<${deleteRangeText(body)}>`;
    case CommandKind.txn:
      return `txn:<${txnText(body)}>`;
    default:
      return `${OPERATION_NAMES[kind as CommandKind]}:<size:${body.length}>`;
  }
}
