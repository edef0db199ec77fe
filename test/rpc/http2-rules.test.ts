/** Rules of RFC 9113 that hold for every request, whether it is a call or not, for as long as it is open. */
import { expect } from 'chai';
import { ErrorCode, Flag, FrameType, MAX_WINDOW, Setting } from '../../src/rpc/http2/frames.js';
import { DEFAULT_MAX_STREAMS, NO_STREAM_BOUND } from '../../src/rpc/http2/limits.js';
import { encodeFields } from '../../src/rpc/http2/response-blocks.js';
import { CallRecorder, ECHO, STREAM, WAIT } from './support/call-recorder.js';
import {
  dataFrame,
  frame,
  headersFrame,
  message,
  RawClient,
  request,
  settings,
  startRawServer,
  u32,
  type RawServer,
} from './support/raw-client.js';
import { until } from './support/transports.js';

type Fields = readonly (readonly [string, string])[];

const NOTHING = Buffer.alloc(0);
/** The request of a browser, or of a tester of HTTP/2. */
const PLAIN: Fields = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'localhost'],
];

function plainHeaders(streamId: number, flags: number, extra: Fields = []): Buffer {
  const block = encodeFields([...PLAIN, ...extra]);
  return frame(FrameType.headers, Flag.endHeaders | flags, streamId, block);
}

function trailers(streamId: number, fields: Fields, flags: number = Flag.endStream): Buffer {
  return frame(FrameType.headers, Flag.endHeaders | flags, streamId, encodeFields(fields));
}

function windowUpdate(streamId: number, increment: number): Buffer {
  return frame(FrameType.windowUpdate, 0, streamId, u32(increment));
}

/** HEADERS that open a request and leave it open. */
const OPENINGS: readonly (readonly [string, (streamId: number, extra?: Fields) => Buffer])[] = [
  ['a unary call', (streamId, extra) => headersFrame(streamId, WAIT, extra)],
  ['a stream', (streamId, extra) => headersFrame(streamId, STREAM, extra)],
  ['a request that is no call', (streamId, extra) => plainHeaders(streamId, 0, extra)],
];

