import { expect } from 'chai';
import {
  silentLogger,
  type LogFields,
  type Logger,
  type LogLevel,
} from '../../../src/base/observe/logger.js';
import {
  encodeDeleteRangeResponse,
  encodePutRequest,
  encodePutResponse,
  encodeRangeRequest,
  encodeRangeResponse,
  encodeTxnRequest,
  encodeTxnResponse,
} from '../../../src/gen/rpc.js';
import {
  RpcError,
  Status,
  type Method,
  type StreamCall,
  type UnaryCall,
} from '../../../src/rpc/service.js';
import { ClientRequests } from '../../../src/server/metrics/counters.js';
import { observedTable } from '../../../src/server/metrics/observed-calls.js';
import { SlowCallLog } from '../../../src/server/metrics/slow-calls.js';

const KEY = Buffer.from('k');
const VALUE = Buffer.from('secret');
const REFUSED = new RpcError(Status.unavailable, 'no');

/** A call that notes how it ended. */
function unaryCall(metadata: Readonly<Record<string, string>> = {}): UnaryCall & {
  readonly ends: string[];
} {
  const ends: string[] = [];
  return {
    ends,
    peer: '127.0.0.1:9',
    deadlineMs: 77,
    cancelled: false,
    metadata: (name) => metadata[name],
    onCancel: (listener) => listener(),
    reply: (message) => ends.push(`reply ${message.length}`),
    replyParts: (bytes) => ends.push(`parts ${bytes}`),
    fail: (error) => ends.push(error.message),
  };
}

