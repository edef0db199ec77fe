/** A handler and a grpc-js client as they see each other; the same on both transports. */
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RpcError, Status } from '../../src/rpc/service.js';
import type {
  Method,
  PartSource,
  StreamCall,
  TransportObserver,
  UnaryCall,
} from '../../src/rpc/service.js';
import {
  connect,
  env,
  identity,
  LIMITS,
  makeGrpcJs,
  makeHttp2,
  startTransport,
  unary,
  until,
  type MakeTransport,
  type Running,
  type StartOptions,
} from './support/transports.js';

const TRANSPORTS: readonly (readonly [string, MakeTransport])[] = [
  ['grpc-js', makeGrpcJs],
  ['own HTTP/2', makeHttp2],
];
const MIB = 1024 * 1024;

type UnaryHandle = (request: Uint8Array, call: UnaryCall) => void;

const unaryMethod = (handle: UnaryHandle): Method => ({ kind: 'unary', handle });
const bidi = (handle: (call: StreamCall) => void): Method => ({
  kind: 'stream',
  streamType: 'bidi_stream',
  handle,
});

function openStream(
  client: grpc.Client,
  path: string,
  options: grpc.CallOptions = {},
): grpc.ClientDuplexStream<Buffer, Buffer> {
  return client.makeBidiStreamRequest(path, identity, identity, new grpc.Metadata(), options);
}

interface StreamEnd {
  readonly messages: Buffer[];
  readonly status: grpc.StatusObject;
}

function collect(stream: grpc.ClientDuplexStream<Buffer, Buffer>): Promise<StreamEnd> {
  const messages: Buffer[] = [];
  stream.on('data', (message: Buffer) => messages.push(message));
  stream.on('error', () => {});
  return new Promise((resolve) => {
    stream.on('status', (status) => resolve({ messages, status }));
  });
}

function pattern(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; at++) bytes[at] = (at * 31 + (at >> 8)) & 0xff;
  return bytes;
}

