/** TLS sockets, ALPN, and requests over HTTP/2 that are not gRPC. */
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { Http2Transport } from '../../src/rpc/http2/http2-transport.js';
import { PREFACE } from '../../src/rpc/http2/frames.js';
import type { HttpRequest } from '../../src/rpc/http2/http-exchange.js';
import type { Method } from '../../src/rpc/service.js';
import { request as grpcRequest, settings } from './support/raw-client.js';
import {
  connect,
  LIMITS,
  makeGrpcJs,
  makeHttp2,
  startTransport,
  unary,
  until,
  type MakeTransport,
  type Running,
} from './support/transports.js';

const fixture = (name: string): Buffer =>
  fs.readFileSync(new URL(`fixtures/${name}`, import.meta.url));
const KEY = fixture('server.key');
const CERT = fixture('server.crt');

let waiting = 0;
let cancelled = 0;
const table = new Map<string, Method>([
  ['/test.Svc/Echo', { kind: 'unary', handle: (body, call) => call.reply(body.slice()) }],
  [
    '/test.Svc/Wait',
    {
      kind: 'unary',
      handle: (_body, call) => {
        waiting++;
        call.onCancel(() => cancelled++);
      },
    },
  ],
]);

for (const [name, make] of [
  ['grpc-js', makeGrpcJs],
  ['own HTTP/2', makeHttp2],
] as const) {
  describe(`TLS: ${name}`, () => {
    const httpServer = http.createServer((request, response) => {
      response.end(`${request.method} ${request.url}`);
    });
    let running: Running;
    let client: grpc.Client;

    beforeEach(async () => {
      waiting = 0;
      cancelled = 0;
      running = await startTransport(make, {
        table,
        tls: { key: KEY, cert: CERT },
        limits: { maxReceiveBytes: 8 * 1024 * 1024 },
        onHttp: (socket) => httpServer.emit('connection', socket),
      });
      client = connect(`localhost:${running.port}`, {}, grpc.credentials.createSsl(CERT));
    });

    afterEach(async () => {
      client.close();
      await running.stop();
    });

    it('serves calls negotiated by ALPN, small and large', async () => {
      for (const size of [0, 1, 16_384, 100_000, 5_000_000]) {
        const body = Buffer.alloc(size, size % 251);
        const { reply, error } = await unary(client, '/test.Svc/Echo', body);
        expect(error).to.equal(null);
        expect(reply.equals(body)).to.equal(true);
      }
      const many = Array.from({ length: 200 }, () =>
        unary(client, '/test.Svc/Echo', Buffer.alloc(3000)),
      );
      for (const { reply } of await Promise.all(many)) expect(reply).to.have.length(3000);
    });

    for (const [what, protocols] of [
      ['with ALPN', ['h2']],
      ['by prior knowledge', undefined],
    ] as const) {
      // Node's http2, and grpc-js with it, refuses TLS clients that negotiated no protocol.
      if (name === 'grpc-js' && protocols === undefined) continue;
      it(`serves a call sent at once after the handshake, ${what}`, async () => {
        const socket = tls.connect({
          port: running.port,
          host: 'localhost',
          ca: CERT,
          ...(protocols === undefined ? {} : { ALPNProtocols: [...protocols] }),
        });
        const received: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => received.push(chunk));
        socket.on('error', () => {});
        // Queued until the handshake is done: it leaves before the server has sent anything in
        // HTTP/2.
        socket.write(
          Buffer.concat([
            PREFACE,
            settings(),
            grpcRequest(1, '/test.Svc/Echo', Buffer.from('early')),
          ]),
        );
        await until(() => Buffer.concat(received).includes('early'), 'the reply comes');
        expect(socket.alpnProtocol).to.equal(protocols === undefined ? false : 'h2');
        socket.destroy();
      });
    }

    it('serves HTTP/1.1 on the same port', async () => {
      const text = await new Promise<string>((resolve, reject) => {
        const options = { port: running.port, path: '/health', ca: CERT, agent: false };
        const request = https.get({ host: 'localhost', ...options }, (response) => {
          let all = '';
          response.on('data', (part: Buffer) => (all += part.toString()));
          response.on('end', () => resolve(all));
        });
        request.on('error', reject);
      });
      expect(text).to.equal('GET /health');
    });

    it('cancels calls when the client breaks off', async () => {
      const socket = tls.connect({
        port: running.port,
        host: 'localhost',
        ca: CERT,
        ALPNProtocols: ['h2'],
      });
      await new Promise((resolve) => socket.once('secureConnect', resolve));
      expect(socket.alpnProtocol).to.equal('h2');
      const session = http2.connect('https://localhost', { createConnection: () => socket });
      session.on('error', () => {});
      const stream = session.request({
        ':method': 'POST',
        ':path': '/test.Svc/Wait',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => {});
      stream.end(Buffer.alloc(5));
      await until(() => waiting === 1, 'the call starts');
      socket.destroy();
      await until(() => cancelled === 1, 'the call is cancelled');
    });

    it('outlives failed handshakes and garbage', async () => {
      for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x02\x00\x01garbage', '']) {
        const socket = net.connect(running.port, '127.0.0.1');
        socket.on('error', () => {});
        socket.resume();
        socket.end(Buffer.from(bytes, 'latin1'));
        await new Promise((resolve) => socket.once('close', resolve));
      }
      const raw = tls.connect({
        port: running.port,
        host: 'localhost',
        ca: CERT,
        ALPNProtocols: ['h2'],
      });
      raw.on('error', () => {});
      raw.write('nonsense that is no preface');
      raw.resume();
      await new Promise((resolve) => raw.once('close', resolve));
      const { reply } = await unary(client, '/test.Svc/Echo', Buffer.from('alive'));
      expect(reply.toString()).to.equal('alive');
    });
  });
}

