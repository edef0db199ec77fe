/** Compressed calls, byte for byte: what is packed, what is not, and in which order it leaves. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { ErrorCode, Flag, FrameType, Setting } from '../../src/rpc/http2/frames.js';
import { GzipQueue, GzipWorkers } from '../../src/rpc/http2/gzip.js';
import { GZIP_MIN_BYTES, GZIP_NOW_MAX_BYTES } from '../../src/rpc/http2/limits.js';
import { RpcError, Status } from '../../src/rpc/service.js';
import type { StreamCall } from '../../src/rpc/service.js';
import { CallRecorder, ECHO, STREAM, WAIT } from './support/call-recorder.js';
import {
  dataFrame,
  frame,
  headersFrame,
  message,
  RawClient,
  startRawServer,
  u32,
  type RawServer,
} from './support/raw-client.js';
import { until } from './support/transports.js';

const MIB = 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const GZIP: Fields = [['grpc-encoding', 'gzip']];

type Fields = readonly (readonly [string, string])[];

interface Message {
  readonly flag: number;
  /** Unpacked if the flag is set. */
  readonly body: Buffer;
  readonly wireBytes: number;
}

/** The messages in what a stream carried. */
function messagesIn(bytes: Buffer): Message[] {
  const found: Message[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32BE(at + 1);
    const body = bytes.subarray(at + 5, at + 5 + size);
    const flag = bytes[at] ?? 0;
    found.push({ flag, body: flag === 1 ? gunzipSync(body) : body, wireBytes: size });
    at += 5 + size;
  }
  return found;
}

/** Compressible, and different for each `seed`. */
function textOf(size: number, seed: number): Buffer {
  return Buffer.alloc(size, `value ${seed} `);
}

