/** The transport of our own on the wire: its settings, its answers, its deadlines and bounds. */
import { expect } from 'chai';
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FrameType,
  MAX_WINDOW,
  Setting,
} from '../../src/rpc/http2/frames.js';
import { MAX_FRAME_BYTES, MAX_RECEIVING_BYTES } from '../../src/rpc/http2/limits.js';
import { MAX_HEADER_LIST_BYTES } from '../../src/rpc/http2/request-head.js';
import { RpcError, Status } from '../../src/rpc/service.js';
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
  type Frame,
  type RawServer,
} from './support/raw-client.js';
import { until } from './support/transports.js';

const MIB = 1024 * 1024;
const NOTHING = Buffer.alloc(0);

describe('Http2Transport: on the wire', () => {
  let server: RawServer;
  let client: RawClient;

  const calls = new CallRecorder();

  async function start(limits = {}, ...values: (readonly [number, number])[]): Promise<void> {
    server = await startRawServer(calls.table, limits);
    client = await RawClient.open(server.port, ...values);
  }

  beforeEach(() => {
    calls.clear();
  });

  afterEach(async () => {
    client.close();
    await server.close();
  });

  /** SETTINGS are acknowledged in order: what was sent before them has been acted on. */
  async function settle(): Promise<void> {
    const acks = client.count(FrameType.settings);
    client.send(settings());
    await until(() => client.count(FrameType.settings) > acks, 'SETTINGS are acknowledged');
  }

  function framesOf(streamId: number): Frame[] {
    return client.frames.filter((each) => each.streamId === streamId);
  }

  describe('greeting', () => {
    it('announces its limits first, and acknowledges each SETTINGS of the client', async () => {
      await start({ maxConcurrentStreams: 123 });
      client.send(settings([Setting.maxFrameSize, 20_000]), settings());
      await until(() => client.count(FrameType.settings) === 4, 'three are acknowledged');
      const [first, ...acks] = framesOf(0).filter((each) => each.type === FrameType.settings);
      expect(client.frames[0]).to.equal(first);
      expect(acks.map((each) => [each.flags, each.payload.length])).to.eql(
        Array.from({ length: 3 }, () => [Flag.ack, 0]),
      );
      const announced = new Map<number, number>();
      const payload = first?.payload ?? NOTHING;
      for (let at = 0; at < payload.length; at += 6) {
        announced.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
      }
      expect(announced.get(Setting.maxConcurrentStreams)).to.equal(123);
      expect(announced.get(Setting.maxFrameSize)).to.equal(MAX_FRAME_BYTES);
      expect(announced.get(Setting.maxHeaderListSize)).to.equal(MAX_HEADER_LIST_BYTES);
      // The acknowledgement of the server's own is no SETTINGS to acknowledge.
      client.send(frame(FrameType.settings, Flag.ack, 0, NOTHING));
      client.send(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
      await until(() => client.count(FrameType.ping) === 1, 'PING is answered');
      expect(client.count(FrameType.settings)).to.equal(4);
    });

    it('lets a client upload a megabyte before it has to wait for a window', async () => {
      await start({ maxReceiveBytes: 2 * MIB });
      await settle();
      const initial = framesOf(0).find((each) => each.type === FrameType.settings)?.payload;
      const values = [...Array((initial?.length ?? 0) / 6).keys()].map((n) => n * 6);
      const windowAt = values.find((at) => initial?.readUInt16BE(at) === Setting.initialWindowSize);
      expect(initial?.readUInt32BE((windowAt ?? 0) + 2)).to.equal(MIB);
      const opened = client.find(FrameType.windowUpdate, 0)?.payload.readUInt32BE(0) ?? 0;
      expect(opened + DEFAULT_WINDOW).to.equal(16 * MIB);
      // Several uploads at once fit the connection's window too.
      const body = message(Buffer.alloc(MIB - 5, 3));
      for (let streamId = 1; streamId <= 9; streamId += 2) {
        client.send(headersFrame(streamId, WAIT));
        for (let at = 0; at < body.length; at += MAX_FRAME_BYTES) {
          const part = body.subarray(at, at + MAX_FRAME_BYTES);
          client.send(dataFrame(streamId, part, at + part.length === body.length));
        }
      }
      await until(() => calls.unary.length === 5, 'all requests are complete');
    });
  });

  describe('answers', () => {
    it('refuses with one HEADERS frame before the first message, and with trailers after it', async () => {
      await start();
      const error = new RpcError(Status.failedPrecondition, '50% über\n');
      client.send(request(1, WAIT, NOTHING), headersFrame(3, STREAM));
      await until(() => calls.unary.length + calls.streams.length === 2, 'both calls start');
      calls.unary[0]?.fail(error);
      calls.streams[0]?.write(Buffer.from('first'));
      calls.streams[0]?.fail(error);
      for (const streamId of [1, 3]) {
        const { headers } = await client.reply(streamId);
        expect(headers.get(':status')).to.equal('200');
        expect(headers.get('content-type')).to.equal('application/grpc');
        expect(headers.get('grpc-status')).to.equal('9');
        expect(headers.get('grpc-message')).to.equal('50%25 %C3%BCber%0A');
      }
      const shape = (streamId: number): (readonly number[])[] =>
        framesOf(streamId)
          .filter((each) => each.type !== FrameType.rstStream)
          .map(({ type, flags }) => [type, flags & Flag.endStream]);
      expect(shape(1)).to.eql([[FrameType.headers, Flag.endStream]]);
      expect(shape(3)).to.eql([
        [FrameType.headers, 0],
        [FrameType.data, 0],
        [FrameType.headers, Flag.endStream],
      ]);
    });

    it('reads every unit of grpc-timeout', async () => {
      await start();
      const timeouts: readonly (readonly [string, number])[] = [
        ['2H', 7_200_000],
        ['3M', 180_000],
        ['40S', 40_000],
        ['50000m', 50_000],
        ['60000000u', 60_000],
        ['99999999n', 99.999999],
      ];
      const nowMs = server.env.clock.monoMs();
      for (const [n, [text]] of timeouts.entries()) {
        client.send(headersFrame(n * 2 + 1, WAIT, [['grpc-timeout', text]]));
        client.send(dataFrame(n * 2 + 1, message(NOTHING), true));
      }
      await until(() => calls.unary.length === timeouts.length, 'all calls start');
      const spentMs = server.env.clock.monoMs() - nowMs;
      for (const [n, [text, ms]] of timeouts.entries()) {
        const leftMs = (calls.unary[n]?.deadlineMs ?? 0) - nowMs;
        expect(leftMs, text).to.be.within(ms, ms + spentMs);
      }
    });

    it('takes binary metadata of any length', async () => {
      await start();
      const binary = [
        ['trace-bin', Buffer.from([0, 255, 10]).toString('base64')],
        ['empty-bin', ''],
        ['several-bin', 'AAA,////,'],
      ] as const;
      client.send(headersFrame(1, WAIT, [...binary, ['plain', 'text']]));
      client.send(dataFrame(1, message(NOTHING), true));
      await until(() => calls.unary.length === 1, 'the call starts');
      expect(calls.unary[0]?.metadata('plain')).to.equal('text');
      calls.unary[0]?.reply(NOTHING);
      expect((await client.reply(1)).headers.get('grpc-status')).to.equal('0');
    });
  });

  describe('patience', () => {
    it('gives data that was queued after a long silence its full time', async () => {
      await start({}, [Setting.initialWindowSize, 100]);
      client.send(headersFrame(1, STREAM));
      await until(() => calls.streams.length === 1, 'the stream starts');
      calls.streams[0]?.write(Buffer.alloc(200));
      await until(() => client.bytesOf(1) === 100, 'the window is used up');
      client.send(frame(FrameType.windowUpdate, 0, 1, u32(105)));
      await until(() => client.bytesOf(1) === 205, 'the rest comes');
      for (let n = 0; n < 3; n++) server.env.advance(50_000);
      await settle();
      calls.streams[0]?.write(Buffer.alloc(10));
      server.env.advance(2000);
      await settle();
      expect(calls.cancelled).to.equal(0);
      client.send(frame(FrameType.windowUpdate, 0, 1, u32(100)));
      await until(() => client.bytesOf(1) === 220, 'the message comes');
    });

    /** The prefix of a message of 1.5 MiB, and its first byte. */
    const START = Buffer.concat([Buffer.of(0), u32(1.5 * MIB), Buffer.of(0)]);

    it('refuses a request when too much of others is incomplete on the connection', async () => {
      await start({ maxReceiveBytes: 2 * MIB });
      const part = Buffer.alloc(MAX_FRAME_BYTES);
      // Stays a frame short of the window that would be opened again.
      const frames = MIB / MAX_FRAME_BYTES - 1;
      const isRefused = (): boolean => client.find(FrameType.headers) !== undefined;
      let opened = 0;
      while (!isRefused() && opened < 100) {
        client.send(headersFrame(opened * 2 + 1, ECHO), dataFrame(opened * 2 + 1, START, false));
        for (let n = 0; n < frames; n++) client.send(dataFrame(opened * 2 + 1, part, false));
        opened++;
        await settle();
        expect(client.ended).to.equal(false);
      }
      const heldMiB = opened * (frames / (frames + 1));
      expect(heldMiB).to.be.within(MAX_RECEIVING_BYTES / MIB / 2, MAX_RECEIVING_BYTES / MIB + 2);
      const { headers } = await client.reply(client.find(FrameType.headers)?.streamId ?? 0);
      expect(headers.get('grpc-status')).to.equal(String(Status.resourceExhausted));
      // A stream given up makes room.
      client.send(frame(FrameType.rstStream, 0, 1, u32(ErrorCode.cancel)));
      client.send(request(1001, ECHO, Buffer.from('small')));
      expect((await client.reply(1001)).headers.get('grpc-status')).to.equal('0');
    });

    it('takes empty frames among others', async () => {
      await start();
      client.send(headersFrame(1, ECHO));
      for (let n = 0; n < 50; n++) client.send(dataFrame(1, NOTHING, false));
      client.send(dataFrame(1, message(Buffer.from('after')), false), dataFrame(1, NOTHING, true));
      const { body } = await client.reply(1);
      expect(body.toString('latin1', 5)).to.equal('after');
    });

    it('writes on in the direction that is left when the client ended its own', async () => {
      await start();
      client.send(request(1, WAIT, NOTHING));
      await until(() => calls.unary.length === 1, 'the call starts');
      client.send(frame(FrameType.windowUpdate, 0, 1, u32(MAX_WINDOW - DEFAULT_WINDOW)));
      client.send(frame(FrameType.windowUpdate, 0, 0, u32(MIB)));
      calls.unary[0]?.reply(Buffer.alloc(300_000));
      expect((await client.reply(1)).body).to.have.length(300_005);
    });
  });
});