describe('Http2Transport: requests that are not gRPC', () => {
  let running: Running;
  let session: http2.ClientHttp2Session;
  let handle: (request: HttpRequest) => void;
  const withHttp: MakeTransport = (setup) =>
    new Http2Transport({ ...setup, onHttpRequest: (request) => handle(request) });

  beforeEach(async () => {
    running = await startTransport(withHttp, { table });
    session = http2.connect(`http://127.0.0.1:${running.port}`);
  });

  afterEach(async () => {
    session.destroy();
    await running.stop();
  });

  function send(
    headers: http2.OutgoingHttpHeaders,
    body?: Buffer,
  ): Promise<{ status: unknown; headers: http2.IncomingHttpHeaders; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const stream = session.request(headers);
      let answer: http2.IncomingHttpHeaders = {};
      const parts: Buffer[] = [];
      stream.on('response', (received) => (answer = received));
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('end', () =>
        resolve({ status: answer[':status'], headers: answer, body: Buffer.concat(parts) }),
      );
      stream.on('error', reject);
      stream.end(body);
    });
  }

  it('passes method, path, headers and body, and returns the answer', async () => {
    handle = (request) => {
      const text = [request.method, request.path, request.header('x-a'), request.body.length];
      request.respond(201, [['content-type', 'text/plain']], Buffer.from(text.join(' ')));
    };
    const get = await send({ ':path': '/version', 'x-a': 'b' });
    expect([get.status, get.body.toString()]).to.eql([201, 'GET /version b 0']);
    expect(get.headers['content-type']).to.equal('text/plain');
    const post = await send({ ':path': '/v3/kv/put', ':method': 'POST' }, Buffer.alloc(60_000));
    expect(post.body.toString()).to.equal('POST /v3/kv/put  60000');
  });

  it('refuses a body larger than a message may be', async () => {
    handle = (request) => request.respond(200, [], Buffer.alloc(0));
    const answer = await send(
      { ':path': '/', ':method': 'POST' },
      Buffer.alloc(LIMITS.maxReceiveBytes + 1),
    );
    expect(answer.status).to.equal(413);
  });

  it('streams an answer under flow control and ends it', async () => {
    handle = (request) => {
      let left = 100;
      request.begin(200, []);
      const more = (): void => {
        while (left > 0) {
          left--;
          if (!request.write(Buffer.alloc(50_000, left))) return;
        }
        request.end();
      };
      request.onDrain(more);
      more();
    };
    const { body } = await send({ ':path': '/stream' });
    expect(body).to.have.length(5_000_000);
    expect([body[0], body.at(-1)]).to.eql([99, 0]);
  });

  it('notifies the handler when the client goes away', async () => {
    let gone = false;
    handle = (request) => {
      request.begin(200, []);
      request.write(Buffer.from('first'));
      request.onCancel(() => (gone = true));
    };
    const stream = session.request({ ':path': '/watch' });
    stream.on('error', () => {});
    stream.once('data', () => stream.close(http2.constants.NGHTTP2_CANCEL));
    await until(() => gone, 'the handler is told');
  });
});
