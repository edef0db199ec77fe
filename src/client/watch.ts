import * as rpc from '../gen/rpc.js';
import type { Caller } from './channel.js';
import { ServiceCalls } from './service-calls.js';

export type WatchClient = ReturnType<typeof watchClient>;

/** etcdserverpb.Watch. */
export function watchClient(caller: Caller) {
  const calls = new ServiceCalls(caller, 'etcdserverpb.Watch');
  return {
    /** Opens a stream, on which any number of watchers can be created. It is not opened again when it ends. */
    open: calls.stream('Watch', rpc.encodeWatchRequest, rpc.decodeWatchResponse),
  };
}
