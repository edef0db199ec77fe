import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller, ClientError } from './channel.js';
import { MessageStream } from './message-stream.js';

const SERVICE = '/etcdserverpb.Lease';

export type KeepAliveStream = MessageStream<
  rpc.LeaseKeepAliveRequestInit,
  rpc.LeaseKeepAliveResponse
>;

/** etcdserverpb.Lease. Each method but `keepAlive` throws ClientError. */
export class LeaseClient {
  private readonly caller: Caller;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  async grant(
    request: rpc.LeaseGrantRequestInit,
    options?: CallOptions,
  ): Promise<rpc.LeaseGrantResponse> {
    const bytes = rpc.encodeLeaseGrantRequest(request);
    return rpc.decodeLeaseGrantResponse(
      await this.caller.unary(`${SERVICE}/LeaseGrant`, bytes, options),
    );
  }

  async revoke(ID: bigint, options?: CallOptions): Promise<rpc.LeaseRevokeResponse> {
    const bytes = rpc.encodeLeaseRevokeRequest({ ID });
    return rpc.decodeLeaseRevokeResponse(
      await this.caller.unary(`${SERVICE}/LeaseRevoke`, bytes, options),
    );
  }

  async timeToLive(
    request: rpc.LeaseTimeToLiveRequestInit,
    options?: CallOptions,
  ): Promise<rpc.LeaseTimeToLiveResponse> {
    const bytes = rpc.encodeLeaseTimeToLiveRequest(request);
    return rpc.decodeLeaseTimeToLiveResponse(
      await this.caller.unary(`${SERVICE}/LeaseTimeToLive`, bytes, options),
    );
  }

  async leases(options?: CallOptions): Promise<rpc.LeaseLeasesResponse> {
    const bytes = rpc.encodeLeaseLeasesRequest({});
    return rpc.decodeLeaseLeasesResponse(
      await this.caller.unary(`${SERVICE}/LeaseLeases`, bytes, options),
    );
  }

  /** Opens a stream of renewals: each request is answered, in order. It renews nothing by itself. */
  keepAlive(
    on: {
      readonly message: (response: rpc.LeaseKeepAliveResponse) => void;
      readonly end: (error: ClientError | null) => void;
    },
    options?: CallOptions,
  ): KeepAliveStream {
    const stream = this.caller.stream(`${SERVICE}/LeaseKeepAlive`, options);
    const { encodeLeaseKeepAliveRequest, decodeLeaseKeepAliveResponse } = rpc;
    return new MessageStream(stream, encodeLeaseKeepAliveRequest, decodeLeaseKeepAliveResponse, on);
  }
}
