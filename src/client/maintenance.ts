import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller } from './channel.js';
import { ServiceCalls } from './service-calls.js';

export type MaintenanceClient = ReturnType<typeof maintenanceClient>;

/** etcdserverpb.Maintenance. Each method throws ClientError. */
export function maintenanceClient(caller: Caller) {
  const calls = new ServiceCalls(caller, 'etcdserverpb.Maintenance');
  const status = calls.unary('Status', rpc.encodeStatusRequest, rpc.decodeStatusResponse);
  const hashKv = calls.unary('HashKV', rpc.encodeHashKVRequest, rpc.decodeHashKVResponse);
  return {
    status: (options?: CallOptions) => status({}, options),
    alarm: calls.unary('Alarm', rpc.encodeAlarmRequest, rpc.decodeAlarmResponse),
    /** `revision` 0 asks for the newest. */
    hashKv: (revision: number, options?: CallOptions) => hashKv({ revision }, options),
  };
}