describe('Http2Transport: rules of HTTP/2', () => {
  const calls = new CallRecorder();
  let server: RawServer;
  let client: RawClient;

  async function start(limits = {}, ...values: (readonly [number, number])[]): Promise<void> {
    server = await startRawServer(calls.table, limits);
    client = await RawClient.open(server.port, ...values);
  }

  beforeEach(() => calls.clear());

  afterEach(async () => {
    client.close();
    await server.close();
  });

  /** The connection still serves calls. */
  async function expectAlive(streamId: number): Promise<void> {
    client.send(request(streamId, ECHO, Buffer.from('ping')));
    expect((await client.reply(streamId)).body.toString('latin1', 5)).to.equal('ping');
  }

  async function expectReset(streamId: number, code: ErrorCode): Promise<void> {
    expect(await client.reset(streamId)).to.equal(code);
    expect(client.frames.filter((each) => each.streamId === streamId)).to.have.length(1);
    await expectAlive(streamId + 100);
  }

  for (const [what, open] of OPENINGS) {
    describe(what, () => {
      it('is reset for a window increment of zero (6.9)', async () => {
        await start();
        client.send(open(1), windowUpdate(1, 0));
        await expectReset(1, ErrorCode.protocolError);
      });

      it('is reset for a window above 2^31-1 (6.9.1)', async () => {
        await start();
        client.send(open(1), windowUpdate(1, MAX_WINDOW));
        await expectReset(1, ErrorCode.flowControlError);
      });

      it('is reset for a second HEADERS frame that does not end it (8.1)', async () => {
        await start();
        client.send(open(1), trailers(1, [['x-late', 'yes']], 0));
        await expectReset(1, ErrorCode.protocolError);
      });

      for (const [name, value] of [
        [':method', 'POST'],
        [':path', '/'],
        ['connection', 'close'],
        ['X-Upper', 'case'],
      ] as const) {
        it(`is reset for ${name} in its trailers (8.1)`, async () => {
          await start();
          client.send(open(1), trailers(1, [[name, value]]));
          await expectReset(1, ErrorCode.protocolError);
        });
      }

      it('is reset when its body is longer than content-length (8.1.1)', async () => {
        await start();
        client.send(open(1, [['content-length', '6']]), dataFrame(1, Buffer.alloc(7), false));
        await expectReset(1, ErrorCode.protocolError);
      });

      it('is reset when its body ends before content-length, with DATA or trailers', async () => {
        await start();
        const length: Fields = [['content-length', '6']];
        client.send(open(1, length), dataFrame(1, Buffer.alloc(5), true));
        await expectReset(1, ErrorCode.protocolError);
        client.send(open(201, length), dataFrame(201, Buffer.alloc(5), false));
        client.send(trailers(201, [['x-late', 'yes']]));
        await expectReset(201, ErrorCode.protocolError);
      });

      it('is reset for a content-length without a body', async () => {
        await start();
        const withEnd = open(1, [['content-length', '6']]);
        withEnd[4] = Flag.endHeaders | Flag.endStream;
        client.send(withEnd);
        await expectReset(1, ErrorCode.protocolError);
        expect(calls.unary.length + calls.streams.length).to.equal(0);
      });

      it('is closed once the client has reset it: DATA is answered with STREAM_CLOSED', async () => {
        await start();
        client.send(open(1), frame(FrameType.rstStream, 0, 1, u32(ErrorCode.cancel)));
        client.send(dataFrame(1, Buffer.from('late'), true));
        await expectReset(1, ErrorCode.streamClosed);
      });
    });
  }

  it('resets a stream for an increment of zero also after it was answered', async () => {
    await start();
    client.send(request(1, ECHO, NOTHING), windowUpdate(1, 0));
    expect(await client.reset(1)).to.equal(ErrorCode.protocolError);
    await expectAlive(3);
  });

  it('ends the connection for an increment of zero on an idle stream', async () => {
    await start();
    client.send(windowUpdate(7, 0));
    expect((await client.goaway()).code).to.equal(ErrorCode.protocolError);
  });

  it('takes trailers of a call that keep the rules', async () => {
    await start();
    client.send(headersFrame(1, ECHO), dataFrame(1, message(Buffer.from('body')), false));
    client.send(trailers(1, [['x-late', 'yes']]));
    expect((await client.reply(1)).body.toString('latin1', 5)).to.equal('body');
  });

  it('answers a request that is no call once it is whole, in headers and body', async () => {
    await start();
    client.send(plainHeaders(1, 0), dataFrame(1, Buffer.alloc(200_000 / 20), false));
    await expectAlive(3);
    expect(client.frames.filter((each) => each.streamId === 1)).to.eql([]);
    client.send(dataFrame(1, NOTHING, true));
    const { headers, body, reset } = await client.reply(1);
    const text = 'invalid gRPC request content-type ""';
    expect(headers.get(':status')).to.equal('415');
    expect(headers.get('grpc-status')).to.equal('3');
    expect(headers.get('grpc-message')).to.equal(text);
    expect(headers.get('content-length')).to.equal(String(text.length + 1));
    expect(body.toString()).to.equal(`${text}\n`);
    expect(reset).to.equal(undefined);
  });

  it('answers 413 to a request that is no call and does not end', async () => {
    await start({ maxReceiveBytes: 20_000 });
    client.send(plainHeaders(1, 0), dataFrame(1, Buffer.alloc(16_000), false));
    client.send(dataFrame(1, Buffer.alloc(4001), false));
    expect((await client.reply(1)).headers.get(':status')).to.equal('413');
    expect(await client.reset(1)).to.equal(ErrorCode.noError);
  });

  it('applies the last of several initial windows in one SETTINGS frame', async () => {
    await start();
    const initial = (bytes: number): readonly [number, number] => [
      Setting.initialWindowSize,
      bytes,
    ];
    client.send(settings(initial(MAX_WINDOW), initial(0), initial(7)));
    client.send(request(1, ECHO, Buffer.alloc(100)));
    await until(() => client.bytesOf(1) === 7, 'the window is used');
    client.send(settings(initial(0), initial(50)));
    await until(() => client.bytesOf(1) === 50, 'the window grows');
    client.send(settings(initial(0), initial(MAX_WINDOW + 1)));
    expect((await client.goaway()).code).to.equal(ErrorCode.flowControlError);
  });

  it('serves streams that wait for the connection in turn, however little it opens', async () => {
    await start({ maxReceiveBytes: 100_000 }, [Setting.initialWindowSize, 1_000_000]);
    client.send(headersFrame(1, ECHO));
    const body = message(Buffer.alloc(65_530));
    for (let at = 0; at < body.length; at += 16_000) {
      const part = body.subarray(at, at + 16_000);
      client.send(dataFrame(1, part, at + part.length === body.length));
    }
    await until(() => client.bytesOf(1) === 65_535, 'the window is used up');
    for (const streamId of [3, 5, 7]) client.send(request(streamId, ECHO, Buffer.from('12345')));
    for (let sent = 1; sent <= 30; sent++) {
      client.send(windowUpdate(0, 1));
      const total = (): number => client.bytesOf(3) + client.bytesOf(5) + client.bytesOf(7);
      await until(() => total() === sent, `byte ${sent} is sent`);
    }
    for (const streamId of [3, 5, 7]) {
      expect((await client.reply(streamId)).headers.get('grpc-status')).to.equal('0');
    }
  });

  describe('concurrent streams', () => {
    function announced(): number | undefined {
      const payload = client.find(FrameType.settings)?.payload ?? NOTHING;
      for (let at = 0; at < payload.length; at += 6) {
        if (payload.readUInt16BE(at) === Setting.maxConcurrentStreams) {
          return payload.readUInt32BE(at + 2);
        }
      }
      return undefined;
    }

    it('are bounded by default, as announced, and the next one is refused (5.1.2)', async () => {
      await start({ maxConcurrentStreams: NO_STREAM_BOUND }, [Setting.initialWindowSize, 0]);
      await until(() => client.find(FrameType.settings) !== undefined, 'the greeting');
      expect(announced()).to.equal(DEFAULT_MAX_STREAMS);
      const openings: Buffer[] = [];
      for (let n = 0; n <= DEFAULT_MAX_STREAMS; n++) {
        openings.push(plainHeaders(2 * n + 1, Flag.endStream));
      }
      client.send(...openings);
      const last = 2 * DEFAULT_MAX_STREAMS + 1;
      expect(await client.reset(last)).to.equal(ErrorCode.refusedStream);
      expect(client.count(FrameType.rstStream)).to.equal(1);
    });

    it('are as many as the operator sets, also above the default', async () => {
      await start({ maxConcurrentStreams: DEFAULT_MAX_STREAMS + 1 });
      await until(() => client.find(FrameType.settings) !== undefined, 'the greeting');
      expect(announced()).to.equal(DEFAULT_MAX_STREAMS + 1);
    });
  });
});