describe('observedTable', () => {
  let nowMs: number;
  let lines: [level: LogLevel, msg: string, fields: LogFields][];
  let isVerbose: boolean;
  let clients: ClientRequests;
  const clock = { monoMs: (): number => nowMs, wallMs: (): number => 1_000_000 + nowMs };
  const log: Logger = {
    ...silentLogger,
    enabled: (level) => level !== 'debug' || isVerbose,
    debug: (msg, fields) => lines.push(['debug', msg, fields ?? {}]),
    warn: (msg, fields) => lines.push(['warn', msg, fields ?? {}]),
  };
  let slow: SlowCallLog;

  beforeEach(() => {
    nowMs = 500;
    lines = [];
    isVerbose = false;
    clients = new ClientRequests();
    slow = new SlowCallLog(clock, log, 300);
  });

  /** Runs a call of `path` that takes `tookMs` and ends by `end`. */
  function run(
    path: string,
    request: Uint8Array,
    tookMs: number,
    end: (call: UnaryCall) => void,
    call = unaryCall(),
  ): string[] {
    const method: Method = {
      kind: 'unary',
      handle: (_request, observed) => {
        nowMs += tookMs;
        end(observed);
      },
    };
    const observed = observedTable(new Map([[path, method]]), { clock, clients, slow }).get(path);
    if (observed?.kind !== 'unary') throw new Error('not unary');
    observed.handle(request, call);
    return call.ends;
  }

  const PUT = '/etcdserverpb.KV/Put';
  const put = encodePutRequest({ key: KEY, value: VALUE });

  it('logs a slow call with the fields of etcd', () => {
    const response = encodePutResponse({});
    expect(run(PUT, put, 301.5, (call) => call.reply(response))).deep.equal(['reply 0']);
    expect(lines).deep.equal([
      [
        'warn',
        'request stats',
        {
          'start time': new Date(1_000_500).toISOString(),
          'time spent': '301.5ms',
          remote: '127.0.0.1:9',
          'response type': PUT,
          'request count': 1,
          'request size': put.length,
          'response count': 0,
          'response size': 0,
          'request content': 'key:"k" value_size:6',
        },
      ],
    ]);
  });

  it('logs nothing of others', () => {
    run(PUT, put, 300, (call) => call.reply(Buffer.alloc(0)));
    run(PUT, put, 5, (call) => call.fail(REFUSED));
    expect(lines).deep.equal([]);
  });

  it('logs every call at level debug', () => {
    isVerbose = true;
    run(PUT, put, 0.25, (call) => call.reply(Buffer.alloc(0)));
    run(PUT, put, 1000, (call) => call.reply(Buffer.alloc(0)));
    expect(lines.map(([level, msg, fields]) => [level, msg, fields['time spent']])).deep.equal([
      ['debug', 'request stats', '250µs'],
      ['debug', 'request stats', '1s'],
    ]);
  });

  it('counts requests and replies of each kind of call', () => {
    isVerbose = true;
    const kvs = [{ key: KEY, value: VALUE }];
    const range = encodeRangeRequest({ key: KEY });
    const found = encodeRangeResponse({ header: { revision: 1 }, kvs, count: 3 });
    const deleted = encodeDeleteRangeResponse({ deleted: 4, prevKvs: kvs });
    const ops = [{ requestPut: { key: KEY } }, { requestPut: { key: KEY } }];
    const txn = encodeTxnRequest({ success: ops, failure: [{ requestRange: { key: KEY } }] });
    const rows = (path: string, request: Uint8Array, end: (call: UnaryCall) => void): unknown[] => {
      run(path, request, 1, end);
      const fields = lines.at(-1)?.[2] ?? {};
      return [
        fields['request count'],
        fields['request size'],
        fields['response count'],
        fields['response size'],
      ];
    };
    const RANGE = '/etcdserverpb.KV/Range';
    const TXN = '/etcdserverpb.KV/Txn';
    const whole = (bytes: Uint8Array) => (call: UnaryCall) => call.reply(bytes);
    expect(rows(RANGE, range, whole(found))).deep.equal([0, range.length, 3, found.length]);
    expect(
      rows(RANGE, range, (call) => {
        call.replyParts(9_000_000, { next: () => undefined, abort: () => undefined });
      }),
    ).deep.equal([0, range.length, -1, 9_000_000]);
    expect(rows(RANGE, range, (call) => call.fail(REFUSED))).deep.equal([0, range.length, 0, 0]);
    expect(rows('/etcdserverpb.KV/DeleteRange', range, whole(deleted))).deep.equal([
      0,
      range.length,
      4,
      deleted.length,
    ]);
    const won = encodeTxnResponse({ succeeded: true });
    const lost = encodeTxnResponse({ succeeded: false });
    expect(rows(TXN, txn, whole(won))).deep.equal([2, 10, 0, won.length]);
    expect(rows(TXN, txn, whole(lost))).deep.equal([1, 5, 0, lost.length]);
    expect(rows('/etcdserverpb.Lease/LeaseGrant', range, whole(won))).deep.equal([-1, -1, -1, -1]);
    expect(rows(PUT, Uint8Array.of(0xff), (call) => call.fail(REFUSED))).deep.equal([
      -1, -1, -1, -1,
    ]);
  });

  it('writes one line in 100 ms, and how many it left out', () => {
    for (let i = 0; i < 3; i++) {
      run(PUT, put, 400, (call) => call.reply(Buffer.alloc(0)));
      nowMs -= 400;
    }
    nowMs += 100;
    run(PUT, put, 400, (call) => call.fail(REFUSED));
    expect(lines.map(([, , fields]) => fields['others-not-logged'])).deep.equal([undefined, 2]);
  });

  it('passes the call on as it is', () => {
    let cancelled = 0;
    run(
      PUT,
      put,
      1,
      (call) => {
        call.onCancel(() => cancelled++);
        expect([call.peer, call.deadlineMs, call.cancelled, call.metadata('a')]).deep.equal([
          '127.0.0.1:9',
          77,
          false,
          'b',
        ]);
        call.reply(Buffer.alloc(3));
      },
      unaryCall({ a: 'b' }),
    );
    expect(cancelled).equal(1);
  });

  it("counts calls by their client's version", () => {
    const done = (call: UnaryCall): void => call.reply(Buffer.alloc(0));
    run(PUT, put, 1, done, unaryCall({ 'client-api-version': '3.6' }));
    run(PUT, put, 1, done);
    let streams = 0;
    const stream: Method = {
      kind: 'stream',
      streamType: 'bidi_stream',
      handle: () => streams++,
    };
    const observed = observedTable(new Map([['/w', stream]]), { clock, clients, slow }).get('/w');
    if (observed?.kind !== 'stream') throw new Error('not a stream');
    expect(observed.streamType).equal('bidi_stream');
    const call: Pick<StreamCall, 'metadata'> = { metadata: () => '3.5' };
    observed.handle(call as StreamCall);
    const counted: string[] = [];
    clients.forEach((type, version, count) => counted.push(`${type} ${version} ${count}`));
    expect(counted).deep.equal(['unary 3.6 1', 'unary unknown 1', 'stream 3.5 1']);
    expect(streams).equal(1);
  });
});
