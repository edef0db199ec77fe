import { decodeLeaseRevokeRequest, encodeLeaseRevokeRequest } from '../../gen/rpc.js';
import { DecodeError } from '../../base/protobuf/runtime.js';
import type { LeaseId } from '../../mvcc/types.js';

/*
 * Body of the leaseExpire command: term u64 big-endian, then a LeaseRevokeRequest.
 *
 * The term is that of the leader by whose clock the lease is over. If the command reaches the log
 * in another term, a new leader may have renewed the lease meanwhile, and apply drops it.
 */
const TERM_BYTES = 8;

export function encodeLeaseExpiry(term: number, id: LeaseId): Uint8Array {
  const revoke = encodeLeaseRevokeRequest({ ID: id });
  const body = Buffer.alloc(TERM_BYTES + revoke.length);
  body.writeBigUInt64BE(BigInt(term));
  body.set(revoke, TERM_BYTES);
  return body;
}

export interface LeaseExpiry {
  readonly term: number;
  readonly id: LeaseId;
}

/** Throws: DecodeError. */
export function decodeLeaseExpiry(body: Uint8Array): LeaseExpiry {
  if (body.length < TERM_BYTES) throw new DecodeError('a lease expiry without a term');
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    term: Number(view.getBigUint64(0)),
    id: decodeLeaseRevokeRequest(body, TERM_BYTES).ID,
  };
}
