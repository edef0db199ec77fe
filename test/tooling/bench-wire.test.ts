import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { expect } from 'chai';
import { Connection, type CallSink } from '../../bench/wire/connection.js';
import { call, CallFailed } from '../../bench/wire/unary.js';

/** The load generator's client against Node.js's own HTTP/2 server. */
describe('bench wire client', () => {
  let server: Http2Server;
  let port = 0;
  let connection: Connection;

  before(async () => {
    server = createServer({ settings: { initialWindowSize: 20_000 } });
    server.on('stream', (stream, headers) => {
      answer(stream, String(headers[':path']));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });

  beforeEach(async () => {
    connection = await Connection.open('127.0.0.1', port);
  });

  afterEach(() => {
    connection.close();
  });

  after(async () => {
    await new Promise((done) => server.close(done));
  });

  /** Echoes the request's messages; the path names the status and how often. */
  function answer(stream: ServerHttp2Stream, path: string): void {
    const [, kind, count] = path.split('/');
    const parts: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (part: Buffer) => {
      parts.push(part);
      if (kind === 'chat') stream.write(part);
    });
    stream.on('end', () => {
      const body = Buffer.concat(parts);
      if (kind !== 'chat') for (let i = 0; i < Number(count); i++) stream.write(body);
      stream.end();
    });
    const refused = kind === 'refuse';
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => {
      stream.sendTrailers(
        refused
          ? { 'grpc-status': '9', 'grpc-message': 'no such <thing>, try {again}' }
          : { 'grpc-status': '0' },
      );
    });
  }

  for (const size of [0, 1, 16_374, 16_380, 19_990, 70_000, 1_000_000]) {
    it(`echoes a message of ${String(size)} bytes through both flow-control windows`, async () => {
      const body = Buffer.alloc(size, 'x');
      const echoed = await call(connection, '/echo/1', body);
      expect(Buffer.compare(echoed, body)).to.equal(0);
    });
  }

  it('reports a refusal with its status and text', async () => {
    const failure = await call(connection, '/refuse/0', Buffer.from('a')).catch(
      (error: unknown) => error,
    );
    expect(failure).to.be.instanceOf(CallFailed);
    expect((failure as CallFailed).status).to.equal(9);
    expect((failure as CallFailed).message).to.include('no such <thing>, try {again}');
  });

  it('keeps header tables in step over many calls on several paths', async () => {
    const sizes: number[] = [];
    const calls = Array.from({ length: 600 }, async (_, i) => {
      const path = ['/echo/1', '/echo/2', '/refuse/0'][i % 3] ?? '';
      const size = await call(connection, path, Buffer.alloc(i)).then(
        (bytes) => bytes.length,
        () => -1,
      );
      sizes[i] = size;
    });
    await Promise.all(calls);
    sizes.forEach((size, i) => {
      expect(size).to.equal(i % 3 === 2 ? -1 : i);
    });
  });

  it('carries messages both ways on a stream', async () => {
    const seen: string[] = [];
    const status = await new Promise<number>((resolve) => {
      const sink: CallSink = {
        discard: false,
        message: (buf, start, end) => {
          seen.push(Buffer.from(buf.subarray(start, end)).toString());
          if (seen.length < 5) stream.send(Buffer.from(`message ${String(seen.length)}`));
          else stream.finish();
        },
        ended: resolve,
      };
      const stream = connection.stream('/chat/0', sink);
      stream.send(Buffer.from('message 0'));
    });
    expect(status).to.equal(0);
    expect(seen).to.deep.equal(['message 0', 'message 1', 'message 2', 'message 3', 'message 4']);
  });

  it('fails calls in flight when the connection breaks', async () => {
    const broken = call(connection, '/never/0', Buffer.from('a')).catch((error: unknown) => error);
    connection.close();
    const failure = await broken;
    expect((failure as CallFailed).status).to.equal(14);
    const later = await call(connection, '/echo/1', Buffer.from('a')).catch(
      (error: unknown) => error,
    );
    expect((later as CallFailed).status).to.equal(14);
  });
});