for (const [name, make] of TRANSPORTS) {
  describe(`RpcTransport: ${name}`, () => {
    let running: Running | undefined;
    const clients: grpc.Client[] = [];

    async function serve(
      methods: Record<string, Method>,
      options: Omit<StartOptions, 'table'> = {},
    ): Promise<grpc.Client> {
      const table = new Map(
        Object.entries(methods).map(([method, entry]) => [`/test.Svc/${method}`, entry] as const),
      );
      running = await startTransport(make, { table, ...options });
      return open();
    }

    function open(options: grpc.ClientOptions = {}): grpc.Client {
      const client = connect(`127.0.0.1:${running?.port ?? 0}`, options);
      clients.push(client);
      return client;
    }

    afterEach(async () => {
      for (const client of clients.splice(0)) client.close();
      await running?.stop();
      running = undefined;
    });

    it('answers a unary call at once and later', async () => {
      const client = await serve({
        Now: unaryMethod((request, call) => call.reply(request.slice().reverse())),
        Later: unaryMethod((request, call) => {
          const copy = request.slice();
          setImmediate(() => call.reply(copy));
        }),
      });
      expect([...(await unary(client, '/test.Svc/Now', Buffer.from([1, 2, 3]))).reply]).to.eql([
        3, 2, 1,
      ]);
      expect((await unary(client, '/test.Svc/Later', Buffer.from('x'))).reply.toString()).to.equal(
        'x',
      );
      expect((await unary(client, '/test.Svc/Now', Buffer.alloc(0))).reply).to.have.length(0);
    });

    it('answers 500 concurrent calls, each with its own reply', async () => {
      const waiting: (() => void)[] = [];
      const client = await serve({
        Echo: unaryMethod((request, call) => {
          const copy = request.slice();
          waiting.push(() => call.reply(copy));
          if (waiting.length === 500) for (const answer of waiting.reverse()) answer();
        }),
      });
      const calls = Array.from({ length: 500 }, (_, n) =>
        unary(client, '/test.Svc/Echo', Buffer.from(`request ${n}`)),
      );
      const replies = await Promise.all(calls);
      replies.forEach(({ reply }, n) => expect(reply.toString()).to.equal(`request ${n}`));
    });

    it('passes code and text of a refusal', async () => {
      const text = 'etcdserver: 100% naïve – \n"quoted"';
      const client = await serve({
        Fail: unaryMethod((_request, call) => {
          call.fail(new RpcError(Status.failedPrecondition, text));
          call.reply(Buffer.from('ignored'));
          call.fail(new RpcError(Status.internal, 'ignored'));
        }),
      });
      const { error } = await unary(client, '/test.Svc/Fail', Buffer.from('x'));
      expect(error?.code).to.equal(Status.failedPrecondition);
      expect(error?.details).to.equal(name === 'grpc-js' ? error?.details : text);
    });

    it('refuses unknown methods and services with 12', async () => {
      const client = await serve({ Known: unaryMethod((request, call) => call.reply(request)) });
      const method = await unary(client, '/test.Svc/Unknown', Buffer.from('x'));
      const service = await unary(client, '/other.Svc/Known', Buffer.from('x'));
      expect(method.error?.code).to.equal(Status.unimplemented);
      expect(service.error?.code).to.equal(Status.unimplemented);
      if (name !== 'grpc-js') {
        expect(method.error?.details).to.equal('unknown method Unknown for service test.Svc');
        expect(service.error?.details).to.equal('unknown service other.Svc');
      }
    });

    it('shows metadata, peer and deadline to the handler', async () => {
      let seen: unknown[] = [];
      const client = await serve({
        Look: unaryMethod((_request, call) => {
          seen = [call.metadata('token'), call.metadata('absent'), call.metadata('hasleader')];
          seen.push(call.peer.startsWith('127.0.0.1:'));
          const leftMs = call.deadlineMs - env.clock.monoMs();
          seen.push(leftMs > 5_000 && leftMs <= 60_000, call.cancelled);
          call.reply(Buffer.alloc(0));
        }),
        Endless: unaryMethod((_request, call) => {
          call.reply(Buffer.from(String(call.deadlineMs)));
        }),
      });
      const metadata = new grpc.Metadata();
      metadata.set('token', 'user.1');
      metadata.add('token', 'user.2');
      metadata.set('hasleader', 'true');
      await unary(client, '/test.Svc/Look', Buffer.alloc(1), { metadata, deadlineMs: 60_000 });
      expect(seen[0]).to.match(/^user\.1/);
      expect(seen.slice(1)).to.eql([undefined, 'true', true, true, false]);
      const endless = await unary(client, '/test.Svc/Endless', Buffer.alloc(1));
      expect(endless.reply.toString()).to.equal('Infinity');
    });

    it('takes binary metadata, and shows the handler the text beside it', async () => {
      let seen: unknown[] = [];
      const client = await serve({
        Look: unaryMethod((request, call) => {
          seen = [call.metadata('before'), call.metadata('after'), call.metadata('absent-bin')];
          call.reply(request.slice());
        }),
      });
      const metadata = new grpc.Metadata();
      metadata.set('before', '1');
      metadata.set('trace-bin', Buffer.from([0, 255, 10, 13, 128]));
      metadata.add('trace-bin', Buffer.alloc(300, 7));
      metadata.set('after', '2');
      const { reply } = await unary(client, '/test.Svc/Look', Buffer.from('x'), { metadata });
      expect(reply.toString()).to.equal('x');
      expect(seen).to.eql(['1', '2', undefined]);
    });

    it('cancels a call whose deadline passed', async () => {
      let cancelled = false;
      const client = await serve({
        Wait: unaryMethod((_request, call) => {
          call.onCancel(() => {
            cancelled = call.cancelled;
            call.reply(Buffer.from('too late'));
          });
        }),
      });
      // The connection must exist, or the time passes before the call reaches the server.
      await unary(client, '/test.Svc/None', Buffer.alloc(1));
      const { error } = await unary(client, '/test.Svc/Wait', Buffer.alloc(1), { deadlineMs: 300 });
      expect(error?.code).to.equal(Status.deadlineExceeded);
      await until(() => cancelled, 'the handler hears of the deadline');
    });

    it('cancels a call whose client gave up', async () => {
      let started = false;
      let cancelled = false;
      const client = await serve({
        Wait: unaryMethod((_request, call) => {
          started = true;
          call.onCancel(() => (cancelled = true));
        }),
      });
      const metadata = new grpc.Metadata();
      const call = client.makeUnaryRequest(
        '/test.Svc/Wait',
        identity,
        identity,
        Buffer.alloc(1),
        metadata,
        () => {},
      );
      await until(() => started, 'the call starts');
      call.cancel();
      await until(() => cancelled, 'the handler hears of the cancellation');
    });

    it('cancels calls and streams when the connection goes away', async () => {
      let started = 0;
      let cancelled = 0;
      const client = await serve({
        Wait: unaryMethod((_request, call) => {
          started++;
          call.onCancel(() => cancelled++);
        }),
        Stream: bidi((call) => {
          started++;
          call.onCancel(() => cancelled++);
          call.onMessage(() => {});
        }),
      });
      void unary(client, '/test.Svc/Wait', Buffer.alloc(1));
      const stream = openStream(client, '/test.Svc/Stream');
      stream.on('error', () => {});
      stream.write(Buffer.from('x'));
      await until(() => started === 2, 'both start');
      await running?.stop(0);
      await until(() => cancelled === 2, 'both are cancelled');
    });

    it('accepts a message of the maximum size and refuses one byte more', async () => {
      const client = await serve({
        Size: unaryMethod((request, call) => call.reply(Buffer.from(String(request.length)))),
      });
      const max = LIMITS.maxReceiveBytes;
      const fits = await unary(client, '/test.Svc/Size', pattern(max));
      expect(fits.reply.toString()).to.equal(String(max));
      const { error } = await unary(client, '/test.Svc/Size', pattern(max + 1));
      expect(error?.code).to.equal(Status.resourceExhausted);
      expect(error?.details).to.equal(
        `grpc: received message larger than max (${max + 1} vs. ${max})`,
      );
    });

    it('carries replies of many megabytes', async () => {
      const big = pattern(5 * MIB + 3);
      const client = await serve({ Big: unaryMethod((_request, call) => call.reply(big)) });
      for (let n = 0; n < 3; n++) {
        const { reply } = await unary(client, '/test.Svc/Big', Buffer.alloc(1));
        expect(reply.equals(big)).to.equal(true);
      }
    });

    it('carries requests of a megabyte that span many frames', async () => {
      const client = await serve(
        { Echo: unaryMethod((request, call) => call.reply(request)) },
        { limits: { maxReceiveBytes: 4 * MIB } },
      );
      const sizes = [16_379, 16_380, 65_535, 65_536, 3 * MIB + 1];
      const replies = await Promise.all(
        sizes.map((size) => unary(client, '/test.Svc/Echo', pattern(size))),
      );
      replies.forEach(({ reply }, n) => {
        expect(reply.equals(pattern(sizes[n] ?? 0))).to.equal(true);
      });
    });

    it('sends a reply given in parts, some of them late', async () => {
      const parts = [pattern(10), pattern(0), pattern(100_000), pattern(3), pattern(70_000)];
      const total = parts.reduce((sum, part) => sum + part.length, 0);
      const client = await serve({
        Parts: unaryMethod((_request, call) => {
          let next = 0;
          let late = false;
          const source: PartSource = {
            next(resume) {
              late = !late;
              if (late) {
                setImmediate(resume);
                return null;
              }
              return parts[next++];
            },
            abort: () => {},
          };
          call.replyParts(total, source);
        }),
      });
      const { reply } = await unary(client, '/test.Svc/Parts', Buffer.alloc(1));
      expect(reply.equals(Buffer.concat(parts))).to.equal(true);
    });

    it('fails a reply whose parts do not add up', async () => {
      const source = (parts: Buffer[]): PartSource => ({
        next: () => parts.shift(),
        abort: () => {},
      });
      const client = await serve({
        Short: unaryMethod((_request, call) => call.replyParts(10, source([pattern(9)]))),
        Long: unaryMethod((_request, call) => call.replyParts(10, source([pattern(11)]))),
      });
      for (const path of ['/test.Svc/Short', '/test.Svc/Long']) {
        const { error } = await unary(client, path, Buffer.alloc(1));
        expect(error?.code).to.equal(Status.internal);
      }
    });

    it('refuses to send 2^31 bytes and more, before it holds or asks for them', async () => {
      // It claims its length and has no bytes.
      const long = { length: 2 ** 31 } as Uint8Array;
      let aborted = 0;
      let cancelled = 0;
      const client = await serve({
        Whole: unaryMethod((_request, call) => call.reply(long)),
        Parts: unaryMethod((_request, call) => {
          const next = (): never => expect.fail('a part is asked for');
          call.replyParts(long.length, { next, abort: () => aborted++ });
        }),
        Stream: bidi((call) => {
          call.onCancel(() => cancelled++);
          call.write(Buffer.from('first'));
          expect(call.write(long)).to.equal(false);
          call.end();
        }),
      });
      const text = 'trying to send message larger than max (2147483648 vs. 2147483647)';
      for (const path of ['/test.Svc/Whole', '/test.Svc/Parts']) {
        const { error } = await unary(client, path, Buffer.alloc(1));
        expect(error?.code).to.equal(Status.resourceExhausted);
        expect(error?.details).to.equal(`grpc: ${text}`);
      }
      expect(aborted).to.equal(1);
      const { status } = await collect(openStream(client, '/test.Svc/Stream'));
      expect(status.code).to.equal(Status.resourceExhausted);
      expect(status.details).to.equal(text);
      expect(cancelled).to.equal(1);
    });

    it('aborts the source of a reply whose client went away', async () => {
      let aborted = 0;
      let started = false;
      const client = await serve({
        Parts: unaryMethod((_request, call) => {
          started = true;
          call.replyParts(1000, { next: () => null, abort: () => aborted++ });
        }),
      });
      const call = client.makeUnaryRequest(
        '/test.Svc/Parts',
        identity,
        identity,
        Buffer.alloc(1),
        new grpc.Metadata(),
        () => {},
      );
      await until(() => started, 'the call starts');
      call.cancel();
      await until(() => aborted === 1, 'the source is aborted');
    });

    it('streams both ways until both sides end', async () => {
      const client = await serve({
        Echo: bidi((call) => {
          call.onMessage((message) => call.write(message.slice()));
          call.onHalfClose(() => call.end());
        }),
      });
      const stream = openStream(client, '/test.Svc/Echo');
      const end = collect(stream);
      for (let n = 0; n < 200; n++) stream.write(pattern(n * 7));
      stream.end();
      const { messages, status } = await end;
      expect(status.code).to.equal(Status.ok);
      expect(messages).to.have.length(200);
      messages.forEach((message, n) => expect(message.equals(pattern(n * 7))).to.equal(true));
    });

    it('joins the two parts of a message, small or large', async () => {
      const sizes = [0, 10, 5000, 16_000, 40_000];
      const client = await serve({
        Parts: bidi((call) => {
          for (const size of sizes) {
            const whole = pattern(size);
            call.write(whole.subarray(0, Math.min(10, size)), whole.subarray(10));
          }
          call.end();
        }),
      });
      const { messages } = await collect(openStream(client, '/test.Svc/Parts'));
      expect(messages.map((message) => message.length)).to.eql(sizes);
      messages.forEach((message, n) =>
        expect(message.equals(pattern(sizes[n] ?? 0))).to.equal(true),
      );
    });

    it('serves a client that sends one message and gets many', async () => {
      const client = await serve({
        Count: bidi((call) => {
          call.onMessage((message) => {
            for (let n = 0; n < message.length; n++) call.write(message.slice(0, n));
          });
          call.onHalfClose(() => call.end());
        }),
      });
      const path = '/test.Svc/Count';
      const stream = client.makeServerStreamRequest(path, identity, identity, pattern(20));
      const messages: Buffer[] = [];
      stream.on('data', (message: Buffer) => messages.push(message));
      const status = await new Promise<grpc.StatusObject>((resolve) =>
        stream.on('status', resolve),
      );
      expect(status.code).to.equal(Status.ok);
      expect(messages.map((each) => each.length)).to.eql([...Array(20).keys()]);
    });

    it('serves a client that sends many messages and gets one', async () => {
      const client = await serve({
        Sum: bidi((call) => {
          let total = 0;
          call.onMessage((message) => (total += message.length));
          call.onHalfClose(() => {
            call.write(Buffer.from(String(total)));
            call.end();
          });
        }),
      });
      const reply = await new Promise<Buffer | undefined>((resolve, reject) => {
        const stream = client.makeClientStreamRequest(
          '/test.Svc/Sum',
          identity,
          identity,
          (error, value: Buffer | undefined) => (error === null ? resolve(value) : reject(error)),
        );
        for (let n = 1; n <= 100; n++) stream.write(pattern(n * 100));
        stream.end();
      });
      expect(reply?.toString()).to.equal('505000');
    });

    it('ends a stream without messages', async () => {
      const client = await serve({ Empty: bidi((call) => call.end()) });
      const { messages, status } = await collect(openStream(client, '/test.Svc/Empty'));
      expect(messages).to.have.length(0);
      expect(status.code).to.equal(Status.ok);
    });

    it('delivers queued messages before a refusal that ends a stream', async () => {
      const client = await serve({
        Fail: bidi((call) => {
          for (let n = 0; n < 50; n++) call.write(pattern(20_000));
          call.fail(new RpcError(Status.outOfRange, 'compacted'));
        }),
      });
      const { messages, status } = await collect(openStream(client, '/test.Svc/Fail'));
      expect(messages).to.have.length(50);
      expect([status.code, status.details]).to.eql([Status.outOfRange, 'compacted']);
    });

    it('stops the writes of a handler while the client does not read', async () => {
      const message = pattern(30_000);
      let written = 0;
      let mostBuffered = 0;
      let paused = false;
      const total = 400;
      const client = await serve({
        Flood: bidi((call) => {
          const more = (): void => {
            paused = false;
            while (written < total && !paused) {
              written++;
              paused = !call.write(message);
              mostBuffered = Math.max(mostBuffered, call.bufferedBytes);
            }
            if (written === total && !paused) call.end();
          };
          call.onDrain(more);
          more();
        }),
      });
      const stream = openStream(client, '/test.Svc/Flood');
      stream.pause();
      await until(() => paused, 'write returns false');
      const stoppedAt = written;
      expect(stoppedAt).to.be.lessThan(total);
      const end = collect(stream);
      stream.resume();
      const { messages, status } = await end;
      expect(status.code).to.equal(Status.ok);
      expect(messages).to.have.length(total);
      expect(messages.every((each) => each.equals(message))).to.equal(true);
      expect(mostBuffered).to.be.lessThan(4 * MIB);
    });

    it('holds back a client while the handler is paused', async () => {
      let handlerCall: StreamCall | undefined;
      let received = 0;
      let halfClosed = false;
      const client = await serve({
        Slow: bidi((call) => {
          handlerCall = call;
          call.onMessage(() => {
            received++;
            if (received === 3) call.pause();
          });
          call.onHalfClose(() => {
            halfClosed = true;
            call.end();
          });
        }),
      });
      const stream = openStream(client, '/test.Svc/Slow');
      const end = collect(stream);
      let accepted = 0;
      for (let n = 0; n < 200; n++) stream.write(pattern(30_000), () => accepted++);
      stream.end();
      await until(() => received >= 3, 'three messages arrive');
      await unary(client, '/test.Svc/None', Buffer.alloc(1));
      expect(received).to.equal(3);
      expect(halfClosed).to.equal(false);
      expect(accepted).to.be.lessThan(200);
      handlerCall?.resume();
      const { status } = await end;
      expect([received, status.code]).to.eql([200, Status.ok]);
    });

    it('unpacks gzip requests', async () => {
      await serve({ Echo: unaryMethod((request, call) => call.reply(request.slice())) });
      const client = open({ 'grpc.default_compression_algorithm': 2 });
      const body = Buffer.alloc(50_000, 'abc');
      const { reply, error } = await unary(client, '/test.Svc/Echo', body);
      expect(error).to.equal(null);
      expect(reply.equals(body)).to.equal(true);
      const bomb = await unary(client, '/test.Svc/Echo', Buffer.alloc(10 * MIB));
      expect(bomb.error?.code).to.equal(Status.resourceExhausted);
    });

    // Only the transport of our own packs its replies (gzip.test.ts); grpc-js unpacks requests and answers as they are.
    it('serves clients that compress, also large messages and streams', async () => {
      const big = pattern(3 * MIB);
      await serve(
        {
          Big: unaryMethod((request, call) => {
            expect(request).to.have.length(100_000);
            call.reply(big);
          }),
          Parts: unaryMethod((_request, call) => {
            const parts = [big, pattern(10)];
            call.replyParts(big.length + 10, { next: () => parts.shift(), abort: () => {} });
          }),
          Echo: bidi((call) => {
            call.onMessage((message) => call.write(message.slice()));
            // Not with a refusal: this client drops what it has not unpacked yet when one arrives.
            call.onHalfClose(() => call.end());
          }),
        },
        { limits: { maxReceiveBytes: 4 * MIB } },
      );
      const client = open({ 'grpc.default_compression_algorithm': 2 });
      const whole = await unary(client, '/test.Svc/Big', Buffer.alloc(100_000, 'abc'));
      expect(whole.reply.equals(big)).to.equal(true);
      const parts = await unary(client, '/test.Svc/Parts', Buffer.alloc(2000));
      expect(parts.reply.equals(Buffer.concat([big, pattern(10)]))).to.equal(true);
      const stream = openStream(client, '/test.Svc/Echo');
      const end = collect(stream);
      const sizes = [0, 5, 3000, 100_000, 7, MIB, 20_000, 1];
      for (const size of sizes) stream.write(pattern(size));
      stream.end();
      const { messages, status } = await end;
      expect(messages.map((each) => each.length)).to.eql(sizes);
      expect(messages.every((each, n) => each.equals(pattern(sizes[n] ?? 0)))).to.equal(true);
      expect(status.code).to.equal(Status.ok);
    });

    it('finishes calls in flight when it stops, and refuses new ones', async () => {
      const waiting: (() => void)[] = [];
      const client = await serve({
        Wait: unaryMethod((_request, call) => waiting.push(() => call.reply(Buffer.from('done')))),
      });
      const call = unary(client, '/test.Svc/Wait', Buffer.alloc(1));
      await until(() => waiting.length === 1, 'the call starts');
      const stopped = running?.stop(10_000);
      running = undefined;
      await until(() => client.getChannel().getConnectivityState(false) !== 2, 'GOAWAY arrives');
      const refused = await unary(client, '/test.Svc/Wait', Buffer.alloc(1), { deadlineMs: 5000 });
      expect(refused.error?.code).to.equal(Status.unavailable);
      waiting[0]?.();
      expect((await call).reply.toString()).to.equal('done');
      await stopped;
    });

    it('closes calls that outlast the grace period', async () => {
      let started = false;
      const client = await serve({ Wait: unaryMethod(() => (started = true)) });
      const call = unary(client, '/test.Svc/Wait', Buffer.alloc(1));
      await until(() => started, 'the call starts');
      await running?.stop(20);
      running = undefined;
      expect((await call).error?.code).to.be.oneOf([Status.unavailable, Status.cancelled]);
    });

    it('serves unix sockets', async () => {
      const directory = fs.mkdtempSync(join(tmpdir(), 'rpc-'));
      const path = join(directory, 's');
      await serve({ Echo: unaryMethod((request, call) => call.reply(request)) }, { path });
      const client = connect(`unix:${path}`);
      clients.push(client);
      expect((await unary(client, '/test.Svc/Echo', Buffer.from('u'))).reply.toString()).to.equal(
        'u',
      );
      fs.rmSync(directory, { recursive: true });
    });

    it('reports calls to its observer', async () => {
      const events: string[] = [];
      const observer: TransportObserver = {
        started: (path) => events.push(`started ${path}`),
        handled: (path, code, seconds) => events.push(`handled ${path} ${code} ${seconds >= 0}`),
        messageReceived: (path, bytes) => events.push(`received ${path} ${bytes}`),
        messageSent: (path, bytes) => events.push(`sent ${path} ${bytes}`),
      };
      const client = await serve(
        {
          Echo: unaryMethod((request, call) => call.reply(request)),
          Fail: unaryMethod((_request, call) =>
            call.fail(new RpcError(Status.notFound, 'nothing')),
          ),
        },
        { observer },
      );
      await unary(client, '/test.Svc/Echo', Buffer.alloc(5));
      await unary(client, '/test.Svc/Fail', Buffer.alloc(2));
      expect(events.sort()).to.eql([
        'handled /test.Svc/Echo 0 true',
        'handled /test.Svc/Fail 5 true',
        'received /test.Svc/Echo 5',
        'received /test.Svc/Fail 2',
        'sent /test.Svc/Echo 5',
        'started /test.Svc/Echo',
        'started /test.Svc/Fail',
      ]);
    });
  });
}
