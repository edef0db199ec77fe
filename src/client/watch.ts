import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller, ClientError } from './channel.js';
import { MessageStream } from './message-stream.js';

export type WatchStream = MessageStream<rpc.WatchRequestInit, rpc.WatchResponse>;

/** etcdserverpb.Watch. */
export class WatchClient {
  private readonly caller: Caller;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  /** Opens a stream, on which any number of watchers can be created. It is not opened again when it ends. */
  open(
    on: {
      readonly message: (response: rpc.WatchResponse) => void;
      readonly end: (error: ClientError | null) => void;
    },
    options?: CallOptions,
  ): WatchStream {
    const stream = this.caller.stream('/etcdserverpb.Watch/Watch', options);
    return new MessageStream(stream, rpc.encodeWatchRequest, rpc.decodeWatchResponse, on);
  }
}
