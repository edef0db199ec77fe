/** The transport of our own against frames no library would send. */
import { expect } from 'chai';
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FrameType,
  MAX_WINDOW,
  PREFACE,
  Setting,
} from '../../src/rpc/http2/frames.js';
import { encodeFields } from '../../src/rpc/http2/response-blocks.js';
import { Status } from '../../src/rpc/service.js';
import { CallRecorder, ECHO, STREAM, WAIT } from './support/call-recorder.js';
import {
  dataFrame,
  frame,
  headersFrame,
  message,
  RawClient,
  request,
  requestBlock,
  settings,
  startRawServer,
  u32,
  type RawServer,
} from './support/raw-client.js';
import { LIMITS, until } from './support/transports.js';

const NOTHING = Buffer.alloc(0);

describe('Http2Transport: protocol', () => {
  let server: RawServer;
  let client: RawClient;
  const open: RawClient[] = [];

  const calls = new CallRecorder();

  async function start(limits = {}, ...values: (readonly [number, number])[]): Promise<void> {
    server = await startRawServer(calls.table, limits);
    client = await connect(...values);
  }

  async function connect(...values: (readonly [number, number])[]): Promise<RawClient> {
    const opened = await RawClient.open(server.port, ...values);
    open.push(opened);
    return opened;
  }

  async function expectEcho(on: RawClient, streamId: number): Promise<void> {
    on.send(request(streamId, ECHO, Buffer.from('ping')));
    const { headers, body } = await on.reply(streamId);
    expect(headers.get('grpc-status')).to.equal('0');
    expect(body.toString('latin1', 5)).to.equal('ping');
  }

  /** The connection ended with `code`, and another one still works. */
  async function expectGoaway(code: ErrorCode): Promise<string> {
    const goaway = await client.goaway();
    expect(goaway.code).to.equal(code);
    await until(() => client.ended, 'the server closes its side');
    await expectEcho(await connect(), 1);
    return goaway.reason;
  }

  beforeEach(() => {
    calls.clear();
  });

  afterEach(async () => {
    for (const each of open.splice(0)) each.close();
    await server.close();
  });

  describe('framing', () => {
    it('reads a session that arrives byte by byte', async () => {
      server = await startRawServer(calls.table);
      client = await RawClient.connect(server.port);
      open.push(client);
      const session = Buffer.concat([PREFACE, settings(), request(1, ECHO, Buffer.from('abc'))]);
      for (const byte of session) {
        await new Promise((resolve) => client.socket.write(Buffer.of(byte), resolve));
      }
      const { body } = await client.reply(1);
      expect(body.toString('latin1', 5)).to.equal('abc');
    });

    it('ends the connection on a wrong preface', async () => {
      server = await startRawServer(calls.table);
      for (const opening of ['GET / HTTP/1.1\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n']) {
        client = await RawClient.connect(server.port);
        open.push(client);
        client.send(Buffer.from(opening));
        await expectGoaway(ErrorCode.protocolError);
      }
    });

    it('requires SETTINGS first', async () => {
      server = await startRawServer(calls.table);
      client = await RawClient.connect(server.port);
      open.push(client);
      client.send(PREFACE, request(1, ECHO, NOTHING));
      await expectGoaway(ErrorCode.protocolError);
    });

    it('refuses a frame larger than it announced', async () => {
      await start();
      client.send(dataFrame(1, Buffer.alloc(16_385), true));
      await expectGoaway(ErrorCode.frameSizeError);
    });

    it('ignores unknown frames, PRIORITY and GOAWAY from the client', async () => {
      await start();
      client.send(
        frame(0xbe, 0xff, 7, Buffer.from('whatever')),
        frame(FrameType.priority, 0, 9, Buffer.concat([u32(3), Buffer.of(5)])),
      );
      await expectEcho(client, 1);
      client.send(frame(FrameType.goaway, 0, 0, Buffer.concat([u32(0), u32(0)])));
      await expectEcho(client, 3);
    });

    it('accepts padding and priority, and refuses padding beyond the frame', async () => {
      await start();
      const block = requestBlock(ECHO);
      const pad = Buffer.alloc(10);
      const prefix = Buffer.concat([Buffer.of(10), u32(0), Buffer.of(16)]);
      const flags = Flag.endHeaders | Flag.padded | Flag.priority;
      client.send(frame(FrameType.headers, flags, 1, Buffer.concat([prefix, block, pad])));
      const body = Buffer.concat([Buffer.of(10), message(Buffer.from('padded')), pad]);
      client.send(frame(FrameType.data, Flag.endStream | Flag.padded, 1, body));
      expect((await client.reply(1)).body.toString('latin1', 5)).to.equal('padded');
      client.send(headersFrame(3, ECHO), frame(FrameType.data, Flag.padded, 3, Buffer.of(5, 1, 2)));
      await expectGoaway(ErrorCode.protocolError);
    });

    const wrongSizes: readonly (readonly [string, Buffer, ErrorCode])[] = [
      ['PING', frame(FrameType.ping, 0, 0, Buffer.alloc(7)), ErrorCode.frameSizeError],
      ['SETTINGS', frame(FrameType.settings, 0, 0, Buffer.alloc(5)), ErrorCode.frameSizeError],
      ['SETTINGS ack', frame(FrameType.settings, 1, 0, Buffer.alloc(6)), ErrorCode.frameSizeError],
      [
        'WINDOW_UPDATE',
        frame(FrameType.windowUpdate, 0, 0, u32(1).subarray(1)),
        ErrorCode.frameSizeError,
      ],
      ['RST_STREAM', frame(FrameType.rstStream, 0, 1, Buffer.alloc(5)), ErrorCode.frameSizeError],
      ['PRIORITY', frame(FrameType.priority, 0, 1, Buffer.alloc(4)), ErrorCode.frameSizeError],
      ['GOAWAY', frame(FrameType.goaway, 0, 0, Buffer.alloc(4)), ErrorCode.frameSizeError],
      [
        'HEADERS without room for its priority',
        frame(FrameType.headers, 0x24, 1, Buffer.alloc(3)),
        ErrorCode.protocolError,
      ],
      ['PING on a stream', frame(FrameType.ping, 0, 1, Buffer.alloc(8)), ErrorCode.protocolError],
      ['SETTINGS on a stream', frame(FrameType.settings, 0, 1, NOTHING), ErrorCode.protocolError],
      [
        'GOAWAY on a stream',
        frame(FrameType.goaway, 0, 1, Buffer.alloc(8)),
        ErrorCode.protocolError,
      ],
      [
        'PRIORITY without one',
        frame(FrameType.priority, 0, 0, Buffer.alloc(5)),
        ErrorCode.protocolError,
      ],
      [
        'PUSH_PROMISE',
        frame(FrameType.pushPromise, 4, 1, Buffer.alloc(4)),
        ErrorCode.protocolError,
      ],
      ['DATA without a stream', dataFrame(0, Buffer.alloc(1), false), ErrorCode.protocolError],
      ['HEADERS without a stream', headersFrame(0, ECHO), ErrorCode.protocolError],
      ['HEADERS on an even stream', headersFrame(2, ECHO), ErrorCode.protocolError],
      ['DATA on an idle stream', dataFrame(5, Buffer.alloc(1), false), ErrorCode.protocolError],
      [
        'RST_STREAM on an idle stream',
        frame(FrameType.rstStream, 0, 5, u32(8)),
        ErrorCode.protocolError,
      ],
      [
        'WINDOW_UPDATE on an idle stream',
        frame(FrameType.windowUpdate, 0, 5, u32(8)),
        ErrorCode.protocolError,
      ],
      ['CONTINUATION alone', frame(FrameType.continuation, 4, 1, NOTHING), ErrorCode.protocolError],
      ['ENABLE_PUSH of 2', settings([Setting.enablePush, 2]), ErrorCode.protocolError],
      [
        'MAX_FRAME_SIZE too small',
        settings([Setting.maxFrameSize, 16_383]),
        ErrorCode.protocolError,
      ],
      [
        'INITIAL_WINDOW_SIZE too large',
        settings([Setting.initialWindowSize, 2 ** 31]),
        ErrorCode.flowControlError,
      ],
      [
        'PRIORITY on itself',
        frame(FrameType.priority, 0, 1, Buffer.concat([u32(1), Buffer.of(5)])),
        ErrorCode.protocolError,
      ],
      [
        'HEADERS that depend on themselves',
        frame(
          FrameType.headers,
          0x25,
          1,
          Buffer.concat([u32(1), Buffer.of(5), requestBlock(ECHO)]),
        ),
        ErrorCode.protocolError,
      ],
    ];
    for (const [what, bytes, code] of wrongSizes) {
      it(`ends the connection on a malformed frame: ${what}`, async () => {
        await start();
        client.send(bytes);
        await expectGoaway(code);
      });
    }
  });

  describe('streams', () => {
    it('answers a stream reset for DATA after the end, and goes on', async () => {
      await start();
      client.send(request(1, WAIT, NOTHING), dataFrame(1, Buffer.alloc(3), true));
      expect(await client.reset(1)).to.equal(ErrorCode.streamClosed);
      await until(() => calls.cancelled === 1, 'the handler is told');
      await expectEcho(client, 3);
      client.send(dataFrame(3, Buffer.alloc(3), true));
      expect(await client.reset(3)).to.equal(ErrorCode.streamClosed);
      await expectEcho(client, 5);
    });

    it('refuses HEADERS on a closed stream', async () => {
      await start();
      await expectEcho(client, 5);
      client.send(headersFrame(5, ECHO));
      await expectGoaway(ErrorCode.streamClosed);
    });

    it('accepts trailers from the client, but only as the end', async () => {
      await start();
      const trailers = encodeFields([['x-trailer', 'y']]);
      client.send(headersFrame(1, ECHO), dataFrame(1, message(Buffer.from('t')), false));
      client.send(frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, trailers));
      expect((await client.reply(1)).body.toString('latin1', 5)).to.equal('t');
      client.send(headersFrame(3, ECHO), frame(FrameType.headers, Flag.endHeaders, 3, trailers));
      expect(await client.reset(3)).to.equal(ErrorCode.protocolError);
    });

    it('refuses streams beyond the limit, and serves more when others have ended', async () => {
      await start({ maxConcurrentStreams: 2 });
      client.send(request(1, WAIT, NOTHING), request(3, WAIT, NOTHING), request(5, ECHO, NOTHING));
      expect(await client.reset(5)).to.equal(ErrorCode.refusedStream);
      calls.unary[0]?.reply(NOTHING);
      await client.reply(1);
      await expectEcho(client, 7);
    });

    it('ignores frames under way to a stream it has answered early', async () => {
      await start();
      client.send(headersFrame(1, '/no.Such/Method'));
      const { headers, reset } = await client.reply(1);
      expect(headers.get('grpc-status')).to.equal(String(Status.unimplemented));
      await until(() => client.find(FrameType.rstStream, 1) !== undefined, 'the stream is reset');
      expect(reset ?? 0).to.equal(ErrorCode.noError);
      client.send(dataFrame(1, Buffer.alloc(100), true));
      await expectEcho(client, 3);
      expect(client.count(FrameType.rstStream)).to.equal(1);
    });

    it('cancels the calls of a client that closes its side', async () => {
      await start();
      client.send(request(1, WAIT, NOTHING), headersFrame(3, STREAM));
      await until(() => calls.unary.length + calls.streams.length === 2, 'both calls start');
      client.socket.end();
      await until(() => calls.cancelled === 2 && client.ended, 'both are cancelled');
    });

    it('cancels the calls of a client that vanishes', async () => {
      await start();
      client.send(request(1, WAIT, NOTHING), headersFrame(3, STREAM));
      await until(() => calls.unary.length + calls.streams.length === 2, 'both calls start');
      client.socket.resetAndDestroy();
      await until(() => calls.cancelled === 2, 'both are cancelled');
      await until(() => server.transport.connectionCount === 0, 'the connection is forgotten');
    });
  });

  describe('header blocks', () => {
    it('joins CONTINUATION frames', async () => {
      await start();
      const block = requestBlock(ECHO, [['x-long', 'v'.repeat(300)]]);
      client.send(frame(FrameType.headers, 0, 1, block.subarray(0, 10)));
      client.send(frame(FrameType.continuation, 0, 1, block.subarray(10, 11)));
      client.send(frame(FrameType.continuation, Flag.endHeaders, 1, block.subarray(11)));
      client.send(dataFrame(1, message(Buffer.from('c')), true));
      expect((await client.reply(1)).body.toString('latin1', 5)).to.equal('c');
    });

    it('reads a repeated block anew when the table has changed', async () => {
      await start();
      const path = (text: string): Buffer =>
        Buffer.concat([Buffer.of(0x44, text.length), Buffer.from(text)]);
      const type = encodeFields([['content-type', 'application/grpc']]);
      const fixed = Buffer.from('8386', 'hex');
      const send = (streamId: number, ...block: Buffer[]): void =>
        client.send(
          frame(FrameType.headers, Flag.endHeaders, streamId, Buffer.concat(block)),
          dataFrame(streamId, message(NOTHING), true),
        );
      const newest = Buffer.of(0xbe);
      send(1, fixed, path(ECHO), type);
      send(3, fixed, newest, type);
      send(5, fixed, newest, type);
      await client.reply(5);
      expect(calls.unary).to.have.length(0);
      send(7, fixed, path(WAIT), type);
      send(9, fixed, newest, type);
      await until(() => calls.unary.length === 2, 'both reach the other handler');
    });

    it('ends the connection when another frame comes between', async () => {
      await start();
      client.send(frame(FrameType.headers, 0, 1, requestBlock(ECHO)));
      client.send(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
      await expectGoaway(ErrorCode.protocolError);
    });

    it('ends the connection on a flood of CONTINUATION, empty or not', async () => {
      await start();
      client.send(frame(FrameType.headers, 0, 1, NOTHING));
      for (let n = 0; n < 100; n++) client.send(frame(FrameType.continuation, 0, 1, NOTHING));
      await expectGoaway(ErrorCode.enhanceYourCalm);
      client = await connect();
      client.send(frame(FrameType.headers, 0, 1, Buffer.alloc(16_000)));
      for (let n = 0; n < 5; n++)
        client.send(frame(FrameType.continuation, 0, 1, Buffer.alloc(16_000)));
      await expectGoaway(ErrorCode.enhanceYourCalm);
    });

    it('answers 431 to a header list that is too long, and goes on', async () => {
      await start();
      const extra = Array.from({ length: 10 }, (_, n) => [`x-${n}`, 'v'.repeat(2000)] as const);
      const block = requestBlock(ECHO, extra);
      client.send(frame(FrameType.headers, 0, 1, block.subarray(0, 15_000)));
      client.send(frame(FrameType.continuation, 5, 1, block.subarray(15_000)));
      expect((await client.reply(1)).headers.get(':status')).to.equal('431');
      await expectEcho(client, 3);
    });

    const malformed: readonly (readonly [string, string])[] = [
      ['index zero', '80'],
      ['an index beyond the tables', 'ff00'],
      ['an endless integer', 'ffffffffffffffff'],
      ['a string beyond the block', '4005616263'],
      ['Huffman padding of zeros', '408118817f'],
      ['a byte of Huffman padding', '4081ff0161'],
      ['a Huffman end mark', '4084ffffffff8161'],
      ['a table size above the limit', '3fe21f'],
      ['a table size after a field', '8220'],
      ['a cut field', '41'],
    ];
    for (const [what, hex] of malformed) {
      it(`ends the connection on a malformed block: ${what}`, async () => {
        await start();
        client.send(frame(FrameType.headers, 5, 1, Buffer.from(hex, 'hex')));
        await expectGoaway(ErrorCode.compressionError);
      });
    }

    const basic: readonly (readonly [string, string])[] = [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', ECHO],
      ['content-type', 'application/grpc'],
    ];
    const forbidden: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
      ['upper case', [...basic, ['X-Upper', 'v']]],
      ['a connection field', [...basic, ['connection', 'close']]],
      ['te other than trailers', [...basic, ['te', 'gzip']]],
      ['an unknown pseudo field', [...basic.slice(0, 3), [':x', 'v']]],
      ['a response pseudo field', [...basic.slice(0, 3), [':status', '200']]],
      ['a pseudo field after others', [['x', 'y'], ...basic]],
      ['a repeated pseudo field', [[':path', '/'], ...basic]],
      ['no path', basic.filter(([name]) => name !== ':path')],
      ['no method', basic.filter(([name]) => name !== ':method')],
      ['no scheme', basic.filter(([name]) => name !== ':scheme')],
      ['a line break in a value', [...basic, ['x', 'a\r\nb']]],
      ['a content-length that is no number', [...basic, ['content-length', '-1']]],
      ['an empty name', [...basic, ['', 'v']]],
    ];
    for (const [what, fields] of forbidden) {
      it(`resets a stream whose headers are malformed: ${what}`, async () => {
        await start();
        client.send(frame(FrameType.headers, Flag.endHeaders, 1, encodeFields(fields)));
        client.send(dataFrame(1, message(NOTHING), true));
        expect(await client.reset(1)).to.equal(ErrorCode.protocolError);
        await expectEcho(client, 3);
      });
    }

    it('checks content-length against the body', async () => {
      await start();
      client.send(headersFrame(1, ECHO, [['content-length', '7']]));
      client.send(dataFrame(1, message(Buffer.from('abc')), true));
      expect(await client.reset(1)).to.equal(ErrorCode.protocolError);
      client.send(headersFrame(3, ECHO, [['content-length', '8']]));
      client.send(dataFrame(3, message(Buffer.from('abc')), true));
      expect((await client.reply(3)).body.toString('latin1', 5)).to.equal('abc');
    });
  });

  describe('gRPC', () => {
    async function statusOf(streamId: number): Promise<readonly (string | undefined)[]> {
      const { headers } = await client.reply(streamId);
      return [headers.get(':status'), headers.get('grpc-status'), headers.get('grpc-message')];
    }

    it('answers requests that are no gRPC call with HTTP statuses', async () => {
      await start();
      const fields = (method: string, type: string): Buffer =>
        encodeFields([
          [':method', method],
          [':scheme', 'http'],
          [':path', ECHO],
          ['content-type', type],
        ]);
      client.send(frame(FrameType.headers, 5, 1, fields('POST', 'application/json')));
      client.send(frame(FrameType.headers, 5, 3, fields('POST', 'application/grpcx')));
      client.send(frame(FrameType.headers, 5, 5, fields('GET', 'application/grpc')));
      client.send(frame(FrameType.headers, 4, 7, fields('POST', 'application/grpc+proto')));
      client.send(dataFrame(7, message(NOTHING), true));
      expect((await statusOf(1))[0]).to.equal('415');
      expect((await statusOf(3))[0]).to.equal('415');
      expect((await statusOf(5))[0]).to.equal('405');
      expect(await statusOf(7)).to.eql(['200', '0', undefined]);
    });

    const badBodies: readonly (readonly [string, Buffer, readonly string[], Status])[] = [
      ['no message', NOTHING, [], Status.internal],
      ['half a prefix', Buffer.alloc(3), [], Status.internal],
      ['half a message', message(Buffer.alloc(9)).subarray(0, 10), [], Status.internal],
      ['two messages', Buffer.concat([message(NOTHING), message(NOTHING)]), [], Status.internal],
      ['an unknown flag', message(NOTHING, 2), [], Status.internal],
      ['compression without a name', message(NOTHING, 1), [], Status.internal],
      ['unknown compression', message(NOTHING, 1), ['snappy'], Status.unimplemented],
      ['compression named none', message(NOTHING, 1), ['identity'], Status.internal],
      ['broken gzip', message(Buffer.from('not gzip'), 1), ['gzip'], Status.internal],
      ['a huge announced size', Buffer.from('007fffffff00', 'hex'), [], Status.resourceExhausted],
    ];
    for (const [what, body, encoding, code] of badBodies) {
      it(`refuses a unary request with ${what}`, async () => {
        await start();
        const extra = encoding.map((value) => ['grpc-encoding', value] as const);
        client.send(headersFrame(1, ECHO, extra), dataFrame(1, body, true));
        expect((await statusOf(1))[1]).to.equal(String(code));
        await expectEcho(client, 3);
      });
    }

    it('refuses a message that is too large though it fits a frame', async () => {
      await start({ maxReceiveBytes: 100 });
      client.send(request(1, ECHO, Buffer.alloc(100)), request(3, ECHO, Buffer.alloc(101)));
      expect((await statusOf(1))[1]).to.equal('0');
      expect(await statusOf(3)).to.eql([
        '200',
        '8',
        'grpc: received message larger than max (101 vs. 100)',
      ]);
    });

    it('refuses an unreadable timeout, and does not start a call whose time is up', async () => {
      await start();
      for (const [n, text] of ['5', 'S', '123456789S', '1x', '-1S', ''].entries()) {
        const streamId = n * 2 + 1;
        client.send(headersFrame(streamId, WAIT, [['grpc-timeout', text]]));
        client.send(dataFrame(streamId, message(NOTHING), true));
        expect((await statusOf(streamId))[1]).to.equal(String(Status.internal));
      }
      client.send(headersFrame(21, WAIT, [['grpc-timeout', '0m']]));
      client.send(dataFrame(21, message(NOTHING), true));
      expect(await statusOf(21)).to.eql(['200', '4', 'context deadline exceeded']);
      expect(calls.unary).to.have.length(0);
    });

    it('answers 4 when the deadline passes on the server', async () => {
      await start();
      client.send(headersFrame(1, WAIT, [['grpc-timeout', '5S']]));
      client.send(dataFrame(1, message(NOTHING), true));
      await until(() => calls.unary.length === 1, 'the call starts');
      server.env.advance(4900);
      server.env.advance(10);
      expect(calls.cancelled).to.equal(0);
      server.env.advance(200);
      server.env.advance(20);
      expect(await statusOf(1)).to.eql(['200', '4', 'context deadline exceeded']);
      expect(calls.cancelled).to.equal(1);
    });

    it('assembles messages from DATA frames of one byte', async () => {
      await start();
      client.send(headersFrame(1, STREAM));
      const bytes = Buffer.concat([
        message(Buffer.from('abc')),
        message(NOTHING),
        message(Buffer.from('de')),
      ]);
      for (const byte of bytes) client.send(dataFrame(1, Buffer.of(byte), false));
      client.send(dataFrame(1, NOTHING, true));
      expect((await statusOf(1))[1]).to.equal('0');
      expect(calls.received.map(String)).to.eql(['abc', '', 'de']);
    });
  });

  describe('flow control', () => {
    it('sends no more than the windows allow', async () => {
      await start();
      client.send(request(1, WAIT, NOTHING));
      await until(() => calls.unary.length === 1, 'the call starts');
      calls.unary[0]?.reply(Buffer.alloc(200_000, 7));
      await until(() => client.bytesOf(1) === DEFAULT_WINDOW, 'the window is used up');
      await expectEchoHeldBack(3);
      client.send(frame(FrameType.windowUpdate, 0, 1, u32(1_000_000)));
      client.send(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
      await until(() => client.find(FrameType.ping) !== undefined, 'PING is answered');
      expect(client.bytesOf(1)).to.equal(DEFAULT_WINDOW);
      client.send(frame(FrameType.windowUpdate, 0, 0, u32(1_000_000)));
      expect((await client.reply(1)).body).to.have.length(200_005);
      expect((await client.reply(3)).body).to.have.length(5);
    });

    /** With the connection's window used up, even a small reply has to wait. */
    async function expectEchoHeldBack(streamId: number): Promise<void> {
      client.send(request(streamId, ECHO, NOTHING), settings());
      const acks = client.count(FrameType.settings);
      await until(() => client.count(FrameType.settings) > acks, 'SETTINGS are acknowledged');
      expect(client.bytesOf(streamId)).to.equal(0);
    }

    it('applies a changed initial window to open streams', async () => {
      await start({}, [Setting.initialWindowSize, 0]);
      client.send(request(1, ECHO, Buffer.from('waits')), headersFrame(3, STREAM));
      await until(() => calls.streams.length === 1, 'the stream starts');
      calls.streams[0]?.write(Buffer.from('also'));
      await until(() => client.count(FrameType.headers) === 2, 'headers need no window');
      expect(client.count(FrameType.data)).to.equal(0);
      client.send(settings([Setting.initialWindowSize, 3]));
      await until(() => client.bytesOf(1) === 3 && client.bytesOf(3) === 3, 'three bytes come');
      client.send(settings([Setting.initialWindowSize, 100]));
      expect((await client.reply(1)).body.toString('latin1', 5)).to.equal('waits');
      await until(() => client.bytesOf(3) === 9, 'the rest comes');
      client.send(settings([Setting.initialWindowSize, 0]));
      client.send(request(5, ECHO, Buffer.from('again')));
      await until(() => client.find(FrameType.headers, 5) !== undefined, 'headers come');
      for (let n = 0; n < 10; n++) client.send(frame(FrameType.windowUpdate, 0, 5, u32(1)));
      expect((await client.reply(5)).body.toString('latin1', 5)).to.equal('again');
    });

    it('keeps empty messages in their place', async () => {
      await start({}, [Setting.initialWindowSize, 0]);
      client.send(headersFrame(1, STREAM));
      await until(() => calls.streams.length === 1, 'the stream starts');
      const messages = ['', 'a', '', '', 'bc', ''].map((text) => Buffer.from(text));
      for (const each of messages) calls.streams[0]?.write(each);
      calls.streams[0]?.end();
      for (let n = 0; n < 33; n++) client.send(frame(FrameType.windowUpdate, 0, 1, u32(1)));
      const { body, headers } = await client.reply(1);
      expect(body.equals(Buffer.concat(messages.map((each) => message(each))))).to.equal(true);
      expect(headers.get('grpc-status')).to.equal('0');
    });

    it('cuts DATA at the largest frame the client accepts', async () => {
      await start({}, [Setting.initialWindowSize, 1_000_000], [Setting.maxFrameSize, 20_000]);
      client.send(frame(FrameType.windowUpdate, 0, 0, u32(1_000_000)), request(1, WAIT, NOTHING));
      await until(() => calls.unary.length === 1, 'the call starts');
      calls.unary[0]?.reply(Buffer.alloc(300_000));
      await client.reply(1);
      const sizes = client.frames.filter((each) => each.type === FrameType.data);
      expect(Math.max(...sizes.map((each) => each.payload.length))).to.be.within(10_000, 20_000);
    });

    it('ends connection or stream on windows that overflow or do not grow', async () => {
      await start();
      client.send(frame(FrameType.windowUpdate, 0, 0, u32(MAX_WINDOW)));
      await expectGoaway(ErrorCode.flowControlError);
      client = await connect();
      client.send(frame(FrameType.windowUpdate, 0, 0, u32(0)));
      await expectGoaway(ErrorCode.protocolError);
      client = await connect();
      client.send(headersFrame(1, STREAM), frame(FrameType.windowUpdate, 0, 1, u32(MAX_WINDOW)));
      expect(await client.reset(1)).to.equal(ErrorCode.flowControlError);
      client.send(headersFrame(3, STREAM), frame(FrameType.windowUpdate, 0, 3, u32(0)));
      expect(await client.reset(3)).to.equal(ErrorCode.protocolError);
      client.send(headersFrame(5, STREAM), settings([Setting.initialWindowSize, 100]));
      client.send(frame(FrameType.windowUpdate, 0, 5, u32(MAX_WINDOW - 100)));
      client.send(settings([Setting.initialWindowSize, 101]));
      await expectGoaway(ErrorCode.flowControlError);
    });

    it('opens its windows as messages are taken', async () => {
      await start();
      client.send(headersFrame(1, STREAM));
      const chunk = message(Buffer.alloc(16_000));
      const total = 1100;
      for (let n = 0; n < total; n++) client.send(dataFrame(1, chunk, false));
      await until(() => calls.received.length === total, 'all messages arrive');
      const openings = (streamId: number): number[] =>
        client.frames
          .filter((each) => each.type === FrameType.windowUpdate && each.streamId === streamId)
          .map((each) => each.payload.readUInt32BE(0));
      const opened = (streamId: number): number =>
        openings(streamId).reduce((sum, each) => sum + each, 0);
      const received16k = total * 16_005;
      await until(() => opened(1) > received16k - 1024 * 1024, 'the window of the stream opens');
      await until(
        () => opened(0) > received16k - 1024 * 1024,
        'the window of the connection opens',
      );
      expect(openings(1).length).to.be.within(16, 64);
    });

    it('reports the half-close after the messages held back', async () => {
      await start();
      client.send(headersFrame(1, STREAM));
      await until(() => calls.streams.length === 1, 'the stream starts');
      calls.streams[0]?.pause();
      for (const text of ['a', 'b', 'c'])
        client.send(dataFrame(1, message(Buffer.from(text)), false));
      client.send(dataFrame(1, NOTHING, true));
      await expectEcho(client, 3);
      expect(calls.received).to.have.length(0);
      expect(client.find(FrameType.headers, 1)).to.equal(undefined);
      calls.streams[0]?.resume();
      expect((await client.reply(1)).headers.get('grpc-status')).to.equal('0');
      expect(calls.received.map(String)).to.eql(['a', 'b', 'c']);
    });

    it('keeps data queued for a slow reader apart from that of others', async () => {
      await start({}, [Setting.initialWindowSize, MAX_WINDOW]);
      client.send(frame(FrameType.windowUpdate, 0, 0, u32(MAX_WINDOW - DEFAULT_WINDOW)));
      client.send(request(1, WAIT, NOTHING));
      await until(() => calls.unary.length === 1, 'the call starts');
      client.socket.pause();
      const reply = Buffer.alloc(30_000_000);
      for (let at = 0; at < reply.length; at += 4) reply.writeUInt32BE(at, at);
      calls.unary[0]?.reply(reply);
      const other = await connect();
      for (let n = 0; n < 60; n++) {
        other.send(request(n * 2 + 1, ECHO, Buffer.alloc(9000, 0xee)));
        await other.reply(n * 2 + 1);
        other.send(frame(FrameType.windowUpdate, 0, 0, u32(9005)));
      }
      client.socket.resume();
      const { body } = await client.reply(1);
      expect(body.subarray(5).equals(reply)).to.equal(true);
    });

    it('resets a stream whose client ignores the window of a paused handler', async () => {
      await start();
      client.send(headersFrame(1, STREAM));
      await until(() => calls.streams.length === 1, 'the stream starts');
      calls.streams[0]?.pause();
      const chunk = message(Buffer.alloc(16_000));
      for (let n = 0; n < 70; n++) client.send(dataFrame(1, chunk, false));
      expect(await client.reset(1)).to.equal(ErrorCode.flowControlError);
      expect(calls.received).to.have.length(0);
      await expectEcho(client, 3);
    });
  });

  describe('abuse', () => {
    it('survives rapid reset', async () => {
      await start();
      const pair = (n: number): Buffer =>
        Buffer.concat([
          request(n * 2 + 1, WAIT, NOTHING),
          frame(FrameType.rstStream, 0, n * 2 + 1, u32(ErrorCode.cancel)),
        ]);
      for (let n = 0; n < 5000; n++) client.send(pair(n));
      expect(await expectGoaway(ErrorCode.enhanceYourCalm)).to.equal('too_many_resets');
      expect(calls.unary.length).to.be.lessThan(1100);
      expect(calls.cancelled).to.equal(calls.unary.length);
    });

    it('survives a client that provokes resets', async () => {
      await start();
      for (let n = 0; n < 3000; n++) {
        const streamId = n * 2 + 1;
        client.send(request(streamId, WAIT, NOTHING));
        client.send(frame(FrameType.windowUpdate, 0, streamId, u32(0)));
      }
      expect(await expectGoaway(ErrorCode.enhanceYourCalm)).to.equal('too_many_resets');
      expect(calls.cancelled).to.equal(calls.unary.length);
      client = await connect();
      const bad = encodeFields([['no', 'pseudo fields']]);
      for (let n = 0; n < 3000; n++) client.send(frame(FrameType.headers, 5, n * 2 + 1, bad));
      await expectGoaway(ErrorCode.enhanceYourCalm);
    });

    it('does not take a long upload in odd pieces for a stall, but a dripping frame', async () => {
      await start();
      const drip = await connect();
      const upload = Buffer.concat([
        headersFrame(1, STREAM),
        ...Array.from({ length: 8 }, () => dataFrame(1, message(Buffer.alloc(91)), false)),
      ]);
      const headers = headersFrame(1, STREAM).length;
      client.send(upload.subarray(0, headers + 50));
      drip.send(upload.subarray(0, headers + 20));
      await until(() => calls.streams.length === 2, 'both streams start');
      for (let n = 1; n < 8; n++) {
        server.env.advance(4000);
        drip.send(upload.subarray(headers + 20 + n, headers + 21 + n));
        client.send(upload.subarray(headers + n * 105 - 55, headers + n * 105 + 50));
        await until(() => calls.received.length === n, 'the next message is complete');
        expect(drip.ended && n < 2).to.equal(false);
      }
      await until(() => drip.ended, 'the dripping client is closed');
      expect(client.ended).to.equal(false);
    });

    const floods: readonly (readonly [string, Buffer])[] = [
      ['SETTINGS', settings()],
      ['PRIORITY', frame(FrameType.priority, 0, 1, Buffer.alloc(5, 1))],
      ['unknown frames', frame(0x7f, 0, 0, NOTHING)],
      ['empty DATA', dataFrame(1, NOTHING, false)],
    ];
    for (const [what, bytes] of floods) {
      it(`ends a connection that sends nothing but ${what}`, async () => {
        await start();
        client.send(headersFrame(1, STREAM));
        for (let n = 0; n < 1200; n++) client.send(bytes);
        await expectGoaway(ErrorCode.enhanceYourCalm);
      });
    }

    it('allows pings at the permitted rate and no faster', async () => {
      await start({ keepaliveMinTimeMs: 5000 });
      const ping = frame(FrameType.ping, 0, 0, Buffer.from('12345678'));
      client.send(headersFrame(1, STREAM));
      await until(() => calls.streams.length === 1, 'the stream starts');
      for (let n = 1; n <= 10; n++) {
        server.env.advance(5001);
        client.send(ping);
        await until(() => client.count(FrameType.ping) === n, 'PING is answered');
      }
      expect(client.find(FrameType.ping)?.payload.toString()).to.equal('12345678');
      for (let n = 0; n < 3; n++) client.send(ping);
      expect(await expectGoaway(ErrorCode.enhanceYourCalm)).to.equal('too_many_pings');
    });

    it('forgives fast pings that come with traffic from the server', async () => {
      await start();
      for (let n = 0; n < 20; n++) {
        await expectEcho(client, n * 2 + 1);
        client.send(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
      }
      await until(() => client.count(FrameType.ping) === 20, 'all are answered');
    });

    it('ends connections that do not finish the preface, a frame or a header block in time', async () => {
      await start();
      const silent = await RawClient.connect(server.port);
      const halfFrame = await connect();
      halfFrame.send(request(1, ECHO, NOTHING).subarray(0, 30));
      const halfBlock = await connect();
      halfBlock.send(frame(FrameType.headers, 0, 1, requestBlock(ECHO)));
      open.push(silent);
      await expectEcho(client, 1);
      await until(() => server.transport.connectionCount === 4, 'all are connected');
      server.env.advance(9000);
      await expectEcho(client, 3);
      expect([silent.ended, halfFrame.ended, halfBlock.ended]).to.eql([false, false, false]);
      server.env.advance(2000);
      await until(() => silent.ended && halfFrame.ended && halfBlock.ended, 'all are closed');
      await expectEcho(client, 5);
    });

    it('answers a request whose body stalls', async () => {
      await start();
      client.send(
        headersFrame(1, ECHO),
        dataFrame(1, message(Buffer.alloc(50)).subarray(0, 20), false),
      );
      client.send(headersFrame(3, STREAM));
      await until(() => calls.streams.length === 1, 'both calls start');
      server.env.advance(20_000);
      await expectEcho(client, 5);
      expect(client.find(FrameType.headers, 1)).to.equal(undefined);
      server.env.advance(11_000);
      const { headers } = await client.reply(1);
      expect(headers.get('grpc-status')).to.equal(String(Status.deadlineExceeded));
      expect(calls.cancelled).to.equal(0);
    });

    it('resets a plain HTTP request whose body stalls', async () => {
      server = await startRawServer(calls.table, {}, { onHttpRequest: () => {} });
      client = await connect();
      const fields = encodeFields([
        [':method', 'POST'],
        [':scheme', 'http'],
        [':path', '/v3/kv/put'],
      ]);
      client.send(frame(FrameType.headers, Flag.endHeaders, 1, fields));
      client.send(dataFrame(1, Buffer.from('{'), false));
      await expectEcho(client, 3);
      server.env.advance(31_000);
      expect(await client.reset(1)).to.equal(ErrorCode.cancel);
      await expectEcho(client, 5);
    });

    it('resets a stream whose client opens no window, and keeps the others', async () => {
      await start({}, [Setting.initialWindowSize, 100]);
      client.send(headersFrame(1, STREAM));
      await until(() => calls.streams.length === 1, 'the stream starts');
      let writes = 0;
      while (calls.streams[0]?.write(Buffer.alloc(1000)) === true) writes++;
      expect(writes).to.be.within(50, 100);
      await until(() => client.bytesOf(1) === 100, 'the window is used up');
      server.env.advance(59_000);
      await expectEcho(client, 3);
      expect(calls.cancelled).to.equal(0);
      server.env.advance(2000);
      expect(await client.reset(1)).to.equal(ErrorCode.internalError);
      expect(calls.cancelled).to.equal(1);
      await expectEcho(client, 5);
    });

    it('bounds the queue for a client that reads nothing, and ends the connection in the end', async () => {
      await start({}, [Setting.initialWindowSize, MAX_WINDOW]);
      client.send(frame(FrameType.windowUpdate, 0, 0, u32(MAX_WINDOW - DEFAULT_WINDOW)));
      client.send(headersFrame(1, STREAM));
      await until(() => calls.streams.length === 1, 'the stream starts');
      client.socket.pause();
      const call = calls.streams[0];
      let accepted = 0;
      let idleTurns = 0;
      while (idleTurns < 50) {
        idleTurns++;
        while (call !== undefined && call.write(Buffer.alloc(10_000))) {
          accepted += 10_000;
          idleTurns = 0;
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(accepted).to.be.lessThan(64 * 1024 * 1024);
      expect(call?.bufferedBytes ?? 0).to.be.within(64 * 1024, 2 * 1024 * 1024);
      server.env.advance(1000);
      server.env.advance(61_000);
      await until(() => calls.cancelled === 1, 'the call is cancelled');
      await until(() => server.transport.connectionCount === 0, 'the connection is gone');
    });

    it('pings an idle client, and drops it when it does not answer', async () => {
      await start({ keepaliveIntervalMs: 60_000, keepaliveTimeoutMs: 20_000 });
      await expectEcho(client, 1);
      server.env.advance(30_000);
      expect(client.count(FrameType.ping)).to.equal(0);
      server.env.advance(31_000);
      await until(() => client.count(FrameType.ping) === 1, 'a ping comes');
      const ping = client.find(FrameType.ping);
      client.send(frame(FrameType.ping, Flag.ack, 0, ping?.payload ?? NOTHING));
      await expectEcho(client, 3);
      server.env.advance(30_000);
      await expectEcho(client, 5);
      server.env.advance(61_000);
      await until(() => client.count(FrameType.ping) === 2, 'another ping comes');
      server.env.advance(21_000);
      await until(() => client.ended, 'the connection is dropped');
    });
  });

  describe('stop', () => {
    it('announces the end, serves calls that cross it, then closes', async () => {
      await start();
      client.send(request(1, WAIT, NOTHING));
      await until(() => calls.unary.length === 1, 'the call starts');
      const stopped = new Promise<void>((resolve) => server.transport.stop(10_000, resolve));
      const first = await client.goaway();
      expect([first.code, first.lastStreamId]).to.eql([ErrorCode.noError, MAX_WINDOW]);
      await expectEcho(client, 3);
      const ping = client.find(FrameType.ping);
      client.send(frame(FrameType.ping, Flag.ack, 0, ping?.payload ?? NOTHING));
      await until(() => client.count(FrameType.goaway) === 2, 'the second GOAWAY');
      client.send(request(5, ECHO, NOTHING));
      calls.unary[0]?.reply(Buffer.from('last'));
      expect((await client.reply(1)).body.toString('latin1', 5)).to.equal('last');
      await until(() => client.ended, 'the server closes its side');
      expect(client.find(FrameType.headers, 5)).to.equal(undefined);
      client.socket.end();
      await stopped;
    });
  });

  it('holds 1,000 streams on one connection', async () => {
    await start();
    for (let n = 0; n < 1000; n++) client.send(request(n * 2 + 1, WAIT, NOTHING));
    await until(() => calls.unary.length === 1000, 'all calls start');
    for (const call of calls.unary) call.reply(Buffer.from('r'));
    for (let n = 0; n < 1000; n += 111) await client.reply(n * 2 + 1);
    await until(() => client.count(FrameType.data) === 1000, 'all are answered');
    expect(LIMITS.maxConcurrentStreams).to.be.greaterThan(999);
  });
});
