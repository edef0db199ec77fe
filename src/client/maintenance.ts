import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller } from './channel.js';

const SERVICE = '/etcdserverpb.Maintenance';

/** etcdserverpb.Maintenance. Each method throws ClientError. */
export class MaintenanceClient {
  private readonly caller: Caller;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  async status(options?: CallOptions): Promise<rpc.StatusResponse> {
    const bytes = rpc.encodeStatusRequest({});
    return rpc.decodeStatusResponse(await this.caller.unary(`${SERVICE}/Status`, bytes, options));
  }

  async alarm(request: rpc.AlarmRequestInit, options?: CallOptions): Promise<rpc.AlarmResponse> {
    const bytes = rpc.encodeAlarmRequest(request);
    return rpc.decodeAlarmResponse(await this.caller.unary(`${SERVICE}/Alarm`, bytes, options));
  }

  /** `revision` 0 asks for the newest. */
  async hashKv(revision: number, options?: CallOptions): Promise<rpc.HashKVResponse> {
    const bytes = rpc.encodeHashKVRequest({ revision });
    return rpc.decodeHashKVResponse(await this.caller.unary(`${SERVICE}/HashKV`, bytes, options));
  }
}
