import * as rpc from '../gen/rpc.js';
import type { CallOptions, Caller } from './channel.js';
import type { MessageStream, StreamEvents } from './message-stream.js';
import { ServiceCalls } from './service-calls.js';

export type KvClient = ReturnType<typeof kvClient>;

/** etcdserverpb.KV. Each method but `rangeStream` throws ClientError. */
export function kvClient(caller: Caller) {
  const calls = new ServiceCalls(caller, 'etcdserverpb.KV');
  const openRangeStream = calls.stream(
    'RangeStream',
    rpc.encodeRangeRequest,
    rpc.decodeRangeStreamResponse,
  );
  return {
    range: calls.unary('Range', rpc.encodeRangeRequest, rpc.decodeRangeResponse),
    put: calls.unary('Put', rpc.encodePutRequest, rpc.decodePutResponse),
    deleteRange: calls.unary(
      'DeleteRange',
      rpc.encodeDeleteRangeRequest,
      rpc.decodeDeleteRangeResponse,
    ),
    txn: calls.unary('Txn', rpc.encodeTxnRequest, rpc.decodeTxnResponse),
    compact: calls.unary('Compact', rpc.encodeCompactionRequest, rpc.decodeCompactionResponse),

    /** A list in several messages; header, `more` and `count` come with the last. */
    rangeStream(
      request: rpc.RangeRequestInit,
      on: StreamEvents<rpc.RangeStreamResponse>,
      options?: CallOptions,
    ): MessageStream<rpc.RangeRequestInit, rpc.RangeStreamResponse> {
      const stream = openRangeStream(on, options);
      stream.send(request);
      stream.halfClose();
      return stream;
    },
  };
}