describe('Http2Transport: gzip', () => {
  let server: RawServer;
  let client: RawClient;

  const calls = new CallRecorder((body, call) => call.write(body.slice()));

  beforeEach(async () => {
    calls.clear();
    server = await startRawServer(calls.table, { maxReceiveBytes: 8 * MIB });
    client = await RawClient.open(server.port, [Setting.initialWindowSize, 64 * MIB]);
    client.send(frame(FrameType.windowUpdate, 0, 0, u32(64 * MIB)));
  });

  afterEach(async () => {
    client.close();
    await server.close();
  });

  function send(streamId: number, path: string, body: Uint8Array, extra: Fields = GZIP): void {
    client.send(headersFrame(streamId, path, extra), dataFrame(streamId, body, true));
  }

  async function openStream(streamId: number): Promise<StreamCall> {
    client.send(headersFrame(streamId, STREAM, GZIP));
    await until(() => calls.streams.length === 1, 'the stream starts');
    return calls.streams[0] as StreamCall;
  }

  for (const size of [GZIP_MIN_BYTES, GZIP_NOW_MAX_BYTES, GZIP_NOW_MAX_BYTES + 1, 5 * MIB]) {
    it(`compresses a reply of ${size} bytes`, async () => {
      const body = textOf(size, 1);
      send(1, ECHO, message(gzipSync(body), 1));
      const reply = await client.reply(1);
      const [only, ...others] = messagesIn(reply.body);
      expect(reply.headers.get('grpc-encoding')).to.equal('gzip');
      expect(reply.headers.get('grpc-status')).to.equal('0');
      expect(others).to.have.length(0);
      expect(only?.flag).to.equal(1);
      expect(only?.body.equals(body)).to.equal(true);
      expect(only?.wireBytes).to.be.lessThan(size / 10);
    });
  }

  it('leaves alone messages that do not get shorter', async () => {
    for (const [n, body] of [NOTHING, textOf(GZIP_MIN_BYTES - 1, 1), randomBytes(2000)].entries()) {
      send(n * 2 + 1, ECHO, message(body));
      const reply = await client.reply(n * 2 + 1);
      expect(reply.headers.get('grpc-encoding')).to.equal('gzip');
      const [only] = messagesIn(reply.body);
      expect([only?.flag, only?.body.equals(body)]).to.eql([0, true]);
    }
    const noise = randomBytes(MIB);
    send(11, WAIT, message(NOTHING));
    await until(() => calls.unary.length === 1, 'the call starts');
    calls.unary[0]?.reply(noise);
    const [only] = messagesIn((await client.reply(11)).body);
    expect([only?.flag, only?.body.equals(noise)]).to.eql([0, true]);
  });

  const offers: readonly (readonly [string, Fields, string | undefined])[] = [
    ['nothing', [], undefined],
    ['gzip accepted but not used', [['grpc-accept-encoding', 'identity,gzip']], undefined],
    ['identity', [['grpc-encoding', 'identity']], undefined],
    ['gzip used, none accepted', [...GZIP, ['grpc-accept-encoding', 'identity']], undefined],
    ['gzip used, a part of its name', [...GZIP, ['grpc-accept-encoding', 'xgzip']], undefined],
    ['gzip used and accepted', [...GZIP, ['grpc-accept-encoding', 'deflate, gzip']], 'gzip'],
    [
      'gzip used and accepted in a second field',
      [...GZIP, ['grpc-accept-encoding', 'deflate'], ['grpc-accept-encoding', 'gzip']],
      'gzip',
    ],
  ];
  for (const [what, fields, encoding] of offers) {
    it(`answers with ${encoding ?? 'no compression'} to: ${what}`, async () => {
      send(1, ECHO, message(textOf(5000, 1)), fields);
      const { headers, body } = await client.reply(1);
      expect(headers.get('grpc-encoding')).to.equal(encoding);
      expect(messagesIn(body)[0]?.flag).to.equal(encoding === undefined ? 0 : 1);
      // The next calls on the connection are asked anew.
      send(3, ECHO, message(textOf(5000, 1)), []);
      expect((await client.reply(3)).headers.get('grpc-encoding')).to.equal(undefined);
      send(5, ECHO, message(textOf(5000, 1)), GZIP);
      expect((await client.reply(5)).headers.get('grpc-encoding')).to.equal('gzip');
    });
  }

  it('keeps the order of a stream however long each message takes to compress', async () => {
    const sizes = [3 * MIB, 10, 5000, 0, 200_000, 2000, 17_000, 1, MIB, 300];
    const bodies = sizes.map((size, n) => textOf(size, n));
    client.send(headersFrame(1, STREAM, GZIP));
    for (const body of bodies) client.send(dataFrame(1, message(gzipSync(body), 1), false));
    client.send(dataFrame(1, NOTHING, true));
    const { body, headers } = await client.reply(1);
    const got = messagesIn(body);
    expect(got.map((each) => each.body.length)).to.eql(sizes);
    expect(got.every((each, n) => bodies[n]?.equals(each.body) === true)).to.equal(true);
    expect(got.map((each) => each.flag)).to.eql([1, 0, 1, 0, 1, 1, 1, 0, 1, 0]);
    expect([headers.get('grpc-encoding'), headers.get('grpc-status')]).to.eql(['gzip', '0']);
  });

  it('sends the status after the message that is being compressed', async () => {
    const call = await openStream(1);
    call.write(textOf(2 * MIB, 1));
    call.fail(new RpcError(Status.outOfRange, 'compacted'));
    const { body, headers } = await client.reply(1);
    expect(messagesIn(body).map((each) => each.body.length)).to.eql([2 * MIB]);
    expect([headers.get('grpc-status'), headers.get('grpc-message')]).to.eql(['11', 'compacted']);
  });

  it('names the encoding of a stream without messages, but not that of a refusal', async () => {
    const call = await openStream(1);
    call.end();
    expect((await client.reply(1)).headers.get('grpc-encoding')).to.equal('gzip');
    send(3, WAIT, message(NOTHING));
    await until(() => calls.unary.length === 1, 'the call starts');
    calls.unary[0]?.fail(new RpcError(Status.notFound, 'nothing'));
    const { headers } = await client.reply(3);
    expect([headers.get('grpc-status'), headers.get('grpc-encoding')]).to.eql(['5', undefined]);
  });

  it('sends a reply given in parts as it is', async () => {
    send(1, WAIT, message(NOTHING));
    await until(() => calls.unary.length === 1, 'the call starts');
    const parts = [textOf(50_000, 1), textOf(60_000, 2)];
    calls.unary[0]?.replyParts(110_000, { next: () => parts.shift(), abort: () => {} });
    const { body, headers } = await client.reply(1);
    expect([headers.get('grpc-encoding'), headers.get('grpc-status')]).to.eql(['gzip', '0']);
    expect(messagesIn(body).map((each) => [each.flag, each.wireBytes])).to.eql([[0, 110_000]]);
  });

  it('drops the work of a call that is gone', async () => {
    const call = await openStream(1);
    for (let n = 0; n < 4; n++) call.write(textOf(MIB, n));
    expect(call.bufferedBytes).to.be.within(4 * MIB, 5 * MIB);
    client.send(frame(FrameType.rstStream, 0, 1, u32(ErrorCode.cancel)));
    await until(() => calls.cancelled === 1, 'the handler is told');
    expect(call.bufferedBytes).to.be.lessThan(MIB);
    // Its place in the thread pool is free for others.
    send(3, ECHO, message(gzipSync(textOf(MIB, 9)), 1));
    expect(messagesIn((await client.reply(3)).body)[0]?.body).to.have.length(MIB);
    expect(client.bytesOf(1)).to.equal(0);
  });

  it('ends a call whose time is up while its reply is compressed', async () => {
    client.send(headersFrame(1, STREAM, [...GZIP, ['grpc-timeout', '5S']]));
    await until(() => calls.streams.length === 1, 'the stream starts');
    server.env.advance(6000);
    // The deadline is due, but the wheel has not turned yet.
    calls.streams[0]?.write(textOf(4 * MIB, 1));
    server.env.advance(20);
    const { headers } = await client.reply(1);
    expect(headers.get('grpc-status')).to.equal(String(Status.deadlineExceeded));
  });

  it('stops the writes of a handler while much is being compressed', async () => {
    const call = await openStream(1);
    let drained = 0;
    call.onDrain(() => drained++);
    expect(call.write(textOf(2000, 1))).to.equal(true);
    expect(call.write(textOf(60_000, 1))).to.equal(true);
    expect(call.write(textOf(60_000, 2))).to.equal(false);
    await until(() => drained === 1, 'there is room again');
    call.end();
    const sizes = messagesIn((await client.reply(1)).body).map((each) => each.body.length);
    expect(sizes).to.eql([2000, 60_000, 60_000]);
  });

  it('answers many compressed calls that arrive at once', async () => {
    const bodies = Array.from({ length: 300 }, (_, n) => textOf(3000 + n * 60, n));
    const packed = bodies.map((body) => message(gzipSync(body), 1));
    client.send(
      ...packed.flatMap((body, n) => [
        headersFrame(n * 2 + 1, ECHO, GZIP),
        dataFrame(n * 2 + 1, body, true),
      ]),
    );
    for (const [n, body] of bodies.entries()) {
      const [only] = messagesIn((await client.reply(n * 2 + 1)).body);
      expect([only?.flag, only?.body.equals(body)]).to.eql([1, true]);
    }
  });

  for (const [what, path] of [
    ['unary call', WAIT],
    ['stream', STREAM],
  ] as const) {
    it(`refuses a ${what} with an unknown encoding, compressed or not`, async () => {
      for (const [n, flag] of [0, 1].entries()) {
        send(n * 2 + 1, path, message(textOf(100, 1), flag), [['grpc-encoding', 'snappy']]);
        const { headers } = await client.reply(n * 2 + 1);
        expect(headers.get('grpc-status')).to.equal(String(Status.unimplemented));
        expect(headers.get('grpc-message')).to.equal(
          'grpc: Decompressor is not installed for grpc-encoding "snappy"',
        );
      }
      send(5, '/test.Svc/None', message(NOTHING), [['grpc-encoding', 'snappy']]);
      expect((await client.reply(5)).headers.get('grpc-message')).to.match(/^unknown method None/);
      expect([calls.unary.length, calls.streams.length]).to.eql([0, 0]);
    });
  }

  it('keeps the response of a compressed call within one HEADERS frame and its trailers', async () => {
    send(1, ECHO, message(textOf(5000, 1)));
    await client.reply(1);
    const headers = client.frames.filter((each) => each.type === FrameType.headers);
    expect(headers.map((each) => each.flags & Flag.endStream)).to.eql([0, Flag.endStream]);
  });
});

