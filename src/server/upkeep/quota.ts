import {
  decodePutRequest,
  decodeTxnRequest,
  type RequestOp,
  type TxnRequest,
} from '../../gen/rpc.js';
import { CommandKind } from '../contract/command.js';

/*
 * Estimates the bytes a command may add to the backend, as etcd does. A command that adds nothing
 * passes at any size, so that transactions that only delete can still clean up a full member.
 *
 * Ref: costPut, costTxn and Available in etcd server/storage/quota.go.
 */

const KEY_OVERHEAD_BYTES = 256;
const LEASE_BYTES = 64;
/** No put in a request is shorter than this, with its key of one byte and the tags and lengths around it. */
const SHORTEST_PUT_BYTES = 5;

/**
 * Bytes that a command of this kind and length cannot exceed: passes most commands without decoding
 * them.
 */
export function mostAddedBytes(kind: CommandKind, requestBytes: number): number {
  switch (kind) {
    case CommandKind.put:
      return KEY_OVERHEAD_BYTES + requestBytes;
    case CommandKind.txn:
      return Math.ceil(requestBytes / SHORTEST_PUT_BYTES) * KEY_OVERHEAD_BYTES + requestBytes;
    case CommandKind.leaseGrant:
      return LEASE_BYTES;
    default:
      return 0;
  }
}

/** Estimated bytes a command adds; 0 for those that add nothing. */
export function addedBytes(kind: CommandKind, request: Uint8Array): number {
  switch (kind) {
    case CommandKind.put: {
      const { key, value } = decodePutRequest(request);
      return KEY_OVERHEAD_BYTES + key.length + value.length;
    }
    case CommandKind.txn:
      return addedByTxn(decodeTxnRequest(request));
    case CommandKind.leaseGrant:
      return LEASE_BYTES;
    default:
      return 0;
  }
}

/** The greater of what the two branches add. */
function addedByTxn(txn: TxnRequest): number {
  return Math.max(addedByOps(txn.success), addedByOps(txn.failure));
}

function addedByOps(ops: readonly RequestOp[]): number {
  let bytes = 0;
  for (const { requestPut, requestTxn } of ops) {
    if (requestPut !== undefined) {
      bytes += KEY_OVERHEAD_BYTES + requestPut.key.length + requestPut.value.length;
    } else if (requestTxn !== undefined) {
      bytes += addedByTxn(requestTxn);
    }
  }
  return bytes;
}
