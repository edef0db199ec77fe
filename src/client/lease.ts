import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller } from './channel.js';
import { ServiceCalls } from './service-calls.js';

export type LeaseClient = ReturnType<typeof leaseClient>;

/** etcdserverpb.Lease. Each method but `keepAlive` throws ClientError. */
export function leaseClient(caller: Caller) {
  const calls = new ServiceCalls(caller, 'etcdserverpb.Lease');
  const revoke = calls.unary(
    'LeaseRevoke',
    rpc.encodeLeaseRevokeRequest,
    rpc.decodeLeaseRevokeResponse,
  );
  const leases = calls.unary(
    'LeaseLeases',
    rpc.encodeLeaseLeasesRequest,
    rpc.decodeLeaseLeasesResponse,
  );
  return {
    grant: calls.unary('LeaseGrant', rpc.encodeLeaseGrantRequest, rpc.decodeLeaseGrantResponse),
    revoke: (ID: bigint, options?: CallOptions) => revoke({ ID }, options),
    timeToLive: calls.unary(
      'LeaseTimeToLive',
      rpc.encodeLeaseTimeToLiveRequest,
      rpc.decodeLeaseTimeToLiveResponse,
    ),
    leases: (options?: CallOptions) => leases({}, options),
    /** Opens a stream of renewals: each request is answered, in order. It renews nothing by itself. */
    keepAlive: calls.stream(
      'LeaseKeepAlive',
      rpc.encodeLeaseKeepAliveRequest,
      rpc.decodeLeaseKeepAliveResponse,
    ),
  };
}
