import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller, ClientError } from './channel.js';
import { MessageStream } from './message-stream.js';

const SERVICE = '/etcdserverpb.KV';

/** etcdserverpb.KV. Each method but `rangeStream` throws ClientError. */
export class KvClient {
  private readonly caller: Caller;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  async range(request: rpc.RangeRequestInit, options?: CallOptions): Promise<rpc.RangeResponse> {
    const bytes = rpc.encodeRangeRequest(request);
    return rpc.decodeRangeResponse(await this.caller.unary(`${SERVICE}/Range`, bytes, options));
  }

  /** A list in several messages; header, `more` and `count` come with the last. */
  rangeStream(
    request: rpc.RangeRequestInit,
    on: {
      readonly message: (response: rpc.RangeStreamResponse) => void;
      readonly end: (error: ClientError | null) => void;
    },
    options?: CallOptions,
  ): MessageStream<rpc.RangeRequestInit, rpc.RangeStreamResponse> {
    const calls = this.caller.stream(`${SERVICE}/RangeStream`, options);
    const { encodeRangeRequest, decodeRangeStreamResponse } = rpc;
    const stream = new MessageStream(calls, encodeRangeRequest, decodeRangeStreamResponse, on);
    stream.send(request);
    stream.halfClose();
    return stream;
  }

  async put(request: rpc.PutRequestInit, options?: CallOptions): Promise<rpc.PutResponse> {
    const bytes = rpc.encodePutRequest(request);
    return rpc.decodePutResponse(await this.caller.unary(`${SERVICE}/Put`, bytes, options));
  }

  async deleteRange(
    request: rpc.DeleteRangeRequestInit,
    options?: CallOptions,
  ): Promise<rpc.DeleteRangeResponse> {
    const bytes = rpc.encodeDeleteRangeRequest(request);
    return rpc.decodeDeleteRangeResponse(
      await this.caller.unary(`${SERVICE}/DeleteRange`, bytes, options),
    );
  }

  async txn(request: rpc.TxnRequestInit, options?: CallOptions): Promise<rpc.TxnResponse> {
    const bytes = rpc.encodeTxnRequest(request);
    return rpc.decodeTxnResponse(await this.caller.unary(`${SERVICE}/Txn`, bytes, options));
  }

  async compact(
    request: rpc.CompactionRequestInit,
    options?: CallOptions,
  ): Promise<rpc.CompactionResponse> {
    const bytes = rpc.encodeCompactionRequest(request);
    return rpc.decodeCompactionResponse(
      await this.caller.unary(`${SERVICE}/Compact`, bytes, options),
    );
  }
}
