/**
 * The line `request stats` of calls that took long, with the fields of etcd's unary interceptor
 * (server/etcdserver/api/v3rpc/interceptor.go); at level debug, of every call.
 */
import type { Clock } from '../../base/env/env.js';
import type { Logger } from '../../base/observe/logger.js';
import { durationText } from '../../base/observe/units.js';
import { DecodeError, Reader } from '../../base/protobuf/runtime.js';
import { decodeTxnRequest } from '../../gen/rpc.js';
import { deleteRangeText, putText, rangeText, txnText } from './request-text.js';

/** Time between two lines: when everything is slow, writing about each call would make it slower. */
const INTERVAL_MS = 100;

/** A call that ended. */
export interface FinishedCall {
  readonly path: string;
  readonly remote: string;
  readonly request: Uint8Array;
  /** Null when the call was refused, or answered in parts. */
  readonly response: Uint8Array | null;
  /** Bytes of the response; 0 when the call was refused. */
  readonly responseBytes: number;
  /** Wall-clock milliseconds since the epoch. */
  readonly startedMs: number;
  readonly tookMs: number;
}

interface CallStats {
  readonly requestCount: number;
  readonly requestSize: number;
  readonly responseCount: number;
  readonly content: string;
}

/** Etcd counts nothing of other calls. */
const UNCOUNTED: CallStats = { requestCount: -1, requestSize: -1, responseCount: -1, content: '' };

export class SlowCallLog {
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly slowMs: number;
  private nextMs = 0;
  private unlogged = 0;

  /** Calls longer than `slowMs` are logged as warnings. */
  constructor(clock: Clock, log: Logger, slowMs: number) {
    this.clock = clock;
    this.log = log;
    this.slowMs = slowMs;
  }

  /** True if a call of this length has a line. */
  concerns(tookMs: number): boolean {
    return tookMs > this.slowMs || this.log.enabled('debug');
  }

  /** Requires: `concerns(call.tookMs)`. */
  report(call: FinishedCall): void {
    if (this.log.enabled('debug')) {
      return this.log.debug('request stats', fieldsOf(call));
    }
    const nowMs = this.clock.monoMs();
    if (nowMs < this.nextMs) {
      this.unlogged++;
      return;
    }
    this.nextMs = nowMs + INTERVAL_MS;
    const others = this.unlogged === 0 ? {} : { 'others-not-logged': this.unlogged };
    this.unlogged = 0;
    this.log.warn('request stats', { ...fieldsOf(call), ...others });
  }
}

function fieldsOf(call: FinishedCall): Readonly<Record<string, string | number>> {
  const stats = statsOf(call);
  return {
    'start time': new Date(call.startedMs).toISOString(),
    'time spent': durationText(call.tookMs),
    remote: call.remote,
    'response type': call.path,
    'request count': stats.requestCount,
    'request size': stats.requestSize,
    'response count': stats.responseCount,
    'response size': stats === UNCOUNTED ? -1 : call.responseBytes,
    'request content': stats.content,
  };
}

function statsOf(call: FinishedCall): CallStats {
  try {
    return countedStats(call);
  } catch (error) {
    // A call may be slow to be refused for what is in its request.
    if (error instanceof DecodeError) return UNCOUNTED;
    throw error;
  }
}

function countedStats({ path, request, response, responseBytes }: FinishedCall): CallStats {
  const requestSize = request.length;
  switch (path) {
    case '/etcdserverpb.KV/Range': {
      // The rows of a reply in parts are not counted.
      const responseCount = response === null && responseBytes > 0 ? -1 : numberField(response, 4);
      return { requestCount: 0, requestSize, responseCount, content: rangeText(request) };
    }
    case '/etcdserverpb.KV/Put':
      return { requestCount: 1, requestSize, responseCount: 0, content: putText(request) };
    case '/etcdserverpb.KV/DeleteRange': {
      const responseCount = numberField(response, 2);
      return { requestCount: 0, requestSize, responseCount, content: deleteRangeText(request) };
    }
    case '/etcdserverpb.KV/Txn':
      return response === null ? { ...UNCOUNTED, responseCount: 0 } : txnStats(request, response);
    default:
      return UNCOUNTED;
  }
}

/** Of a transaction, the branch that was taken counts. */
function txnStats(request: Uint8Array, response: Uint8Array): CallStats {
  const branchField = numberField(response, 2) !== 0 ? 2 : 3;
  const { success, failure } = decodeTxnRequest(request);
  return {
    requestCount: (branchField === 2 ? success : failure).length,
    requestSize: fieldBytes(request, branchField),
    responseCount: 0,
    content: txnText(request),
  };
}

/** The varint in `field` of an encoded message, 0 when there is none; nothing else is decoded. */
function numberField(message: Uint8Array | null, field: number): number {
  if (message === null) return 0;
  let value = 0;
  scan(message, (reader, tag) => {
    if (tag >>> 3 === field && (tag & 7) === 0) value = reader.int(message.length);
    else reader.skip(tag, message.length);
  });
  return value;
}

/** Bytes of all messages in `field` of an encoded message. */
function fieldBytes(message: Uint8Array, field: number): number {
  let bytes = 0;
  scan(message, (reader, tag) => {
    if (tag >>> 3 === field && (tag & 7) === 2) bytes += reader.bytes(message.length).length;
    else reader.skip(tag, message.length);
  });
  return bytes;
}

function scan(message: Uint8Array, field: (reader: Reader, tag: number) => void): void {
  const reader = new Reader(message, 0);
  while (reader.pos < message.length) field(reader, reader.tag(message.length));
}