describe('GzipWorkers', () => {
  interface Deferring {
    readonly workers: GzipWorkers;
    readonly deferred: (() => void)[];
  }

  function make(): Deferring {
    const deferred: (() => void)[] = [];
    const workers = new GzipWorkers({
      clock: { monoMs: () => 0, wallMs: () => 0 },
      after: () => ({ cancel: () => {} }),
      defer: (callback) => deferred.push(callback),
    });
    return { workers, deferred };
  }

  it('packs only so much in one turn of the event loop', () => {
    const { workers, deferred } = make();
    let allowed = 0;
    while (allowed < 1000 && workers.takeTime(GZIP_NOW_MAX_BYTES)) allowed++;
    expect(allowed).to.be.within(2, 10);
    expect(deferred).to.have.length(1);
    deferred[0]?.();
    expect(workers.takeTime(GZIP_NOW_MAX_BYTES)).to.equal(true);
    expect(workers.takeTime(GZIP_NOW_MAX_BYTES + 1)).to.equal(false);
  });

  it('passes on in order the messages that one turn has no time for', async () => {
    const { workers } = make();
    const got: string[] = [];
    const queue = new GzipQueue(workers, (body, compressed) => {
      got.push((compressed ? gunzipSync(body) : Buffer.from(body)).toString('latin1', 0, 9));
    });
    for (let n = 0; n < 40; n++) queue.push(textOf(n % 3 === 0 ? 500 : 9000, n));
    expect(queue.isIdle).to.equal(false);
    expect(got.length).to.be.lessThan(40);
    await until(() => queue.isIdle, 'all are passed on');
    expect(got.map((text) => parseInt(text.slice(6)))).to.eql(
      Array.from({ length: 40 }, (_, n) => n),
    );
    expect(queue.waitingBytes).to.equal(0);
  });
});
